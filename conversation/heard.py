"""What of a reply was heard: words from milliseconds.

A provider sends a reply's words and voice side by side but not aligned. Speech runs at a nearly
even pace, so the played share of the received audio is taken as the heard share of the words,
rounded down to whole words: a listener who heard half a word did not understand it.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\S+")


def heard_text(transcript: str, *, received_ms: float, played_ms: float) -> str:
    """The part of `transcript` that `played_ms` of its `received_ms` of audio made audible."""
    if played_ms <= 0 or received_ms <= 0:
        return ""
    if played_ms >= received_ms:
        return transcript.strip()
    reach = len(transcript) * played_ms / received_ms
    end = 0
    for word in _WORD.finditer(transcript):
        if word.end() > reach:
            break
        end = word.end()
    return transcript[:end].strip()


def pcm_ms(pcm_bytes: int, sample_rate_hz: int) -> float:
    """Length of PCM16 mono audio in milliseconds."""
    return pcm_bytes / 2 * 1000 / sample_rate_hz
