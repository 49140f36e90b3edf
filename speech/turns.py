"""Turn detection: from speech probabilities of 32 ms windows to who has the floor. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

SPECULATE_AFTER_MS = 190
"""Silence after which the words so far are worth recognising, in case the turn ends here."""

_START_WINDOWS = 2
_RELEASE_MARGIN = 0.15
_MIN_SILENCE_MS = 64


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How turns are found; meanings as in OpenAI's `server_vad`."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_ms: int = 400


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began; audio from `start_ms` (padding included) belongs to the turn."""

    start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """Silence long enough to recognise what was said up to `at_ms`; the turn may still go on."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The pause was none: the user goes on in the same turn."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The turn is over; `end_ms` is the end of the audio that was sent, silence included."""

    start_ms: int
    end_ms: int


TurnEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechStopped


class TurnDetector:
    """One stream's turns. Times are milliseconds of audio since the session began."""

    def __init__(self, settings: TurnSettings, *, window_ms: int, max_turn_ms: int) -> None:
        self._settings = settings
        self._window_ms = window_ms
        self._max_turn_ms = max_turn_ms
        self._held_silence_ms = 0  # a longer silence asked for while this pause lasts
        self._loud_windows = 0
        self._silence_ms = 0
        self._start_ms: int | None = None
        self._has_paused = False
        self._earliest_start_ms = 0

    @property
    def is_speaking(self) -> bool:
        """Whether a turn is open."""
        return self._start_ms is not None

    @property
    def start_ms(self) -> int | None:
        """Where the open turn begins."""
        return self._start_ms

    @property
    def settings(self) -> TurnSettings:
        """What applies now."""
        return self._settings

    def change(self, settings: TurnSettings) -> None:
        """New settings count from the next window on."""
        self._settings = settings

    def hold(self, silence_ms: int) -> None:
        """Wait for this much silence in the present pause: what was said sounds unfinished."""
        self._held_silence_ms = silence_ms

    def reset(self, now_ms: int) -> None:
        """Forget an open turn; the next one begins after `now_ms`."""
        self._start_ms = None
        self._loud_windows = self._silence_ms = self._held_silence_ms = 0
        self._has_paused = False
        self._earliest_start_ms = now_ms

    def handle_window(self, probability: float, end_ms: int) -> TurnEvent | None:
        """Judge the window that ends at `end_ms`."""
        if self._start_ms is None:
            return self._listen(probability, end_ms)
        return self._follow(self._start_ms, probability, end_ms)

    def _listen(self, probability: float, end_ms: int) -> TurnEvent | None:
        self._loud_windows = (
            self._loud_windows + 1 if probability >= self._settings.threshold else 0
        )
        if self._loud_windows < _START_WINDOWS:
            return None
        onset_ms = end_ms - _START_WINDOWS * self._window_ms
        start_ms = max(self._earliest_start_ms, onset_ms - self._settings.prefix_padding_ms)
        self._start_ms = start_ms
        self._silence_ms = 0
        self._has_paused = False
        return SpeechStarted(start_ms)

    def _follow(self, start_ms: int, probability: float, end_ms: int) -> TurnEvent | None:
        if end_ms - start_ms >= self._max_turn_ms:
            return self._stop(start_ms, end_ms)
        if probability >= max(0.05, self._settings.threshold - _RELEASE_MARGIN):
            return self._resume()
        self._silence_ms += self._window_ms
        needed_ms = max(self._settings.silence_ms, self._held_silence_ms, _MIN_SILENCE_MS)
        if self._silence_ms >= needed_ms:
            return self._stop(start_ms, end_ms)
        if self._silence_ms >= SPECULATE_AFTER_MS and not self._has_paused:
            self._has_paused = True
            return SpeechPaused(end_ms)
        return None

    def _resume(self) -> TurnEvent | None:
        had_paused = self._has_paused
        self._silence_ms = self._held_silence_ms = 0
        self._has_paused = False
        return SpeechResumed() if had_paused else None

    def _stop(self, start_ms: int, end_ms: int) -> TurnEvent:
        self.reset(end_ms)
        return SpeechStopped(start_ms, end_ms)


_EAGERNESS = {
    "high": (300, 2_000),
    "medium": (400, 4_000),
    "auto": (400, 4_000),
    "low": (800, 8_000),
}

_UNFINISHED_LAST_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "my",
        "your",
        "his",
        "her",
        "its",
        "our",
        "their",
        "and",
        "or",
        "but",
        "so",
        "because",
        "if",
        "when",
        "while",
        "that",
        "which",
        "who",
        "to",
        "of",
        "for",
        "from",
        "with",
        "at",
        "in",
        "on",
        "by",
        "about",
        "into",
        "than",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "will",
        "would",
        "can",
        "could",
        "should",
        "i'm",
        "um",
        "uh",
        "er",
        "hmm",
        "please",
    ]
)


def semantic_settings(eagerness: str | None) -> TurnSettings:
    """Semantic detection waits this long when what was said sounds complete."""
    return replace(TurnSettings(), silence_ms=_EAGERNESS[eagerness or "auto"][0])


def longest_hold_ms(eagerness: str | None) -> int:
    """How much silence to wait for while it is not yet known what was said."""
    return _EAGERNESS[eagerness or "auto"][1]


def semantic_hold_ms(transcript: str, eagerness: str | None) -> int:
    """How much silence an unfinished sentence deserves; 0 when it sounds complete."""
    words = transcript.lower().rstrip(" .,…").split()
    is_unfinished = bool(words) and (
        words[-1] in _UNFINISHED_LAST_WORDS or transcript.rstrip().endswith((",", "...", "…", "-"))
    )
    return _EAGERNESS[eagerness or "auto"][1] if is_unfinished else 0
