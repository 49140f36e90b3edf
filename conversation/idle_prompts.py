"""Decide when to ask a silent person whether they are still there, and when to give up. Pure.

Time is an argument (monotonic seconds).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdleRules:
    """wait_s: silence before the first prompt; each further silence is `growth` times as long."""

    wait_s: float
    times: int
    growth: float = 1.0

    def wait_before_s(self, number: int) -> float:
        """Return the silence before the `number`th prompt (from 0); `times`: before the end."""
        return self.wait_s * self.growth**number


@dataclass(frozen=True, slots=True)
class PromptDue:
    """Ask now. ends_in_s: if this was the last prompt, the silence after which the call ends."""

    number: int
    ends_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class PatienceOver:
    """The last prompt stayed without an answer: end the call."""


class IdleWatch:
    """Counts one silence after the other; a sign of the person begins anew with the first prompt."""

    def __init__(self, rules: IdleRules, *, now_s: float) -> None:
        self._rules = rules
        self._silent_since_s = now_s
        # Prompts since the person's last sign of life.
        self._asked = 0
        self._is_over = False

    def note_user(self, now_s: float) -> None:
        """A person spoke, wrote, pressed a key or joined."""
        self._silent_since_s = now_s
        self._asked = 0

    def observe(self, now_s: float, *, is_silent: bool) -> PromptDue | PatienceOver | None:
        """Return what is due. is_silent: a person who could speak does not, nor does the agent.

        Silence counts from the last call in which there was none.
        """
        if not is_silent:
            self._silent_since_s = now_s
            return None
        wait_s = self._rules.wait_before_s(self._asked)
        if self._is_over or now_s - self._silent_since_s < wait_s:
            return None
        self._silent_since_s = now_s
        if self._asked == self._rules.times:
            self._is_over = True
            return PatienceOver()
        self._asked += 1
        is_last = self._asked == self._rules.times
        ends_in_s = self._rules.wait_before_s(self._asked) if is_last else None
        return PromptDue(self._asked - 1, ends_in_s)
