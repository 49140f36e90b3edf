"""The head of a recording: read by others, read again by us, beyond 4 GiB too."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session.recording.wav import HEAD_BYTES, NotARecordingError, WavHead

GIB = 2**30
HEAD = WavHead(24_000, 4, 1_700_000_000_000, "Call a1").to_bytes()


@settings(max_examples=50)
@given(
    rate_hz=st.sampled_from([8_000, 16_000, 24_000, 48_000]),
    samples=st.integers(0, 2**36),
    began_ms=st.integers(0, 4_102_444_800_000),
    description=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=256),
)
def test_what_is_written_is_read(
    rate_hz: int, samples: int, began_ms: int, description: str
) -> None:
    head = WavHead(rate_hz, samples * 4, began_ms, description)
    data = head.to_bytes()
    assert len(data) == HEAD_BYTES
    assert WavHead.parse(data) == head


def test_others_can_read_it() -> None:
    audio = bytes(range(200)) * 4
    head = WavHead(24_000, len(audio), 1_700_000_000_000, "Call a1")
    with wave.open(io.BytesIO(head.to_bytes() + audio)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 24_000)
        assert wav.readframes(wav.getnframes()) == audio


def test_beyond_4_gib_it_is_rf64() -> None:
    largest = WavHead(24_000, 4 * GIB - HEAD_BYTES, 0, "").to_bytes()
    assert largest[:4] == b"RIFF"
    beyond = WavHead(24_000, 5 * GIB, 0, "").to_bytes()
    assert (beyond[:4], beyond[12:16]) == (b"RF64", b"ds64")
    assert struct.unpack_from("<QQQ", beyond, 20) == (
        5 * GIB + HEAD_BYTES - 8,
        5 * GIB,
        5 * GIB // 4,
    )
    assert struct.unpack_from("<I", beyond, HEAD_BYTES - 4) == (2**32 - 1,)


@settings(max_examples=50)
@given(st.binary(max_size=800))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(NotARecordingError):
        WavHead.parse(data)


@settings(max_examples=50)
@example(HEAD.index(struct.pack("<I", 24_000)) + 3, 64)  # some GHz
@given(st.integers(0, HEAD_BYTES - 1), st.integers(0, 255))
def test_a_damaged_head_is_refused_or_read(position: int, value: int) -> None:
    data = bytearray(HEAD)
    data[position] = value
    try:
        WavHead.parse(bytes(data))
    except NotARecordingError:
        pass
