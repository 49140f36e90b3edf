"""Played time adds up within a content part, and only there; and what is cut by it at a provider."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from agents.realtime.model import RealtimePlaybackTracker as SdkTracker

from realtime import events as ours
from realtime.model import ModelSettings, RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from realtime.playback import PlaybackTracker, PlaybackTruncation, RealtimePlaybackTracker
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.realtime.calls import Call

NOTHING = {"current_item_id": None, "current_item_content_index": None, "elapsed_ms": None}


def state(item_id: str, index: int, ms: float) -> dict[str, Any]:
    return {"current_item_id": item_id, "current_item_content_index": index, "elapsed_ms": ms}


@pytest.mark.parametrize("create", [RealtimePlaybackTracker, SdkTracker])
def test_it_is_used_as_that_of_the_agents_sdk(create: type[Any]) -> None:
    tracker = create()
    assert tracker.get_state() == NOTHING
    tracker.on_play_bytes(item_id="item_1", item_content_index=0, bytes=bytes(4800))
    tracker.on_play_ms(item_id="item_1", item_content_index=0, ms=50)
    assert tracker.get_state() == state("item_1", 0, 150.0)
    tracker.on_play_ms("item_1", 1, 20)
    assert tracker.get_state() == state("item_1", 1, 20.0)
    tracker.set_audio_format("g711_ulaw")
    tracker.on_play_bytes("item_1", 1, bytes(800))
    assert tracker.get_state() == state("item_1", 1, 120.0)
    tracker.set_audio_format({"type": "audio/pcm", "rate": 24_000})
    tracker.on_play_bytes("item_2", 0, bytes(480))
    assert tracker.get_state() == state("item_2", 0, 10.0)
    tracker.on_interrupted()
    assert tracker.get_state() == NOTHING


@pytest.mark.parametrize(
    ("given", "rate_hz", "ms"),
    [
        ("pcm16", None, 10.0),
        ("pcm16", 48_000, 5.0),
        ({"type": "audio/pcm", "rate": 16_000}, None, 15.0),
        (SimpleNamespace(type="audio/pcma"), None, 60.0),
        ("g711_alaw", None, 60.0),
    ],
)
def test_the_format_decides_how_long_bytes_last(given: Any, rate_hz: int | None, ms: float) -> None:
    tracker = RealtimePlaybackTracker()
    tracker.set_audio_format(given, rate_hz)
    tracker.on_play_bytes("item_1", 0, bytes(480))
    assert tracker.get_state()["elapsed_ms"] == ms


@pytest.mark.parametrize(
    ("given", "rate_hz"), [("pcm16", 0), ("mp3", None), (None, None), ({"type": 3}, None)]
)
def test_formats_that_there_are_not_are_refused(given: Any, rate_hz: int | None) -> None:
    with pytest.raises(ValueError, match=r"format|positive"):
        RealtimePlaybackTracker().set_audio_format(given, rate_hz)


@pytest.mark.parametrize("ms", [-1.0, math.nan, math.inf])
def test_nonsense_is_no_time(ms: float) -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        RealtimePlaybackTracker().on_play_ms("item_1", 0, ms)


# -- truncation --------------------------------------------------------------------------------


def audio(item_id: str, ms: int) -> ours.AudioDelta:
    return ours.AudioDelta("r", item_id, 0, bytes(48 * ms), 24_000)


@pytest.mark.parametrize(
    ("played", "cut_ms"),
    [
        (("i", 0, 30.9), 30),
        (("i", 0, 0), 0),
        (("i", 0, 5_000), 100),
        (("unknown", 0, 30), None),
        (("i", 7, 30), None),
        (None, None),
    ],
)
def test_the_cut_is_what_was_played_of_what_came(
    played: tuple[str, int, float] | None, cut_ms: int | None
) -> None:
    tracker = RealtimePlaybackTracker()
    truncation = PlaybackTruncation(tracker)
    truncation.handle(audio("i", 60))
    truncation.handle(audio("i", 40))
    if played is not None:
        tracker.on_play_ms(*played)
    expected = None if cut_ms is None else ours.TruncateItem("i", 0, cut_ms, "")
    assert truncation.interrupt() == expected
    assert tracker.get_state() == NOTHING
    assert truncation.interrupt() is None


def test_a_reply_that_was_heard_whole_is_not_cut() -> None:
    tracker = RealtimePlaybackTracker()
    truncation = PlaybackTruncation(tracker)
    truncation.handle(audio("i", 60))
    truncation.handle(ours.AudioDone("r", "i", 0))
    tracker.on_play_ms("i", 0, 60)
    assert truncation.interrupt() is None


async def opened(
    server: FakeRealtimeServer, tracker: PlaybackTracker, **settings: Any
) -> Call[FakeSession]:
    model = OpenAIRealtimeModel()
    await model.connect(
        RealtimeModelConfig(
            "gpt-realtime-2.1",
            server.uri,
            "k",
            settings=ModelSettings(**settings),
            playback_tracker=tracker,
        )
    )
    return Call(model, await server.next_session())


@pytest.mark.asyncio
@pytest.mark.parametrize("create", [RealtimePlaybackTracker, SdkTracker])
async def test_speech_cuts_at_the_provider_what_the_application_has_not_played(
    create: type[Any],
) -> None:
    tracker = create()
    async with FakeRealtimeServer() as server:
        call = await opened(server, tracker)
        reply = await call.alongside(call.session.say(tone(300), "a b c"), ours.ResponseDone)
        item_id = call.all_of(ours.AudioDelta)[0].item_id
        tracker.on_play_ms(item_id, 0, 120)
        await call.alongside(call.session.speech_started(), ours.SpeechStarted)
        assert await call.until(ours.ItemTruncated) == ours.ItemTruncated(item_id, 0, 120)
        assert reply.status is ours.ResponseStatus.COMPLETED
        assert tracker.get_state() == NOTHING
        await call.model.close()


@pytest.mark.asyncio
async def test_a_cancel_cuts_and_speech_that_interrupts_nothing_does_not() -> None:
    tracker = RealtimePlaybackTracker()
    async with FakeRealtimeServer() as server:
        detection = {"type": "server_vad", "interrupt_response": False}
        call = await opened(server, tracker, turn_detection=detection)
        await call.alongside(call.session.say(tone(300), "a b c"), ours.ResponseDone)
        item_id = call.all_of(ours.AudioDelta)[0].item_id
        tracker.on_play_ms(item_id, 0, 120)
        await call.alongside(call.session.speech_started(), ours.SpeechStarted)
        await call.model.send(ours.CancelResponse())
        frame = await call.session.wait_for("conversation.item.truncate")
        assert (frame["item_id"], frame["audio_end_ms"]) == (item_id, 120)
        assert len(call.session.all_of("conversation.item.truncate")) == 1
        await call.model.close()
