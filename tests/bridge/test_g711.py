"""G.711 against the values of the recommendation, and against itself."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bridge import g711
from tests.rtc.sound import tone

LAWS: tuple[g711.Law, ...] = ("ulaw", "alaw")


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        *(("ulaw", 0xFF, 0), ("ulaw", 0x80, 32_124), ("ulaw", 0x00, -32_124), ("ulaw", 0xFE, 8)),
        *(("ulaw", 0xF0, 120), ("ulaw", 0xEF, 132), ("ulaw", 0x7E, -8)),
        *(("alaw", 0xD5, 8), ("alaw", 0x55, -8), ("alaw", 0xAA, 32_256), ("alaw", 0x2A, -32_256)),
        *(("alaw", 0xC5, 264), ("alaw", 0xF5, 528)),
    ],
)
def test_codes_have_their_values(law: g711.Law, code: int, value: int) -> None:
    assert g711.decode(law, bytes([code])) == struct.pack("<h", value)


@pytest.mark.parametrize("law", LAWS)
def test_each_code_survives_and_each_sample_gets_the_nearest_value(law: g711.Law) -> None:
    codes = bytes(range(256))
    values = g711.decode(law, codes)
    again = g711.encode(law, values)
    assert g711.decode(law, again) == values
    samples = np.arange(-32_768, 32_768, 7, dtype=np.int16)
    coded = np.frombuffer(g711.decode(law, g711.encode(law, samples.tobytes())), np.int16)
    table = np.unique(np.frombuffer(values, np.int16).astype(np.int32))
    nearest = np.abs(samples.astype(np.int32)[:, None] - table[None, :]).min(axis=1)
    assert (np.abs(coded.astype(np.int32) - samples) <= nearest + 1).all()


@pytest.mark.parametrize("law", LAWS)
def test_a_tone_keeps_its_quality(law: g711.Law) -> None:
    pcm = tone(440, 0.5, 8_000)
    sent = np.frombuffer(pcm, np.int16).astype(np.float64)
    got = np.frombuffer(g711.decode(law, g711.encode(law, pcm)), np.int16)
    noise = ((got - sent) ** 2).mean()
    assert 10 * np.log10((sent**2).mean() / noise) > 35
