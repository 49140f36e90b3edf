"""Patience of semantic turn detection: the silence to wait for, by what is known of a pause. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from speech.turns.turn_detector import TurnSettings
from speech.turns.words import Completeness

SURE: Final = 0.9
"""From this probability on a turn sounds over."""

_DOUBT: Final = 0.3
_LOOK_AGAIN_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Patience:
    """Milliseconds of silence that end a turn.

    first_look_ms: after this much a pause is judged, and what was said is recognised
    sure_ms: voice and words say that it is over
    likely_ms: the words say so, and the voice says nothing clear, or there is no model of it
    doubtful_ms: one of them says that it is not
    longest_ms: the words cannot be the end; OpenAI's longest wait for this eagerness
    """

    first_look_ms: int
    sure_ms: int
    likely_ms: int
    doubtful_ms: int
    longest_ms: int


_PATIENCE: Final = {
    "high": Patience(95, 200, 300, 800, 2_000),
    "medium": Patience(95, 300, 400, 1_500, 4_000),
    "low": Patience(190, 600, 800, 3_000, 8_000),
}


def patience(eagerness: str | None) -> Patience:
    """Patience for OpenAI's `eagerness`; `auto` is `medium`, as there."""
    return _PATIENCE.get(eagerness or "auto", _PATIENCE["medium"])


def semantic_settings(eagerness: str | None) -> TurnSettings:
    """Turn detection that announces pauses, to be judged by `speech.turns.judged_pause`."""
    chosen = patience(eagerness)
    return TurnSettings(
        silence_ms=chosen.likely_ms,
        first_look_ms=chosen.first_look_ms,
        look_again_ms=_LOOK_AGAIN_MS,
    )


@dataclass(frozen=True, slots=True)
class PauseEvidence:
    """Knowledge of a pause so far.

    probability: that the turn sounds over, the highest so far; None: not known, or not yet
    words: how complete they are; None: not known
    is_recognising: the words are still to come
    """

    probability: float | None = None
    words: Completeness | None = None
    is_recognising: bool = True

    @property
    def is_settled(self) -> bool:
        """True if hearing more of the silence would change nothing."""
        is_sure = self.probability is not None and self.probability >= SURE
        return is_sure or self.words is Completeness.INCOMPLETE


def silence_ms(patience: Patience, evidence: PauseEvidence) -> int:
    """Return the silence that ends the turn.

    Until the words are known that is the longest: the reply needs them, so that an earlier end
    would gain nothing, and when they come they end a silence that was long enough at once. The voice
    is not waited for: on a busy machine the words alone decide.
    """
    if evidence.is_recognising or evidence.words is Completeness.INCOMPLETE:
        return patience.longest_ms
    probability = evidence.probability
    if evidence.words is Completeness.DOUBTFUL:
        is_long = probability is not None and probability < _DOUBT
        return patience.longest_ms if is_long else patience.doubtful_ms
    if probability is None:
        return patience.likely_ms
    if probability >= SURE:
        return patience.sure_ms
    return patience.likely_ms if probability >= _DOUBT else patience.doubtful_ms
