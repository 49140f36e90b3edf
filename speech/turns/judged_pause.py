"""`JudgedPause`: one pause of semantic detection, and what voice and words say of it."""

from __future__ import annotations

from dataclasses import replace

from speech.turns.eagerness import Patience, PauseEvidence, silence_ms
from speech.turns.turn_detector import TurnDetector
from speech.turns.words import Completeness, completeness

_MOST_LOOKS = 5


class JudgedPause:
    """Tells the detector how much silence to wait for, again with each thing that is learnt.

    What comes after the pause has ended changes nothing.
    """

    def __init__(self, turns: TurnDetector, patience: Patience) -> None:
        self._turns = turns
        self._patience = patience
        self._evidence = PauseEvidence()
        self._has_voice = True
        self._is_over = False
        self._looks = 0
        self._wait()

    @property
    def may_end_turn(self) -> bool:
        """False if the words cannot be the end of what is being said."""
        return self._evidence.words is not Completeness.INCOMPLETE

    def should_listen(self) -> bool:
        """Count a look at the voice; False if it could change nothing, or were one too many."""
        is_pointless = self._is_over or not self._has_voice or self._evidence.is_settled
        # Nothing ends before the words are known: until then one look is enough.
        most_looks = 1 if self._evidence.is_recognising else _MOST_LOOKS
        if is_pointless or self._looks >= most_looks:
            return False
        self._looks += 1
        return True

    def add_voice(self, probability: float | None) -> None:
        """The probability that the turn sounds over; None: nothing can tell."""
        if probability is None:
            self._has_voice = False
            return
        highest = max(probability, self._evidence.probability or 0.0)
        self._learn(replace(self._evidence, probability=highest))

    def add_words(self, transcript: str | None, language: str | None = None) -> None:
        """The words so far; None: they could not be recognised. language: theirs, as in BCP 47."""
        words = None if transcript is None else completeness(transcript, language)
        self._learn(replace(self._evidence, words=words, is_recognising=False))

    def end(self) -> None:
        """Speech went on, or the turn is over."""
        self._is_over = True

    def _learn(self, evidence: PauseEvidence) -> None:
        self._evidence = evidence
        self._wait()

    def _wait(self) -> None:
        if not self._is_over:
            self._turns.wait_for(silence_ms(self._patience, self._evidence))
