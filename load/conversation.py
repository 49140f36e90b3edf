"""The built-in conversation: what a caller says, and when, by what comes of the agent. Pure.

A caller waits for a greeting, says a sentence, waits for the answer, listens to its end, thinks for a
moment, and says the next sentence.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

GREETING_WAIT_S: Final = 2.0
ANSWER_WAIT_S: Final = 15.0
MAX_LISTEN_S: Final = 20.0
"""Of one answer; then the caller speaks over it."""
QUIET_S: Final = 0.7
"""Without a loud frame: the agent has finished."""
THINK_S: Final = (0.3, 1.5)

SENTENCES: Final = (
    "Hello. Could you tell me what you can help me with today?",
    "I would like to know what time it is, please.",
    "Thank you. And what is the date today, and the day of the week?",
    "Could you add twenty three and forty nine for me, please?",
    "That is good to know. Is there anything else that I should think of?",
    "I see. Please tell me a little more about that, in a few sentences.",
)


class Phase(enum.Enum):
    """The party whose turn it is. GREETING: the agent's, if it greets; WAITING: the agent's, but it is silent yet."""

    GREETING = "greeting"
    SPEAKING = "speaking"
    WAITING = "waiting"
    LISTENING = "listening"
    THINKING = "thinking"


Utterance = tuple[bytes, ...]
"""A sentence as Opus packets of 20 ms, the last of which is the last one with a voice."""


@dataclass
class TurnFigures:
    """Sums since they were taken last.

    latencies_ms: from the last loud packet of a sentence to the first loud packet of the answer
    unanswered: sentences without an answer in `ANSWER_WAIT_S`
    talked_over: sentences into which the agent spoke; what it says after them has no latency
    """

    latencies_ms: list[float] = field(default_factory=list)
    unanswered: int = 0
    talked_over: int = 0

    def add(self, other: TurnFigures) -> None:
        """Add the figures of another caller or time."""
        self.latencies_ms += other.latencies_ms
        self.unanswered += other.unanswered
        self.talked_over += other.talked_over


class Conversation:
    """One caller's part of it. All times are monotonic seconds."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        silence: bytes,
        *,
        seed: int,
        now_s: float,
    ) -> None:
        """seed: of the order of sentences and the length of pauses"""
        self._utterances = utterances
        self._silence = silence
        self._random = random.Random(seed)
        self._next = seed
        self._figures = TurnFigures()
        self.phase = Phase.GREETING
        self._since_s = now_s
        self._loud_s: float | None = None
        self._think_s = self._random.uniform(*THINK_S)
        self._utterance = utterances[0]
        self._position = 0
        self._is_talked_over = False

    @property
    def needs_level(self) -> bool:
        """True while the loudness of each packet decides something, not only that of some."""
        return self.phase in (Phase.WAITING, Phase.GREETING)

    def next_packet(self, now_s: float) -> bytes:
        """Return what to send in the next 20 ms."""
        self._advance(now_s)
        if self.phase is not Phase.SPEAKING:
            return self._silence
        packet = self._utterance[self._position]
        self._position += 1
        if self._position == len(self._utterance):
            self._figures.talked_over += self._is_talked_over
            self._enter(Phase.WAITING, now_s)
        return packet

    def hear(self, now_s: float, *, is_loud: bool) -> None:
        """Take a packet of the agent's voice."""
        if not is_loud:
            return
        match self.phase:
            case Phase.WAITING:
                if not self._is_talked_over:
                    self._figures.latencies_ms.append((now_s - self._since_s) * 1000)
                self._enter(Phase.LISTENING, now_s)
            case Phase.SPEAKING:
                self._is_talked_over = True
            case Phase.THINKING:
                # It goes on, after a pause in its answer.
                self._enter(Phase.LISTENING, now_s)
            case _:
                pass
        self._loud_s = now_s

    def take(self) -> TurnFigures:
        """Return the figures since the last call."""
        figures, self._figures = self._figures, TurnFigures()
        return figures

    def _advance(self, now_s: float) -> None:
        waited_s = now_s - self._since_s
        is_quiet = self._loud_s is None or now_s - self._loud_s > QUIET_S
        match self.phase:
            case Phase.GREETING if is_quiet and (
                self._loud_s is not None or waited_s > GREETING_WAIT_S
            ):
                self._enter(Phase.THINKING, now_s)
            case Phase.LISTENING if is_quiet:
                self._enter(Phase.THINKING, now_s)
            case Phase.LISTENING | Phase.GREETING if waited_s > MAX_LISTEN_S:
                self._speak(now_s)
            case Phase.WAITING if waited_s > ANSWER_WAIT_S:
                self._figures.unanswered += 1
                self._enter(Phase.THINKING, now_s)
            case Phase.THINKING if waited_s > self._think_s:
                self._speak(now_s)
            case _:
                pass

    def _speak(self, now_s: float) -> None:
        self._utterance = self._utterances[self._next % len(self._utterances)]
        self._next += 1
        self._position = 0
        self._is_talked_over = False
        self._think_s = self._random.uniform(*THINK_S)
        self._enter(Phase.SPEAKING, now_s)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self._since_s = phase, now_s
