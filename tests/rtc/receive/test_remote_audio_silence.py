"""Silence that is sent is handed on in batches where it may be, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from line.frames import PcmAudioFrame
from line.timing import HOLD_PACKETS, PTIME_S
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.opus import OpusEncoder
from rtc.receive.remote_audio import RemoteAudio
from tests.deadlines import DEADLINE_S
from tests.rtc.sound import tone

RATE_HZ = 24_000
FRAME_BYTES = 960
AFTER_S = 0.3


class Timer:
    """A timer of `Clock`."""

    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self._at_s, self.call = at_s, call
        self.is_cancelled = False

    def when(self) -> float:
        """When it fires."""
        return self._at_s

    def cancel(self) -> None:
        """It does not fire."""
        self.is_cancelled = True


class Clock:
    """The part of an event loop that a `RemoteAudio` uses, with time that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()

    def time(self) -> float:
        """The time in seconds."""
        return self.now_s

    def call_at(self, at_s: float, call: Callable[..., None], *arguments: Any) -> Timer:
        """Call at that time."""
        timer = Timer(at_s, lambda: call(*arguments))
        heapq.heappush(self._timers, (at_s, next(self._count), timer))
        return timer

    def call_later(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> Timer:
        """Call in a while."""
        return self.call_at(self.now_s + delay_s, call, *arguments)

    def move_to(self, until_s: float) -> int:
        """Let time pass; returns how many timers fired."""
        fired = 0
        while self._timers and self._timers[0][0] <= until_s:
            at_s, _, timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                self.now_s = max(self.now_s, at_s)
                timer.call()
                fired += 1
        self.now_s = until_s
        return fired


class Call:
    """A participant who sends on a perfect network, and a reader that notes what it gets and when."""

    def __init__(self, after_s: float | None = AFTER_S, *, is_stated: bool = False) -> None:
        self.clock = Clock()
        self.audio = RemoteAudio(7, RATE_HZ)
        self.audio._loop = self.clock  # type: ignore[assignment]
        self.audio.hold_silence(after_s)
        self.audio.handle_connected()
        self.batches: list[list[PcmAudioFrame]] = []
        self.oldest_s = 0.0
        self.timers_fired = 0
        self.silent_from: int | None = None
        self._is_stated = is_stated
        self._held: list[RtpPacket] = []
        self._encoder = OpusEncoder(RATE_HZ, is_dtx=False)
        self._sent = 0
        self.task = asyncio.get_running_loop().create_task(self.audio.deliver(self._take))

    async def _take(self, batch: list[PcmAudioFrame]) -> bool:
        self.batches.append(batch)
        self.oldest_s = max(self.oldest_s, self.clock.now_s - batch[0].received_at)
        return True

    def send(self, pcm: bytes) -> None:
        """Send a frame when it is due; stated silence waits as in the fast path."""
        self.timers_fired += self.clock.move_to(100.0 + self._sent * PTIME_S)
        number, self._sent = self._sent, self._sent + 1
        is_silent = self._is_stated and not any(pcm) and self.silent_from is not None
        packet = RtpPacket(
            1, number, number * 960, self._encoder.encode(pcm), self.clock.now_s, is_silent
        )
        self._held.append(packet)
        if is_silent and len(self._held) < HOLD_PACKETS:
            return
        held, self._held = self._held, []
        for count, each in enumerate(held, 1):
            self.silent_from = self.audio.handle_packet(each._replace(has_next=count < len(held)))

    def be_silent(self, frames: int) -> None:
        """Send silence."""
        for _ in range(frames):
            self.send(bytes(FRAME_BYTES))

    def speak(self, frames: int = 1) -> None:
        """Send sound."""
        for at in range(frames):
            self.send(tone(440, 0.02 * (at + 1), RATE_HZ)[-FRAME_BYTES:])

    @property
    def lengths(self) -> list[int]:
        """How many frames each batch had."""
        return [len(batch) for batch in self.batches]

    @property
    def pcm(self) -> list[bytes]:
        """All that was heard."""
        return [frame.pcm for batch in self.batches for frame in batch]

    async def close(self) -> None:
        """Until the reader has got all."""
        self.audio.close()
        async with asyncio.timeout(DEADLINE_S):
            await self.task


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call]:
    """Somebody connected who has sent nothing yet."""
    made = Call()
    await asyncio.sleep(0)
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_silence_comes_one_by_one_at_first_and_then_in_batches(call: Call) -> None:
    call.be_silent(50)
    begun = round(AFTER_S / PTIME_S)
    assert call.lengths[: begun - 1] == [1] * (begun - 1)
    assert set(call.lengths[begun:]) == {HOLD_PACKETS}


@pytest.mark.asyncio
async def test_batches_are_as_large_as_the_reader_wants(call: Call) -> None:
    call.audio.hold_silence(AFTER_S, 2 * HOLD_PACKETS)
    call.be_silent(60)
    assert set(call.lengths[15:]) == {2 * HOLD_PACKETS}
    call.audio.hold_silence(AFTER_S)
    call.be_silent(2 * HOLD_PACKETS)
    call.batches.clear()
    call.be_silent(6 * HOLD_PACKETS)
    assert set(call.lengths) == {HOLD_PACKETS}


@pytest.mark.asyncio
async def test_sound_takes_what_waits_along_in_the_same_step(call: Call) -> None:
    call.be_silent(40)
    for waiting in range(HOLD_PACKETS):
        call.be_silent(20 + waiting)
        call.speak()
        # It was decoded, and the reader has it, before anything else of the loop ran.
        assert len(call.pcm) == call._sent
        assert call.batches[-1][-1].received_at == call.clock.now_s
        call.be_silent(3)
        assert call.lengths[-3:] == [1, 1, 1]


@pytest.mark.asyncio
async def test_no_frame_waits_for_longer_than_a_batch_takes(call: Call) -> None:
    call.be_silent(200)
    assert call.oldest_s == pytest.approx((HOLD_PACKETS - 1) * PTIME_S)
    # No timer fired, and none was needed, while packets came.
    assert call.timers_fired == 0


@pytest.mark.asyncio
async def test_a_network_that_stalls_is_filled_a_little_later_and_then_as_ever(call: Call) -> None:
    call.be_silent(60)
    sent = len(call.pcm)
    stall_s = call.clock.now_s
    call.clock.move_to(stall_s + 0.3)
    assert len(call.pcm) - sent >= 10
    call.batches.clear()
    call.clock.move_to(stall_s + 0.5)
    # Frame by frame again.
    assert set(call.lengths) == {1}
    assert sum(call.lengths) == 10


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "end",
    [
        RemoteAudio.handle_disconnected,
        RemoteAudio.close,
        lambda audio: audio.hold_silence(None),
    ],
)
async def test_what_waits_comes_when_nothing_may_wait_any_more(
    call: Call, end: Callable[[RemoteAudio], None]
) -> None:
    call.be_silent(50)
    while len(call.pcm) == call._sent:
        call.be_silent(1)
    end(call.audio)
    assert len(call.pcm) == call._sent


@pytest.mark.asyncio
async def test_what_is_heard_and_its_times_are_the_same_whether_silence_waits_or_not() -> None:
    heard = []
    for after_s, is_stated in ((None, False), (AFTER_S, False), (AFTER_S, True)):
        call = Call(after_s, is_stated=is_stated)
        await asyncio.sleep(0)
        for length in (50, 3, 41, 100):
            call.be_silent(length)
            call.speak(4)
        await call.close()
        heard.append([frame for batch in call.batches for frame in batch])
        assert (max(call.lengths) > 1) == (after_s is not None)
    assert heard[0] == heard[1] == heard[2]


@pytest.mark.asyncio
async def test_packets_that_wait_unopened_reach_the_reader_as_one_batch() -> None:
    call = Call(is_stated=True)
    await asyncio.sleep(0)
    call.be_silent(20)
    call.batches.clear()
    call.be_silent(10 * HOLD_PACKETS)
    assert call.lengths == [HOLD_PACKETS] * 10
    await call.close()
