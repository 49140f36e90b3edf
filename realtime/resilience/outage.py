"""`OutageWatch`: which provider to ask next, after which pause. Pure: time is an argument."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from realtime.resilience.provider_session import ModelSource
from realtime.resilience.retry_policy import (
    Decision,
    Failure,
    Outage,
    RecoveryAction,
    RetryPolicy,
    backoff,
    decide,
)

STABLE_S = 2.0
"""A session that lived this long ends an outage; one that hardly lived belongs to it."""


class OutageWatch:
    """Follows attempts. `source` is the provider to ask now."""

    def __init__(
        self, sources: Sequence[ModelSource], policy: RetryPolicy, rng: random.Random
    ) -> None:
        """sources: in order of preference"""
        self.source = sources[0]
        self._sources = sources
        self._policy = policy
        self._rng = rng
        self._refused: set[str] = set()
        self._outage: Outage | None = None
        self._pauses: Iterator[float] = iter(())

    @property
    def has_other(self) -> bool:
        """True if another provider could be tried."""
        return self._other() is not None

    def _other(self) -> ModelSource | None:
        others = (each for each in self._sources if each.name != self.source.name)
        return next((each for each in others if each.name not in self._refused), None)

    def handle_loss(self, *, opened_s: float, now_s: float) -> None:
        """A session that was opened then is gone. The preferred provider gets another chance."""
        if self._outage is not None and now_s - opened_s < STABLE_S:
            self._note_failure()
            return
        self._refused.clear()
        self.source = self._sources[0]
        self._outage = Outage(now_s, now_s)
        self._pauses = backoff(self._policy, self._rng)

    def handle_failure(self) -> None:
        """An attempt failed."""
        self._note_failure()

    def _note_failure(self) -> None:
        assert self._outage is not None
        self._outage = replace(self._outage, attempts=self._outage.attempts + 1)

    def judge(self, failure: Failure, *, now_s: float) -> Decision:
        """Decide what a failure of an open session calls for."""
        return decide(failure, Outage(now_s, now_s), self._policy, now_s=now_s)

    def next_step(self, failure: Failure, *, now_s: float) -> Decision:
        """Return the next action and the delay before it; sets `source` when another provider takes over."""
        assert self._outage is not None
        outage = replace(self._outage, has_other=self.has_other)
        decision = decide(failure, outage, self._policy, now_s=now_s)
        if decision.step is RecoveryAction.FALLBACK:
            self._fall_back(failure, now_s)
        if decision.step is RecoveryAction.FATAL:
            return decision
        return replace(decision, delay_s=max(decision.delay_s, next(self._pauses)))

    def _fall_back(self, failure: Failure, now_s: float) -> None:
        other = self._other()
        assert other is not None
        assert self._outage is not None
        if failure.is_refusal:
            self._refused.add(self.source.name)
        self.source = other
        self._outage = replace(self._outage, provider_began_s=now_s, attempts=0)
        self._pauses = backoff(self._policy, self._rng)
