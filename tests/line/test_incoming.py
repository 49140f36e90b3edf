"""Audio without time stamps: pieces in, frames out, in real time and without gaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from line.frames import PcmAudioFrame
from line.incoming import FILL_AFTER_S, MAX_AHEAD_S, MAX_EARLY_S, IncomingAudio
from tests.rtc.sound import loudness, tone
from utils import cancel_and_wait

RATE_HZ = 24_000
FRAME_BYTES = 960
SECOND = tone(440, 1.0, RATE_HZ)

pytestmark = pytest.mark.asyncio


class Reader:
    """Takes what `audio` hands on."""

    def __init__(self) -> None:
        self.audio = IncomingAudio(7, RATE_HZ)
        self.frames: list[PcmAudioFrame] = []
        self.changed = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self.audio.deliver(self._take))

    async def _take(self, frames: list[PcmAudioFrame]) -> bool:
        self.frames += frames
        self.changed.set()
        return True

    async def until(self, count: int) -> None:
        """Until so many frames came."""
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                self.changed.clear()
                await self.changed.wait()

    @property
    def pcm(self) -> bytes:
        return b"".join(frame.pcm for frame in self.frames)


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    await asyncio.sleep(0)
    yield reader
    reader.audio.close()
    await cancel_and_wait(reader.task)


async def test_each_frame_is_handed_on_in_the_step_in_which_it_is_complete(reader: Reader) -> None:
    audio = reader.audio
    audio.push(SECOND[: FRAME_BYTES - 2])
    assert reader.frames == []
    audio.push(SECOND[FRAME_BYTES - 2 : FRAME_BYTES + 100])
    assert [frame.pcm for frame in reader.frames] == [SECOND[:FRAME_BYTES]]
    audio.push(SECOND[FRAME_BYTES + 100 : 5 * FRAME_BYTES])
    assert reader.pcm == SECOND[: 5 * FRAME_BYTES]
    assert {(one.uid, one.sample_rate_hz, one.is_idle) for one in reader.frames} == {
        (7, RATE_HZ, False)
    }
    assert audio.statistics.received == 5


async def test_what_comes_faster_than_it_was_spoken_waits_for_its_time(reader: Reader) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    reader.audio.push(SECOND)
    at_once_s = len(reader.frames) * 0.02
    assert MAX_AHEAD_S <= at_once_s <= MAX_AHEAD_S + FILL_AFTER_S + 0.04
    assert reader.audio.ahead_ms > 700
    await reader.until(50)
    assert loop.time() - began_s >= 1.0 - MAX_AHEAD_S - FILL_AFTER_S - 0.05
    assert reader.pcm[: len(SECOND)] == SECOND


async def test_silence_takes_the_place_of_what_does_not_come(reader: Reader) -> None:
    reader.audio.push(SECOND[: 10 * FRAME_BYTES + 200])
    await reader.until(25)
    made_up = reader.frames[10:]
    # The rest of the last piece is not lost.
    assert made_up[0].pcm[:200] == SECOND[10 * FRAME_BYTES : 10 * FRAME_BYTES + 200]
    assert not made_up[0].is_idle
    assert all(frame.is_idle and not loudness(frame.pcm) for frame in made_up[1:])
    assert reader.audio.statistics.filled == len(made_up)
    count = len(reader.frames)
    reader.audio.push(SECOND[:FRAME_BYTES])
    assert reader.frames[count].pcm == SECOND[:FRAME_BYTES]


async def test_without_any_audio_nothing_is_made_up(reader: Reader) -> None:
    await asyncio.sleep(2 * FILL_AFTER_S)
    assert reader.frames == []


async def test_of_what_is_far_too_early_the_oldest_is_dropped(reader: Reader) -> None:
    for _ in range(int(MAX_EARLY_S) + 3):
        reader.audio.push(SECOND)
    assert reader.audio.statistics.dropped >= 100
    assert reader.audio.ahead_ms <= MAX_EARLY_S * 1000 + (MAX_AHEAD_S + FILL_AFTER_S) * 1000 + 40


async def test_what_comes_before_somebody_listens_is_kept_and_the_end_ends_the_reader() -> None:
    audio = IncomingAudio(7, RATE_HZ)
    audio.push(SECOND[: 5 * FRAME_BYTES])
    taken: list[PcmAudioFrame] = []

    async def take(frames: list[PcmAudioFrame]) -> bool:
        taken.extend(frames)
        return True

    delivering = asyncio.get_running_loop().create_task(audio.deliver(take))
    await asyncio.sleep(0)
    audio.push(SECOND[5 * FRAME_BYTES : 6 * FRAME_BYTES])
    audio.close()
    audio.push(SECOND)
    async with asyncio.timeout(5):
        await delivering
    assert b"".join(frame.pcm for frame in taken) == SECOND[: 6 * FRAME_BYTES]


async def test_a_live_sender_that_is_behind_catches_up_in_its_pauses(reader: Reader) -> None:
    audio, loop = reader.audio, asyncio.get_running_loop()
    # It spoke before somebody listened.
    audio.push(SECOND)
    began_s = loop.time()
    count = 0
    async with asyncio.timeout(10):
        while audio.ahead_ms > (MAX_AHEAD_S + FILL_AFTER_S) * 1000 or count < 75:
            audio.push(bytes(FRAME_BYTES))
            count += 1
            await asyncio.sleep(max(0.0, began_s + count * 0.02 - loop.time()))
    assert audio.statistics.skipped >= 10
    assert audio.statistics.dropped == 0
    # Not a word of it is lost.
    assert reader.pcm.startswith(SECOND)


async def test_a_file_keeps_its_silences(reader: Reader) -> None:
    reader.audio.push(SECOND[: 25 * FRAME_BYTES] + bytes(50 * FRAME_BYTES))
    await reader.until(75)
    assert reader.audio.statistics.skipped == 0
