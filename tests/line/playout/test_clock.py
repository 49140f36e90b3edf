"""The playout clock: at once after silence, paced in speech, nothing in silence, quiet on clear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from line.playout.buffer import PlayoutBuffer, PlayoutFrame
from line.playout.clock import PlayoutClock
from line.playout.pacer import Slot
from line.playout.sender import TAIL_FRAMES, PlayoutSender
from rtc.opus import OpusDecoder, OpusEncoder
from rtc.voice import OpusVoice
from tests.rtc.sound import loudness, tone

RATE_HZ = 24_000
FRAME_BYTES = 960


class Line:
    """What leaves: packets with their RTP and real times, and the events."""

    def __init__(self) -> None:
        self.packets: list[tuple[float, int, bytes]] = []
        self.frames: list[tuple[PlayoutFrame, Slot]] = []
        self.events: list[tuple[str, Hashable]] = []
        self.on_event: dict[tuple[str, Hashable], Callable[[], None]] = {}
        self.changed = asyncio.Event()
        line = PlayoutSender(
            PlayoutBuffer(RATE_HZ),
            on_frame=self._take_frame,
            on_started=lambda key: self._note("started", key),
            on_done=lambda key: self._note("done", key),
        )
        self.clock = PlayoutClock(line)

        self._voice = OpusVoice(
            OpusEncoder(RATE_HZ), listeners=dict, is_heard=lambda: True, on_packet=self._take
        )

    def _take_frame(self, frame: PlayoutFrame, slot: Slot) -> None:
        self._voice.play(frame, slot)
        if frame.parts:
            self.frames.append((frame, slot))

    def _take(self, payload: bytes, ticks: int) -> None:
        self.packets.append((asyncio.get_running_loop().time(), ticks, payload))
        self.changed.set()

    def _note(self, what: str, key: Hashable) -> None:
        self.events.append((what, key))
        if (react := self.on_event.get((what, key))) is not None:
            react()
        self.changed.set()

    async def wait_for_packets(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.packets) < count:
                self.changed.clear()
                await self.changed.wait()

    async def wait_for_silence(self) -> None:
        """Until the tail of silent packets has left."""
        async with asyncio.timeout(5):
            while self.clock.buffer.queued_ms or not self.clock.sender.is_quiet:
                self.changed.clear()
                await self.changed.wait()

    @property
    def ticks(self) -> list[int]:
        return [packet[1] for packet in self.packets]

    def loud(self) -> list[bool]:
        decoder = OpusDecoder(RATE_HZ)
        return [loudness(decoder.decode(payload)) > 300 for _, _, payload in self.packets]


@asynccontextmanager
async def open_line() -> AsyncIterator[Line]:
    line = Line()
    line.clock.start()
    # Its first look at the line, which is quiet.
    await asyncio.sleep(0)
    try:
        yield line
    finally:
        await line.clock.close()
        await line.clock.close()


@pytest.mark.asyncio
async def test_plays_at_the_pace_of_time_with_a_short_tail() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.2, RATE_HZ))
        line.clock.finish("a")
        await line.wait_for_packets(10 + TAIL_FRAMES)
        await line.wait_for_silence()
        assert line.ticks == [960 * i for i in range(10 + TAIL_FRAMES)]
        begin_s = line.frames[0][1].due_s
        for index, (left_s, _, _) in enumerate(line.packets):
            assert left_s >= begin_s + 0.02 * index, "a packet left before its time"
        assert line.events == [("started", "a"), ("done", "a")]
        assert line.loud()[1:9] == [True] * 8
        assert line.clock.buffer.statistics.played_samples == 4800


@pytest.mark.asyncio
async def test_audio_after_a_silence_leaves_at_once_and_rtp_time_has_gone_on() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.02, RATE_HZ))
        line.clock.finish("a")
        await line.wait_for_packets(1 + TAIL_FRAMES)
        await line.wait_for_silence()
        await asyncio.sleep(0.1)
        count = len(line.packets)
        sound = tone(440, 0.04, RATE_HZ)
        pushed_s = asyncio.get_running_loop().time()
        line.clock.push("b", sound)
        # Whatever else the loop has to do comes after it.
        assert len(line.packets) == count + 1
        (_, first), (_, second) = line.frames
        assert pushed_s <= second.due_s <= asyncio.get_running_loop().time()
        assert line.ticks[-1] == second.ticks
        assert abs(second.ticks - first.ticks - (second.due_s - first.due_s) * 48_000) <= 1


@pytest.mark.asyncio
async def test_the_start_is_announced_after_the_push_that_made_it() -> None:
    """Who pushes has things to note about the reply first."""
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.02, RATE_HZ))
        assert line.events == []
        await asyncio.sleep(0)
        assert line.events == [("started", "a")]


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["finish", "clear", "pause"])
async def test_what_ends_a_reply_at_once_announces_its_start_first(end: str) -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.02, RATE_HZ))
        match end:
            case "finish":
                line.clock.finish("a")
                expected = [("started", "a"), ("done", "a")]
            case "clear":
                assert [one.played_samples for one in line.clock.clear()] == [480]
                expected = [("started", "a")]
            case _:
                line.clock.pause()
                expected = [("started", "a")]
        assert line.events == expected
        await line.wait_for_silence()
        assert line.events == expected


@pytest.mark.asyncio
async def test_a_listener_may_push_the_next_reply_and_the_pace_is_kept() -> None:
    async with open_line() as line:
        line.on_event["done", "a"] = lambda: line.clock.push("b", tone(440, 0.1, RATE_HZ))
        line.clock.push("a", tone(440, 0.02, RATE_HZ))
        line.clock.finish("a")
        await line.wait_for_packets(6 + TAIL_FRAMES)
        await line.wait_for_silence()
        begin_s = line.frames[0][1].due_s
        assert len(line.packets) == 6 + TAIL_FRAMES
        for index, (left_s, ticks, _) in enumerate(line.packets):
            assert ticks == 960 * index
            assert left_s >= begin_s + 0.02 * index, "a packet left before its time"


@pytest.mark.asyncio
async def test_nothing_leaves_nor_is_announced_once_it_is_closed() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 1, RATE_HZ))
        await line.clock.close()
        line.clock.push("b", tone(440, 1, RATE_HZ))
        await asyncio.sleep(0.05)
        assert (len(line.packets), line.events) == (1, [])


@pytest.mark.asyncio
async def test_clear_sends_a_fade_at_once_and_nothing_loud_after_it() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 2, RATE_HZ))
        await line.wait_for_packets(8)
        before = len(line.packets)
        positions = line.clock.clear()
        assert len(line.packets) == before + 1
        assert [(p.key, p.played_samples, p.is_complete) for p in positions] == [
            ("a", before * 480 + 120, False)
        ]
        await line.wait_for_silence()
        assert not any(line.loud()[before + 2 :])
        assert len(line.packets) == before + 1 + TAIL_FRAMES
        assert line.clock.clear() == ()


@pytest.mark.asyncio
async def test_an_unfinished_rest_does_not_wait_for_ever() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.03, RATE_HZ))
        await line.wait_for_silence()
        assert line.clock.buffer.queued_ms == 0
        assert line.clock.buffer.statistics.played_samples == 720


@pytest.mark.asyncio
async def test_finish_after_the_last_sample_says_done_at_once() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.02, RATE_HZ))
        await line.wait_for_packets(1)
        line.clock.finish("a")
        assert line.events == [("started", "a"), ("done", "a")]


@pytest.mark.asyncio
async def test_a_pause_is_silent_at_once_and_resumes_at_once_with_the_next_sample() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 1, RATE_HZ))
        line.clock.finish("a")
        await line.wait_for_packets(8)
        before = len(line.packets)
        line.clock.pause()
        assert len(line.packets) == before + 1
        async with asyncio.timeout(5):
            while not line.clock.sender.is_quiet:
                line.changed.clear()
                await line.changed.wait()
        assert not any(line.loud()[before + 2 :])
        # The last silent frame lasts as long as any.
        await asyncio.sleep(0.02)
        silent = len(line.packets)
        line.clock.resume()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(line.packets) == silent + 1
        assert line.clock.buffer.position is not None
        assert line.clock.buffer.position.played_samples == before * 480 + 120 + 480
        await line.wait_for_silence()
        assert line.clock.buffer.statistics.played_samples == RATE_HZ
        assert line.events == [("started", "a"), ("done", "a")]


@pytest.mark.asyncio
async def test_a_gap_in_speech_is_bridged_without_a_step_and_loses_nothing() -> None:
    async with open_line() as line:
        source = tone(440, 0.1, RATE_HZ)
        line.clock.push("a", source[:2400])
        await line.wait_for_silence()
        line.clock.push("a", source[2400:])
        line.clock.finish("a")
        await line.wait_for_silence()
        frames = [frame for frame, _ in line.frames]
        parts = [part for frame in frames for part in frame.parts]
        assert [part.first_sample for part in parts] == [
            sum(before.samples for before in parts[:index]) for index in range(len(parts))
        ]
        assert sum(part.samples for part in parts) == len(source) // 2
        assert line.clock.buffer.statistics.underruns == 1
        sent = np.concatenate([np.frombuffer(frame.pcm, np.int16).astype(int) for frame in frames])
        # 440 Hz at 12000 moves by at most 1382 from sample to sample; a fade adds a hundred.
        assert np.abs(np.diff(sent)).max() < 1500
        assert line.events == [("started", "a"), ("done", "a")]


@pytest.mark.asyncio
async def test_audio_that_comes_within_the_tail_takes_the_next_slot_of_the_grid() -> None:
    async with open_line() as line:
        line.clock.push("a", tone(440, 0.02, RATE_HZ))
        line.clock.finish("a")
        await line.wait_for_packets(2)
        line.clock.push("b", tone(440, 0.02, RATE_HZ))
        line.clock.finish("b")
        await line.wait_for_silence()
        assert line.ticks == [960 * i for i in range(len(line.packets))]
        (_, first), (_, second) = line.frames
        assert (second.due_s - first.due_s) * 48_000 == pytest.approx(second.ticks - first.ticks)
        assert line.clock.sender.stalls == 0
