"""Nothing that a provider says is too large for those it is told to, and the call goes on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

import pytest

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.resilience.event_bounds import MAX_TEXT_CHARACTERS, Bounds
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.realtime.resilience.stage import talking

LINK_BYTES = 1024 * 1024
LONG = "\U0001f600" * 1_200_000


def size_bytes(event: ModelEvent) -> int:
    """As JSON with every character escaped, which is the worst that a writer does."""
    fields = {name: value for name, value in asdict(event).items() if name != "pcm"}
    return len(json.dumps(fields))


@pytest.mark.parametrize(
    "event",
    [
        ours.TranscriptDelta("r", "i", 0, LONG),
        ours.TranscriptDone("r", "i", 0, LONG),
        ours.TextDelta("r", "i", 0, LONG),
        ours.TextDone("r", "i", 0, LONG),
        ours.InputTranscriptDelta("i", LONG),
        ours.InputTranscriptDone("i", LONG),
        ours.InputTranscriptFailed("i", LONG),
        ours.ToolCallDelta("r", "i", "c", LONG),
        ours.ToolCallRequested("r", "i", "c", "add", LONG),
        ours.ToolCallRequested("r", "i", "c", LONG, "{}"),
        ours.ToolApprovalRequested("q", LONG, "add", LONG),
        ours.HostedToolProgress("i", "done", LONG, LONG, LONG, LONG, LONG),
        ours.ProviderError("server_error", LONG),
        ours.ProviderError(LONG, "", param=LONG),
        ours.ResponseDone("r", ours.ResponseStatus.FAILED, LONG),
        ours.UnknownEventReceived(LONG, {"a": LONG}),
        ours.UnknownEventReceived("x", {LONG: [1]}),
        ours.RateLimitsUpdated({str(number): 1 for number in range(100_000)}),
        ours.SpeechStarted(LONG, 5),
        ours.ItemAdded("i", LONG, None),
    ],
    ids=lambda event: type(event).__name__,
)
def test_whatever_is_told_fits(event: ModelEvent) -> None:
    told = Bounds().bounded(event)
    assert told
    assert all(size_bytes(each) < LINK_BYTES for each in told)
    assert isinstance(told[-1], type(event) | ours.ProviderError)


def test_what_fits_is_passed_on_as_it_is() -> None:
    bounds = Bounds()
    for event in (
        ours.TranscriptDone("r", "i", 0, "x" * MAX_TEXT_CHARACTERS),
        ours.ToolCallRequested("r", "i", "c", "add", "x" * MAX_TEXT_CHARACTERS),
        ours.ResumptionUpdated("h" * 5_000),
        ours.ResponseDone("r", ours.ResponseStatus.COMPLETED),
        ours.UnknownEventReceived("x", {"a": [1, "b"]}),
        ours.RateLimitsUpdated({"tokens": 5}),
    ):
        assert bounds.bounded(event) == [event]


def test_pieces_of_one_text_are_bounded_together_and_the_excess_is_told_once() -> None:
    bounds = Bounds()
    piece = "x" * 1_000
    told = [
        each
        for _ in range(100)
        for each in bounds.bounded(ours.TranscriptDelta("r", "i", 0, piece))
    ]
    text = "".join(each.delta for each in told if isinstance(each, ours.TranscriptDelta))
    assert len(text) == MAX_TEXT_CHARACTERS
    assert [each.code for each in told if isinstance(each, ours.ProviderError)] == ["too_much_text"]
    other = ours.TranscriptDelta("r", "j", 0, piece)
    assert bounds.bounded(other) == [other]


def test_arguments_that_are_too_long_are_left_out_whole() -> None:
    call = ours.ToolCallRequested("r", "i", "c", "add", '{"a": "' + "z" * 1_200_000 + '"}')
    error, told = Bounds().bounded(call)
    assert isinstance(error, ours.ProviderError)
    assert isinstance(told, ours.ToolCallRequested)
    assert (told.call_id, told.name) == ("c", "add")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(told.arguments)


async def _user_words(session: FakeSession) -> None:
    item_id = await session.speech_started()
    await session.speech_stopped(item_id, "x " * 600_000)


async def _reply_words(session: FakeSession) -> None:
    await session.say(tone(100), "y " * 600_000)


async def _arguments(session: FakeSession) -> None:
    await session.call_tool("add", {"zone": "z" * 1_200_000})


async def _error(session: FakeSession) -> None:
    await session.fail("server_error", "m" * 1_200_000)


async def _unknown(session: FakeSession) -> None:
    await session.send_raw(json.dumps({"type": "x.y", "data": "z" * 1_200_000}))


@pytest.mark.asyncio
@pytest.mark.parametrize("act", [_user_words, _reply_words, _arguments, _error, _unknown])
async def test_a_provider_that_says_too_much_is_heard_on(act: Any) -> None:
    async with FakeRealtimeServer() as server, talking(server) as (talk, session):
        before = len(talk.all_of(ours.ResponseDone))
        async with asyncio.timeout(20):
            await act(session)
        done = before + (act in (_reply_words, _arguments))
        if done > before:
            await talk.until(ours.ResponseDone, done)
        await session.say(tone(100), "and now to something else")
        await talk.until(ours.ResponseDone, done + 1)
        assert len(server.sessions) == 1
        assert max(size_bytes(event) for event in talk.seen) < LINK_BYTES
        last = talk.all_of(ours.TranscriptDone)[-1]
        assert last.transcript == "and now to something else"
