"""Each callback reaches every observer; one that raises affects no other."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from config.agent import AgentConfig
from config.providers import ProviderConfig
from control.ipc.link import Ready
from control.observers import CallObserver, Observers

CONFIG = AgentConfig(
    agent_id="a",
    channel_name="demo",
    uid=1,
    room_url="http://127.0.0.1:9",
    provider=ProviderConfig(name="local", model="local", base_uri="ws://127.0.0.1:9"),
)


class _Failing(CallObserver):
    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        raise RuntimeError("a defect")


class _Noting(CallObserver):
    def __init__(self) -> None:
        self.noted: list[Any] = []

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        self.noted.append((config.agent_id, restarts))


def test_an_observer_that_raises_affects_no_other(caplog: pytest.LogCaptureFixture) -> None:
    noting = _Noting()
    observers = Observers([_Failing(), noting])
    observers.handle_start(CONFIG, restarts=2)
    assert noting.noted == [("a", 2)]
    assert "observer _Failing failed" in caplog.text
    assert "a defect" in caplog.text


def test_a_callback_that_an_observer_does_not_override_does_nothing() -> None:
    Observers([_Noting()]).handle_message(CONFIG, Ready(timings_ms={}))


CALLBACKS = [name for name in vars(CallObserver) if not name.startswith("_")]


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_callback_is_passed_on_with_its_arguments(name: str) -> None:
    received: list[Any] = []

    def receive(*arguments: Any, **named: Any) -> None:
        received.append((arguments, named))

    noting = CallObserver()
    setattr(noting, name, receive)
    parameters = list(inspect.signature(getattr(CallObserver, name)).parameters.values())[1:]
    arguments = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    named = {one.name: one for one in parameters if one.kind is one.KEYWORD_ONLY}
    getattr(Observers([_Failing(), noting]), name)(*arguments, **named)
    assert received == [(tuple(arguments), named)]
