"""Several hear of everything; one that fails harms nobody."""

from __future__ import annotations

from typing import Any

import pytest

from config import AgentConfig, ProviderConfig
from control.observers import CallObserver, Observers
from control.processes.link import Ready

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


def test_an_observer_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    noting = _Noting()
    observers = Observers([_Failing(), noting])
    observers.handle_start(CONFIG, restarts=2)
    assert noting.noted == [("a", 2)]
    assert "_Failing failed in handle_start" in caplog.text


def test_what_an_observer_does_not_care_for_is_nothing() -> None:
    Observers([_Noting()]).handle_message(CONFIG, Ready(timings_ms={}))
