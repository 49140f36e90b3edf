"""The silence before a reply's first sound."""

from __future__ import annotations

import numpy as np
import pytest

from speech.lead_silence import LeadSilence

MS = 48
VOICE = np.full(24 * 100, 3_000, np.int16).tobytes()


def _quiet(length_ms: int) -> bytes:
    return np.full(24 * length_ms, 50, np.int16).tobytes()


@pytest.mark.parametrize("piece_bytes", [2, 50, 4_000, 100_000])
def test_all_but_a_little_of_it_is_dropped_however_it_comes(piece_bytes: int) -> None:
    pcm = _quiet(60) + VOICE + _quiet(60) + VOICE
    lead = LeadSilence()
    heard = b"".join(
        lead.push(pcm[start : start + piece_bytes]) for start in range(0, len(pcm), piece_bytes)
    )
    assert heard + lead.flush() == _quiet(5) + VOICE + _quiet(60) + VOICE


def test_a_long_silence_is_meant() -> None:
    lead = LeadSilence()
    heard = lead.push(_quiet(400)) + lead.push(_quiet(10)) + lead.push(VOICE)
    assert heard == _quiet(260) + VOICE


def test_a_short_one_stays() -> None:
    lead = LeadSilence()
    assert lead.push(_quiet(3)) == b""
    assert lead.flush() == _quiet(3)
