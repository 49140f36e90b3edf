"""The parts of a call in-process, each alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conversation.events import server_events as out
from conversation.events.parts import ToolResult, ToolUse
from line.frames import PcmAudioFrame
from parley.in_process import event_backlog
from parley.in_process.ear import Ear
from parley.in_process.event_backlog import EventBacklog
from parley.in_process.idleness import AWAIT_REPLY_S, QUIET_S, Idleness
from parley.in_process.tracked_playout import TrackedPlayout
from realtime.playback import RealtimePlaybackTracker

WHO: dict[str, Any] = {"agent_id": "a", "agent_name": "A"}
KEY = ("resp", "item", 0)
NEXT = ("resp", "next", 0)
RATE_HZ = 24_000
SECOND = bytes(2 * RATE_HZ)


# -- idleness ------------------------------------------------------------------------------------------


def test_a_call_is_idle_a_while_after_the_last_sign() -> None:
    idleness = Idleness(10.0)
    assert idleness.idle_at_s() == 10.0 + QUIET_S
    idleness.note_input(20.0)
    assert idleness.idle_at_s() == 20.0 + QUIET_S


def test_speech_replies_and_tools_keep_a_call_from_being_idle() -> None:
    idleness = Idleness(0.0)
    idleness.handle_event(out.AgentInputStarted(**WHO, item_id="i", audio_start_ms=0), 1.0)
    assert idleness.idle_at_s() is None
    idleness.handle_event(out.AgentInputDone(**WHO, item_id="i", audio_end_ms=0), 2.0)
    assert idleness.idle_at_s() == 2.0 + AWAIT_REPLY_S
    idleness.handle_event(out.AgentResponseCreated(**WHO, response_id="r"), 3.0)
    assert idleness.idle_at_s() is None
    use = ToolUse(id="c", name="look_up")
    idleness.handle_event(
        out.AgentResponseToolUseDone(**WHO, response_id="r", item_id="t", tool_use=use), 4.0
    )
    idleness.handle_event(out.AgentResponseDone(**WHO, response_id="r"), 5.0)
    assert idleness.idle_at_s() is None
    result = ToolResult(id="c", name="look_up", output="{}")
    idleness.handle_event(out.AgentResponseToolResult(**WHO, tool_result=result), 6.0)
    assert idleness.idle_at_s() == 6.0 + QUIET_S


def test_a_noise_is_not_waited_for() -> None:
    idleness = Idleness(0.0)
    idleness.handle_event(out.AgentInputStarted(**WHO, item_id="i", audio_start_ms=0), 1.0)
    idleness.handle_event(out.AgentInputDone(**WHO, item_id="i", audio_end_ms=0), 2.0)
    idleness.handle_event(out.AgentInputTranscriptionDone(**WHO, item_id="i", transcript=" "), 3.0)
    assert idleness.idle_at_s() == 3.0 + QUIET_S


# -- events that wait ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_waiting_events_are_bounded_and_their_end_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_backlog, "MAX_EVENTS", 2)
    monkeypatch.setattr(event_backlog, "MAX_AUDIO_S", 1.0)
    # Events of positive numbers have so many seconds of audio.
    backlog: EventBacklog[float] = EventBacklog(lambda event: max(0.0, event))
    for event in (-1.0, 0.6, -2.0, 0.7, -3.0, 0.4):
        backlog.put(event)
    backlog.finish()
    assert backlog.dropped == 2
    assert [await backlog.get() for _ in range(5)] == [0.6, -2.0, -3.0, 0.4, None]


@pytest.mark.asyncio
async def test_audio_that_is_not_to_be_played_leaves_the_queue() -> None:
    backlog: EventBacklog[float] = EventBacklog(lambda event: max(0.0, event))
    for event in (-1.0, 0.6, -2.0):
        backlog.put(event)
    backlog.drop(lambda event: event == 0.6)
    assert [await backlog.get(), await backlog.get()] == [-1.0, -2.0]


# -- playback as the application reports it ------------------------------------------------------------


class Tracked:
    """A playout with a tracker, and what it reported."""

    def __init__(self) -> None:
        self.tracker = RealtimePlaybackTracker()
        self.reported: list[tuple[str, object]] = []
        self.sent = bytearray()
        self.playout = TrackedPlayout(
            RATE_HZ,
            self.tracker,
            on_started=lambda key: self.reported.append(("started", key)),
            on_done=lambda key: self.reported.append(("done", key)),
            on_sent=lambda pcm, _at_s: self.sent.extend(pcm),
        )

    async def until(self, *reported: tuple[str, object]) -> None:
        """Wait until just this was reported."""
        async with asyncio.timeout(5):
            while self.reported != [*reported]:  # noqa: ASYNC110 - the tracker is polled
                await asyncio.sleep(0.005)


@pytest.mark.asyncio
async def test_positions_are_those_of_the_tracker() -> None:
    tracked = Tracked()
    playout = tracked.playout
    playout.push(KEY, SECOND)
    assert (playout.position(), playout.is_busy, tracked.reported) == (None, True, [])
    tracked.tracker.on_play_ms("item", 0, 250)
    await tracked.until(("started", KEY))
    position = playout.position()
    assert position is not None
    assert (position.key, position.played_ms, position.heard_ms) == (KEY, 250, 250)
    playout.finish(KEY)
    playout.push(NEXT, SECOND)
    assert playout.statistics.queued_ms == 1750
    tracked.tracker.on_play_ms("next", 0, 100)
    await tracked.until(("started", KEY), ("done", KEY), ("started", NEXT))
    assert len(tracked.sent) == pytest.approx(len(SECOND) * 1.1)
    (cut,) = playout.clear()
    assert (cut.key, cut.heard_ms, cut.is_complete) == (NEXT, 100, False)
    assert tracked.tracker.get_state()["current_item_id"] is None
    assert not playout.is_busy
    await playout.close()


@pytest.mark.asyncio
async def test_more_than_was_received_is_never_heard() -> None:
    tracked = Tracked()
    tracked.playout.push(KEY, SECOND)
    tracked.playout.finish(KEY)
    tracked.tracker.on_play_ms("item", 0, 5_000)
    await tracked.until(("started", KEY), ("done", KEY))
    heard = tracked.playout.heard_by_all()
    assert heard is not None
    assert (heard.key, heard.heard_ms) == (KEY, 1000)
    assert tracked.playout.clear() == []


# -- what a participant says ---------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_pause_of_the_application_is_filled_with_silence() -> None:
    ear, heard = Ear(1, RATE_HZ, None), asyncio.Event()
    frames: list[PcmAudioFrame] = []

    async def handle(batch: list[PcmAudioFrame]) -> bool:
        frames.extend(batch)
        heard.set()
        return True

    task = asyncio.get_running_loop().create_task(ear.deliver(handle))
    await asyncio.sleep(0)
    ear.push(b"\x01\x00" * 720)
    await ear.until_taken()
    # The rest of a frame is not kept back from those who wait for it.
    assert b"".join(frame.pcm for frame in frames) == b"\x01\x00" * 720 + bytes(480)
    async with asyncio.timeout(5):
        while len(frames) < 10:
            heard.clear()
            await heard.wait()
    assert not any(any(frame.pcm) for frame in frames[2:])
    assert ear.filled >= 8
    ear.close()
    await task
