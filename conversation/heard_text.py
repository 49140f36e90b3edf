"""Words of a reply that were heard, from milliseconds of its audio that were played.

A provider sends a reply's words and voice side by side but not aligned. Speech runs at a nearly
even pace, so the played share of the audio is taken as the heard share of the words, rounded down
to whole words: half a word is not understood. While audio is still coming in, words usually run
ahead of it: then the learned pace gives the duration of all of them.
"""

from __future__ import annotations

import re

# Scripts that write a syllable with one sign, and how many letters such a sign is worth.
_SIGNS = r"\u2e80-\ud7ff\uf900-\ufaff"
_SYLLABIC = re.compile(f"[{_SIGNS}]")
_SYLLABLE_WEIGHT = 3.0
# About 150 English words a minute.
DEFAULT_PACE_MS = 65.0
# Fastest and slowest speech: a value beyond them is due to pauses, or to words without audio.
_PACES_MS = (30.0, 150.0)
# Shorter replies are too uneven to learn from.
_MIN_LEARNED = 20.0
# Weight of the latest reply in the moving average.
_LEARNING = 0.3

# Milliseconds computed from samples are inexact.
_ROUNDING_MS = 0.2

# Smallest unit that is heard or not heard: a word, or one such sign.
_UNIT = re.compile(rf"[{_SIGNS}]|[^\s{_SIGNS}]+")


def spoken_weight(text: str) -> float:
    """Return the spoken length of `text` in letters."""
    return len(text) + (_SYLLABLE_WEIGHT - 1) * len(_SYLLABIC.findall(text))


class SpeakingPace:
    """Learns the milliseconds per letter of a voice from replies that were received whole."""

    def __init__(self) -> None:
        self.ms_per_letter = DEFAULT_PACE_MS

    def learn(self, transcript: str, received_ms: float) -> None:
        """Learn from a `transcript` whose audio took `received_ms`; ignore one that is too short."""
        weight = spoken_weight(transcript)
        if weight >= _MIN_LEARNED and received_ms > 0:
            pace_ms = min(max(received_ms / weight, _PACES_MS[0]), _PACES_MS[1])
            self.ms_per_letter += _LEARNING * (pace_ms - self.ms_per_letter)

    def expected_ms(self, transcript: str, received_ms: float) -> float:
        """Return the expected duration of the words so far, part of whose audio may be still to
        come.
        """
        return max(received_ms, spoken_weight(transcript) * self.ms_per_letter)


def heard_length(transcript: str, *, received_ms: float, played_ms: float) -> int:
    """Return the number of characters that `played_ms` of `received_ms` made audible."""
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
    """Return the part of `transcript` that `played_ms` of its `received_ms` of audio made audible."""
    length = heard_length(transcript, received_ms=received_ms, played_ms=played_ms)
    return transcript[:length].strip()


def pcm_ms(pcm_bytes: int, sample_rate_hz: int) -> float:
    """Return the duration of PCM16 mono audio in milliseconds."""
    return pcm_bytes / 2 * 1000 / sample_rate_hz
