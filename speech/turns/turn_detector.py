"""Turn detection: from speech probabilities of 32 ms windows to who has the floor. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

SPECULATE_AFTER_MS = 96
"""Silence after which the words so far are worth recognising, in case the turn ends here.

The recorded test sentences have one such pause within every fourth, and none of 190 ms.
"""

_START_WINDOWS = 2
_RELEASE_MARGIN = 0.15
_MIN_SILENCE_MS = 64


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Settings of turn detection; meanings as in OpenAI's `server_vad`.

    first_look_ms: silence after which a pause is announced
    look_again_ms: and again after each of these, if given
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_ms: int = 400
    first_look_ms: int = SPECULATE_AFTER_MS
    look_again_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began; audio from `start_ms` (padding included) belongs to the turn."""

    start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """Silence long enough to recognise what was said up to `at_ms`; the turn may still go on."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SilenceWentOn:
    """The pause lasts, up to `at_ms` so far."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The pause was none: the user goes on in the same turn."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The turn is over; `end_ms` is the end of the audio that was sent, silence included."""

    start_ms: int
    end_ms: int


TurnEvent = SpeechStarted | SpeechPaused | SilenceWentOn | SpeechResumed | SpeechStopped


class TurnDetector:
    """One stream's turns. Times are milliseconds of audio since the session began."""

    def __init__(self, settings: TurnSettings, *, window_ms: int, max_turn_ms: int) -> None:
        self._settings = settings
        self._window_ms = window_ms
        self._max_turn_ms = max_turn_ms
        self._awaited_silence_ms: int | None = (
            None  # of the present pause, instead of the settings'
        )
        self._loud_windows = 0
        self._silence_ms = 0
        self._start_ms: int | None = None
        self._looks = 0
        self._earliest_start_ms = 0
        self._heard_ms = 0

    @property
    def is_speaking(self) -> bool:
        """True while a turn is open."""
        return self._start_ms is not None

    @property
    def start_ms(self) -> int | None:
        """The start of the open turn."""
        return self._start_ms

    @property
    def settings(self) -> TurnSettings:
        """The present settings."""
        return self._settings

    def change(self, settings: TurnSettings) -> None:
        """New settings count from the next window on."""
        self._settings = settings

    def wait_for(self, silence_ms: int) -> None:
        """End the turn after this much silence of the present pause, whatever the settings say."""
        self._awaited_silence_ms = silence_ms

    def reset(self, now_ms: int) -> None:
        """Forget an open turn; the next one begins after `now_ms`."""
        self._start_ms = None
        self._loud_windows = 0
        self._forget_pause()
        self._earliest_start_ms = now_ms

    def _forget_pause(self) -> None:
        self._silence_ms = 0
        self._awaited_silence_ms = None
        self._looks = 0

    def handle_window(self, probability: float, end_ms: int) -> TurnEvent | None:
        """Judge the window that ends at `end_ms`."""
        self._heard_ms = end_ms
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
        self._forget_pause()
        return SpeechStarted(start_ms)

    def _follow(self, start_ms: int, probability: float, end_ms: int) -> TurnEvent | None:
        if end_ms - start_ms >= self._max_turn_ms:
            return self._stop(start_ms, end_ms)
        if probability >= max(0.05, self._settings.threshold - _RELEASE_MARGIN):
            return self._resume()
        self._silence_ms += self._window_ms
        if self._is_silent_enough():
            return self._stop(start_ms, end_ms)
        if self._silence_ms < self._next_look_ms():
            return None
        self._looks += 1
        return SpeechPaused(end_ms) if self._looks == 1 else SilenceWentOn(end_ms)

    def end_overdue(self) -> SpeechStopped | None:
        """End the turn now, if the silence that is awaited since lately has been heard already."""
        if self._start_ms is None or not self._silence_ms or not self._is_silent_enough():
            return None
        return self._stop(self._start_ms, self._heard_ms)

    def _is_silent_enough(self) -> bool:
        awaited_ms = self._awaited_silence_ms
        needed_ms = self._settings.silence_ms if awaited_ms is None else awaited_ms
        return self._silence_ms >= max(needed_ms, _MIN_SILENCE_MS)

    def _next_look_ms(self) -> float:
        if self._looks == 0:
            return self._settings.first_look_ms
        again_ms = self._settings.look_again_ms
        return inf if again_ms is None else self._settings.first_look_ms + self._looks * again_ms

    def _resume(self) -> TurnEvent | None:
        had_paused = self._looks > 0
        self._forget_pause()
        return SpeechResumed() if had_paused else None

    def _stop(self, start_ms: int, end_ms: int) -> SpeechStopped:
        self.reset(end_ms)
        return SpeechStopped(start_ms, end_ms)
