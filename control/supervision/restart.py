"""When to start again something that ended: pure, time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from conversation.lifecycle import ExitReason


@dataclass(frozen=True)
class RestartPolicy:
    """Delays double from `first_s` up to `cap_s`; `budget` restarts within `window_s`, then none.

    immediate: so many of them come before the delays, at once
    """

    first_s: float = 0.5
    cap_s: float = 15.0
    budget: int = 4
    window_s: float = 120.0
    immediate: int = 0


AGENT_POLICY: Final = RestartPolicy(first_s=0.25, cap_s=10.0, budget=6, window_s=120.0, immediate=1)
"""For agents: people are waiting, so the first is immediate; the sixth comes after some 8 s."""

RESTARTED_REASONS: Final = frozenset(
    {
        ExitReason.CRASHED,
        ExitReason.UNRESPONSIVE,
        ExitReason.UNHEALTHY,
        ExitReason.OUT_OF_MEMORY,
        ExitReason.START_FAILED,
    }
)
"""Ends that nobody wanted. Of all others the agent itself decided, with a goodbye."""


@dataclass(frozen=True)
class EndedRun:
    """How one process of an agent ended.

    has_been_ready: this process, or one before it; what never was is reported, not restarted
    is_retryable: of a failed start, whether another process could fare better
    is_stop_wanted: somebody asked for the end
    was_saying_goodbye: the agent was about to end the call itself
    """

    exit_reason: ExitReason
    has_been_ready: bool
    is_retryable: bool = True
    is_stop_wanted: bool = False
    was_saying_goodbye: bool = False


@dataclass(frozen=True)
class Verdict:
    """delay_s: until the restart, None when there is none; fatal: why it is given up, if it is."""

    delay_s: float | None = None
    fatal: str | None = None


def judge(run: EndedRun, budget: RestartBudget, *, now_s: float) -> Verdict:
    """What follows an end; now_s: monotonic. Spends the budget."""
    is_end_wanted = run.is_stop_wanted or run.was_saying_goodbye
    if is_end_wanted or not run.has_been_ready or run.exit_reason not in RESTARTED_REASONS:
        return Verdict()
    if not run.is_retryable:
        return Verdict(fatal="no process could fare better")
    delay_s = budget.next_delay_s(now_s)
    if delay_s is None:
        return Verdict(fatal=f"it ended {budget.spent + 1} times within {budget.window_s:g} s")
    return Verdict(delay_s=delay_s)


class RestartBudget:
    """Counts restarts against a policy."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._restarts_s: deque[float] = deque()

    @property
    def spent(self) -> int:
        """Restarts that count at present."""
        return len(self._restarts_s)

    @property
    def window_s(self) -> float:
        """How long a restart counts."""
        return self._policy.window_s

    def next_delay_s(self, now_s: float) -> float | None:
        """How long to wait before a restart that is due now; None: the budget is spent.

        now_s: monotonic
        """
        policy = self._policy
        while self._restarts_s and now_s - self._restarts_s[0] >= policy.window_s:
            self._restarts_s.popleft()
        if len(self._restarts_s) >= policy.budget:
            return None
        delayed = len(self._restarts_s) - policy.immediate
        self._restarts_s.append(now_s)
        return 0.0 if delayed < 0 else min(policy.cap_s, policy.first_s * 2.0**delayed)
