"""What of a reply was heard: words from milliseconds.

A provider sends a reply's words and voice side by side but not aligned. Speech runs at a nearly
even pace, so the played share of the audio is taken as the heard share of the words, rounded down to
whole words: a listener who heard half a word did not understand it. While audio is still coming in,
words usually run ahead of it: then the pace tells how long all of them will take.
"""

from __future__ import annotations

import re

# Scripts that write a syllable with one sign, and how many letters such a sign is worth.
_SIGNS = r"\u2e80-\ud7ff\uf900-\ufaff"
_SYLLABIC = re.compile(f"[{_SIGNS}]")
_SYLLABLE_WEIGHT = 3.0
# About 150 English words a minute.
DEFAULT_PACE_MS = 65.0
# Nobody speaks faster or slower: what looks so has pauses in it, or words that were not sent.
_PACES_MS = (30.0, 150.0)
_MIN_LEARNED = 20.0
_LEARNING = 0.3

# Samples and milliseconds are not exactly the same.
_ROUNDING_MS = 0.2

# What is heard or not heard as a whole: a word, or one such sign.
_UNIT = re.compile(rf"[{_SIGNS}]|[^\s{_SIGNS}]+")


def spoken_weight(text: str) -> float:
    """How long `text` is when spoken, in letters."""
    return len(text) + (_SYLLABLE_WEIGHT - 1) * len(_SYLLABIC.findall(text))


class SpeakingPace:
    """Learns how long the voice takes for a letter, from replies that were received whole."""

    def __init__(self) -> None:
        self.ms_per_letter = DEFAULT_PACE_MS

    def learn(self, transcript: str, received_ms: float) -> None:
        """`transcript` took `received_ms`; what is too short to tell anything is ignored."""
        weight = spoken_weight(transcript)
        if weight >= _MIN_LEARNED and received_ms > 0:
            pace_ms = min(max(received_ms / weight, _PACES_MS[0]), _PACES_MS[1])
            self.ms_per_letter += _LEARNING * (pace_ms - self.ms_per_letter)

    def expected_ms(self, transcript: str, received_ms: float) -> float:
        """How long the words so far take, when part of their audio may still be to come."""
        return max(received_ms, spoken_weight(transcript) * self.ms_per_letter)


def heard_length(transcript: str, *, received_ms: float, played_ms: float) -> int:
    """How many characters of `transcript` its first `played_ms` of `received_ms` made audible."""
    if played_ms <= 0 or received_ms <= 0:
        return 0
    if played_ms >= received_ms - _ROUNDING_MS:
        return len(transcript)
    reach = spoken_weight(transcript) * played_ms / received_ms
    end = 0
    for unit in _UNIT.finditer(transcript):
        reach -= spoken_weight(transcript[end : unit.end()])
        if reach < 0:
            break
        end = unit.end()
    return end


def heard_text(transcript: str, *, received_ms: float, played_ms: float) -> str:
    """The part of `transcript` that `played_ms` of its `received_ms` of audio made audible."""
    length = heard_length(transcript, received_ms=received_ms, played_ms=played_ms)
    return transcript[:length].strip()


def pcm_ms(pcm_bytes: int, sample_rate_hz: int) -> float:
    """Length of PCM16 mono audio in milliseconds."""
    return pcm_bytes / 2 * 1000 / sample_rate_hz
