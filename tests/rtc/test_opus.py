"""Opus: what goes in comes out, losses are repaired, nonsense is refused, handles are freed."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.opus import OpusDecoder, OpusEncoder, OpusError, packet_samples
from tests.rtc.sound import frequency_hz, loudness, tone

RATE_HZ = 24_000
FRAME_BYTES = 960


def _frames(pcm: bytes) -> list[bytes]:
    return [pcm[i : i + FRAME_BYTES] for i in range(0, len(pcm), FRAME_BYTES)]


def _packets(pcm: bytes) -> list[bytes]:
    encoder = OpusEncoder(RATE_HZ)
    return [encoder.encode(frame) for frame in _frames(pcm)]


@pytest.mark.parametrize("out_hz", [8_000, 16_000, 24_000, 48_000])
def test_a_tone_survives_at_any_output_rate(out_hz: int) -> None:
    packets = _packets(tone(440, 0.5, RATE_HZ))
    decoder = OpusDecoder(out_hz)
    pcm = b"".join(decoder.decode(packet) for packet in packets)
    assert len(pcm) == out_hz
    assert abs(frequency_hz(pcm, out_hz) - 440) < 5
    assert packet_samples(packets[0], out_hz) == out_hz // 50


def _sample(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, np.int16).astype(np.float64)


def test_a_lost_packet_is_rebuilt_better_than_concealed() -> None:
    rng = np.random.default_rng(1)
    sweep = np.sin(np.cumsum(np.linspace(0.02, 0.25, RATE_HZ))) * 9000
    pcm = (sweep + rng.normal(0, 50, RATE_HZ)).astype(np.int16).tobytes()
    packets = _packets(pcm)
    whole, rebuilt, concealed = (OpusDecoder(RATE_HZ) for _ in range(3))
    error_rebuilt = error_concealed = 0.0
    for index, packet in enumerate(packets[:-1]):
        truth = _sample(whole.decode(packet))
        if index % 10 == 5:
            fec = rebuilt.decode_fec(packets[index + 1], 480)
            assert len(fec) == FRAME_BYTES
            error_rebuilt += np.abs(_sample(fec) - truth).mean()
            error_concealed += np.abs(_sample(concealed.conceal(480)) - truth).mean()
        else:
            rebuilt.decode(packet)
            concealed.decode(packet)
    assert error_rebuilt < 0.7 * error_concealed


def test_silence_becomes_next_to_nothing() -> None:
    sizes = [len(packet) for packet in _packets(bytes(RATE_HZ * 4))]
    assert sum(size <= 2 for size in sizes[20:]) > 0.9 * len(sizes[20:])


def test_concealment_fades_to_silence() -> None:
    decoder = OpusDecoder(RATE_HZ)
    for packet in _packets(tone(440, 0.2, RATE_HZ)):
        decoder.decode(packet)
    concealed = [loudness(decoder.conceal(480)) for _ in range(20)]
    assert concealed[0] > 1000
    assert concealed[-1] < 10


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(payload: bytes) -> None:
    decoder = OpusDecoder(RATE_HZ)
    try:
        pcm = decoder.decode(payload)
    except OpusError:
        pcm = b""
    assert len(pcm) <= RATE_HZ * 120 // 1000 * 2
    assert len(decoder.conceal(480)) == FRAME_BYTES


def test_refuses_odd_frames_and_rates() -> None:
    with pytest.raises(OpusError, match="invalid"):
        OpusEncoder(RATE_HZ).encode(b"12")
    with pytest.raises(ValueError, match="44100"):
        OpusEncoder(44_100)
    with pytest.raises(ValueError, match="22050"):
        OpusDecoder(22_050)
    with pytest.raises(OpusError, match="empty"):
        packet_samples(b"", RATE_HZ)


def test_handles_go_with_their_objects() -> None:
    encoder, decoder = OpusEncoder(RATE_HZ), OpusDecoder(RATE_HZ)
    ends: list[Any] = [encoder._close, decoder._close]
    assert all(end.alive for end in ends)
    encoder.close()
    encoder.close()
    del encoder, decoder
    gc.collect()
    assert not any(end.alive for end in ends)


def test_what_is_decoded_is_later_by_the_lookahead() -> None:
    encoder, decoder = OpusEncoder(RATE_HZ, bitrate_bps=64_000), OpusDecoder(RATE_HZ)
    noise = np.random.default_rng(1).normal(0, 1, RATE_HZ // 2)
    voice = (np.convolve(noise, np.ones(8) / 8, "same") * 8_000).astype(np.int16)
    decoded = b"".join(decoder.decode(encoder.encode(pcm)) for pcm in _frames(voice.tobytes()))
    likeness = np.correlate(
        np.frombuffer(decoded, np.int16)[2_400:9_600].astype(float),
        voice[2_400:9_000].astype(float),
    )
    assert abs(int(likeness.argmax()) - encoder.lookahead_samples) <= 12
