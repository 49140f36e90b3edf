"""A participant's stream of frames: subscribed, real time, bounded, ended with the participant."""

from __future__ import annotations

import asyncio
import time

import pytest
import pytest_asyncio

from line.frames import MAX_WAITING_FRAMES
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.opus import OpusEncoder
from rtc.receive.remote_audio import RemoteAudio
from tests.rtc.sound import loudness, tone

RATE_HZ = 24_000
FRAME_BYTES = 960


def _packets(pcm: bytes) -> list[RtpPacket]:
    encoder = OpusEncoder(RATE_HZ)
    return [
        RtpPacket(1, i, i * 960, encoder.encode(pcm[at : at + FRAME_BYTES]))
        for i, at in enumerate(range(0, len(pcm), FRAME_BYTES))
    ]


async def _next(audio: RemoteAudio, count: int) -> list[bytes]:
    frames = audio.frames()
    async with asyncio.timeout(5):
        return [(await anext(frames)).pcm for _ in range(count)]


@pytest_asyncio.fixture
async def audio() -> RemoteAudio:
    """A voice that somebody listens to."""
    made = RemoteAudio(7, RATE_HZ)
    made.subscribe()
    return made


@pytest.mark.asyncio
async def test_a_packet_is_a_frame_at_once(audio: RemoteAudio) -> None:
    audio.handle_connected()
    for packet in _packets(tone(440, 0.06, RATE_HZ)):
        audio.handle_packet(packet)
    frames = await _next(audio, 3)
    assert [len(frame) for frame in frames] == [FRAME_BYTES] * 3
    assert loudness(frames[2]) > 3000
    audio.close()
    audio.close()


@pytest.mark.asyncio
async def test_a_reader_that_pauses_loses_the_oldest(audio: RemoteAudio) -> None:
    audio.handle_connected()
    async with asyncio.timeout(5):
        while audio.dropped < 5:  # noqa: ASYNC110 - nobody reads, so nothing wakes us
            await asyncio.sleep(0.05)
    audio.close()
    assert len([frame async for frame in audio.frames()]) == MAX_WAITING_FRAMES


@pytest.mark.asyncio
async def test_nobody_listening_costs_nothing() -> None:
    audio = RemoteAudio(7, RATE_HZ)
    audio.handle_connected()
    for packet in _packets(tone(440, 0.1, RATE_HZ)):
        audio.handle_packet(packet)
    assert audio.statistics.jitter.received == 0
    assert audio.last_packet_at_s is not None
    audio.close()
    assert [frame async for frame in audio.frames()] == []


@pytest.mark.asyncio
async def test_silence_fills_real_time_while_connected(audio: RemoteAudio) -> None:
    audio.handle_connected()
    began_s = time.monotonic()
    assert await _next(audio, 10) == [bytes(FRAME_BYTES)] * 10
    assert time.monotonic() - began_s >= 0.18
    audio.handle_disconnected()
    frames = audio.statistics.frames
    await asyncio.sleep(0.1)
    assert audio.statistics.frames == frames
    audio.handle_connected()
    await _next(audio, 1)
    audio.close()


@pytest.mark.asyncio
async def test_a_lost_packet_is_given_up_by_the_clock(audio: RemoteAudio) -> None:
    audio.handle_connected()
    packets = _packets(tone(440, 0.2, RATE_HZ))
    audio.handle_packet(packets[0])
    audio.handle_packet(packets[2])
    await asyncio.sleep(0.01)
    audio.handle_packet(packets[1])
    assert audio.reorder_wait_ms > 10
    audio.handle_packet(packets[4])
    async with asyncio.timeout(5):
        while not audio.statistics.recovered:
            await _next(audio, 1)
    assert audio.statistics.jitter.lost == 1
    audio.close()
