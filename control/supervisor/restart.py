"""Restart policy: backoff delays within a budget. Pure; time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from conversation.lifecycle import ExitReason


@dataclass(frozen=True)
class RestartPolicy:
    """Backoff of restarts.

    first_s, cap_s: delays double from the first to the cap.
    budget, window_s: at most `budget` restarts within any `window_s`.
    immediate: number of restarts without a delay, before the first delayed one.
    """

    first_s: float = 0.5
    cap_s: float = 15.0
    budget: int = 4
    window_s: float = 120.0
    immediate: int = 0


AGENT_POLICY: Final = RestartPolicy(first_s=0.25, cap_s=10.0, budget=6, window_s=120.0, immediate=1)
"""For agents: callers are waiting, so the first restart is immediate; the sixth comes after some 8 s."""

RESTARTED_REASONS: Final = frozenset(
    {
        ExitReason.CRASHED,
        ExitReason.UNRESPONSIVE,
        ExitReason.UNHEALTHY,
        ExitReason.OUT_OF_MEMORY,
        ExitReason.START_FAILED,
    }
)
"""Failures. In all other cases the agent or a request ended the call."""


@dataclass(frozen=True)
class EndedRun:
    """End of one process of an agent.

    has_been_ready: this process or an earlier one of the call; otherwise the failed start is reported
        instead of restarted.
    is_retryable: false if another process would fail likewise.
    is_stop_requested: a stop of the agent was requested.
    was_saying_goodbye: the agent was ending the call on its own.
    """

    exit_reason: ExitReason
    has_been_ready: bool
    is_retryable: bool = True
    is_stop_requested: bool = False
    was_saying_goodbye: bool = False


@dataclass(frozen=True)
class Verdict:
    """Decision after an end. delay_s: until the restart, None for no restart; fatal: why it is given up."""

    delay_s: float | None = None
    fatal: str | None = None


def judge(run: EndedRun, budget: RestartBudget, *, now_s: float) -> Verdict:
    """Decide what follows an end; a restart is charged to the budget. now_s: monotonic."""
    is_end_intended = run.is_stop_requested or run.was_saying_goodbye
    if is_end_intended or not run.has_been_ready or run.exit_reason not in RESTARTED_REASONS:
        return Verdict()
    if not run.is_retryable:
        return Verdict(fatal="another process would fail likewise")
    delay_s = budget.next_delay_s(now_s)
    if delay_s is None:
        return Verdict(fatal=f"it ended {budget.spent + 1} times within {budget.window_s:g} s")
    return Verdict(delay_s=delay_s)


class RestartBudget:
    """Count restarts against a policy."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        # Monotonic times of the restarts within the window, oldest first.
        self._restarts_s: deque[float] = deque()

    @property
    def spent(self) -> int:
        """Number of restarts within the window."""
        return len(self._restarts_s)

    @property
    def window_s(self) -> float:
        """Length of the window in seconds."""
        return self._policy.window_s

    def next_delay_s(self, now_s: float) -> float | None:
        """Return the delay before a restart that is due now; None if the budget is spent.

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
