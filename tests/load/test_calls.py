"""Calls against an API and callers that are played: whatever happens, each agent is stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from load.calls import Calls
from load.figures import Starts
from load.protocol import Connected, Failed
from load.server_api import ServerApiError, Started, StartRefused

REFUSED = StartRefused("at_capacity", "cpu", "no capacity", is_refusal=True)
BROKEN = StartRefused("start_failed", "connecting", "it failed", is_refusal=False)


class PlayedApi:
    """Answers each start with the next of `answers`, then with success."""

    def __init__(self, *answers: Started | StartRefused | ServerApiError) -> None:
        self.answers = list(answers)
        self.stopped: list[str] = []
        self.is_asked = asyncio.Event()
        self.hangs = False
        self.has_tokens = True

    async def start(self, channel: str, fields: dict[str, Any]) -> Started | StartRefused:
        self.is_asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if self.answers else Started(20.0)
        if isinstance(answer, ServerApiError):
            raise answer
        return answer

    async def stop(self, channel: str) -> None:
        self.stopped.append(channel)
        if len(self.stopped) == 1:
            raise ServerApiError("the first stop is not answered")

    async def room_token(self, channel: str) -> str | None:
        if not self.has_tokens:
            raise ServerApiError("no token")
        return "token"


class PlayedWorkers:
    def __init__(self) -> None:
        self.fails = False
        self.hung_up: list[int] = []

    async def dial(self, number: int, channel: str, token: str | None) -> Connected | Failed:
        assert token == "token"
        if self.fails:
            return Failed(number=number, reason="no connection")
        return Connected(number=number, took_ms=30.0)

    def hang_up(self, number: int) -> None:
        self.hung_up.append(number)


def parts(*answers: Started | StartRefused | ServerApiError) -> tuple[Any, Any, Calls, Starts]:
    api: Any = PlayedApi(*answers)
    return api, PlayedWorkers(), Calls(api, {"agent": "orders"}), Starts()


@pytest.mark.asyncio
async def test_what_becomes_of_starts_is_counted() -> None:
    api, workers, calls, starts = parts(REFUSED, BROKEN, ServerApiError("no answer"))
    await calls.grow(5, 0.0, workers, starts)
    assert (len(calls), len(calls.channels)) == (2, 2)
    assert starts.refused == {"at_capacity: cpu": 1}
    assert starts.failed == {"start_failed: connecting": 1, "no answer": 1}
    assert (starts.ready_ms, starts.connected_ms) == ([20.0, 20.0], [30.0, 30.0])
    # The start that was not answered may have succeeded.
    assert len(api.stopped) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("what", ["caller", "token"])
async def test_an_agent_that_nobody_calls_is_stopped(what: str) -> None:
    api, workers, calls, starts = parts()
    workers.fails, api.has_tokens = what == "caller", what != "token"
    await calls.grow(1, 0.0, workers, starts)
    assert (len(calls), len(api.stopped), starts.failed.total()) == (0, 1, 1)


@pytest.mark.asyncio
async def test_the_newest_calls_end_first_and_all_at_last() -> None:
    api, workers, calls, starts = parts()
    await calls.grow(4, 0.0, workers, starts)
    channels = list(calls.channels)
    await calls.shrink(1, workers)
    assert (workers.hung_up, sorted(api.stopped)) == ([1, 2, 3], channels[1:])
    await calls.close()
    assert sorted(api.stopped) == channels
    assert not calls.channels


@pytest.mark.asyncio
async def test_a_start_that_is_given_up_is_stopped_too() -> None:
    api, workers, calls, starts = parts()
    api.hangs = True
    growing = asyncio.get_running_loop().create_task(calls.grow(1, 0.0, workers, starts))
    await api.is_asked.wait()
    growing.cancel()
    await asyncio.wait([growing])
    (channel,) = calls.channels
    await calls.close()
    assert api.stopped == [channel]
