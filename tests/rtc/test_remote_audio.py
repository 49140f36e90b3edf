"""A participant's voice: whole through losses, odd packets, new senders and slow readers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import pytest_asyncio

from rtc.aiortc_adapter import RtpPacket
from rtc.opus import OpusEncoder
from rtc.remote_audio import MAX_WAITING_FRAMES, RemoteAudio
from tests.rtc.sound import frequency_hz, loudness, tone

RATE_HZ = 24_000
FRAME_BYTES = 960


def _packets(pcm: bytes, *, ptime_ms: int = 20, ssrc: int = 1, first: int = 0) -> list[RtpPacket]:
    encoder = OpusEncoder(RATE_HZ)
    size = RATE_HZ * ptime_ms // 1000 * 2
    return [
        RtpPacket(ssrc, (first + i) % 2**16, i * 48 * ptime_ms, encoder.encode(pcm[at : at + size]))
        for i, at in enumerate(range(0, len(pcm), size))
    ]


async def _drain(audio: RemoteAudio) -> bytes:
    audio.close()
    return b"".join([frame.pcm async for frame in audio.frames()])


@pytest_asyncio.fixture
async def audio() -> RemoteAudio:
    """A voice that somebody listens to."""
    made = RemoteAudio(7, RATE_HZ)
    made.subscribe()
    return made


@pytest.mark.asyncio
async def test_losses_leave_no_gap(audio: RemoteAudio) -> None:
    for index, packet in enumerate(_packets(tone(440, 0.8, RATE_HZ), first=65_530)):
        if index not in (5, 12, 20, 21, 22):
            audio.handle_packet(packet)
    counts = audio.statistics
    assert (counts.jitter.lost, counts.recovered, counts.concealed) == (5, 3, 2)
    pcm = await _drain(audio)
    assert len(pcm) == 40 * FRAME_BYTES
    assert abs(frequency_hz(pcm, RATE_HZ) - 440) < 5
    levels = [loudness(frame.tobytes()) for frame in np.frombuffer(pcm, np.int16).reshape(40, -1)]
    # A single loss is rebuilt in full; a longer one is bridged while it fades.
    assert min(levels[5], levels[12]) > 6000
    assert min(levels) > 1500


@pytest.mark.asyncio
@pytest.mark.parametrize("ptime_ms", [10, 40, 60])
async def test_any_packet_time_becomes_frames_of_20_ms(audio: RemoteAudio, ptime_ms: int) -> None:
    for packet in _packets(tone(440, 0.6, RATE_HZ), ptime_ms=ptime_ms):
        audio.handle_packet(packet)
    audio.close()
    frames = [frame async for frame in audio.frames()]
    assert [len(frame.pcm) for frame in frames] == [FRAME_BYTES] * 30
    heard = b"".join(frame.pcm for frame in frames)
    assert abs(frequency_hz(heard, RATE_HZ) - 440) < 5


@pytest.mark.asyncio
async def test_a_new_sender_is_heard_at_once(audio: RemoteAudio) -> None:
    for packet in _packets(tone(440, 0.2, RATE_HZ)):
        audio.handle_packet(packet)
    for packet in _packets(tone(880, 0.4, RATE_HZ), ssrc=2, first=30_000):
        audio.handle_packet(packet)
    assert audio.statistics.jitter.lost == 0
    pcm = await _drain(audio)
    assert abs(frequency_hz(pcm[12 * FRAME_BYTES :], RATE_HZ) - 880) < 10


@pytest.mark.asyncio
async def test_nonsense_is_counted_and_survived(audio: RemoteAudio) -> None:
    packets = _packets(tone(440, 0.4, RATE_HZ))
    for index, packet in enumerate(packets):
        if index == 5:
            packet = RtpPacket(1, packet.sequence_number, packet.timestamp, b"\xff" * 40)  # noqa: PLW2901
        audio.handle_packet(packet)
    audio.handle_packet(RtpPacket(1, 20, 19_200, b""))
    assert audio.statistics.corrupt == 1
    assert len(await _drain(audio)) == 19 * FRAME_BYTES


@pytest.mark.asyncio
async def test_a_slow_reader_loses_the_oldest(audio: RemoteAudio) -> None:
    for packet in _packets(tone(440, 1.2, RATE_HZ)):
        audio.handle_packet(packet)
    assert audio.statistics.dropped == 60 - MAX_WAITING_FRAMES
    assert len(await _drain(audio)) == MAX_WAITING_FRAMES * FRAME_BYTES


@pytest.mark.asyncio
async def test_nobody_listening_costs_nothing() -> None:
    audio = RemoteAudio(7, RATE_HZ)
    audio.handle_connected()
    for packet in _packets(tone(440, 0.1, RATE_HZ)):
        audio.handle_packet(packet)
    assert audio.statistics.frames == 0
    assert audio.statistics.last_packet_at_s is not None
    assert await _drain(audio) == b""


class Frames:
    """Reads a voice in the background and lets a test wait for a number of frames."""

    def __init__(self, audio: RemoteAudio) -> None:
        self._frames = audio.frames()

    async def next(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            return [(await anext(self._frames)).pcm for _ in range(count)]


@pytest.mark.asyncio
async def test_pauses_become_silence_and_speech_goes_on(audio: RemoteAudio) -> None:
    audio.handle_connected()
    frames = Frames(audio)
    packets: Iterator[RtpPacket] = iter(_packets(tone(440, 0.4, RATE_HZ)))
    for _ in range(5):
        audio.handle_packet(next(packets))
    assert loudness(b"".join((await frames.next(5))[1:])) > 3000
    silence = await frames.next(5)
    assert silence == [bytes(FRAME_BYTES)] * 5
    audio.handle_packet(next(packets))
    waiting = [bytes(FRAME_BYTES)]
    while not any(waiting[-1]):
        waiting += await frames.next(1)
    assert loudness(waiting[-1]) > 1000
    audio.handle_disconnected()
    filled = audio.statistics.filled
    await asyncio.sleep(0.15)
    assert audio.statistics.filled == filled
    audio.close()


@pytest.mark.asyncio
async def test_a_lost_packet_is_waited_for_once_reordering_was_seen(audio: RemoteAudio) -> None:
    packets = _packets(tone(440, 0.2, RATE_HZ))
    audio.handle_packet(packets[0])
    audio.handle_packet(packets[2])
    await asyncio.sleep(0.02)
    audio.handle_packet(packets[1])
    assert audio.reorder_wait_ms > 20
    audio.handle_packet(packets[4])
    assert audio.statistics.frames == 3
    audio.handle_packet(packets[3])
    assert audio.statistics.frames == 5
    audio.handle_packet(packets[6])
    assert audio.statistics.frames == 5
    # Given up by the clock alone: no further packet comes.
    await Frames(audio).next(7)
    assert audio.statistics.recovered == 2
    audio.close()
