"""When to start again something that ended: pure, time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class RestartPolicy:
    """Delays double from `first_s` up to `cap_s`; `budget` restarts within `window_s`, then none."""

    first_s: float = 0.5
    cap_s: float = 15.0
    budget: int = 4
    window_s: float = 120.0


class RestartBudget:
    """Counts restarts against a policy."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._restarts_s: deque[float] = deque()

    def next_delay_s(self, now_s: float) -> float | None:
        """How long to wait before a restart that is due now; None: the budget is spent.

        now_s: monotonic
        """
        policy = self._policy
        while self._restarts_s and now_s - self._restarts_s[0] >= policy.window_s:
            self._restarts_s.popleft()
        if len(self._restarts_s) >= policy.budget:
            return None
        delay_s = min(policy.cap_s, policy.first_s * 2.0 ** len(self._restarts_s))
        self._restarts_s.append(now_s)
        return delay_s
