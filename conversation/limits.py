"""How long, how idle and how dear a call may be. Pure: time is an argument (monotonic seconds)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from conversation.lifecycle import ExitReason
from conversation.prices import ModelPrice, dearest

DURATION_WARNING_S: Final = 30.0
IDLE_WARNING_S: Final = 10.0
BUDGET_WARNING_SHARE: Final = 0.8

MAX_GOODBYE_S: Final = 10.0
"""From asking the model for the goodbye to its last sound."""


class CallLimits(BaseModel):
    """The limits of one call; None: no such limit.

    idle_timeout_s: so long nobody may say anything while the agent neither speaks nor works
    max_tokens, max_cost: for all replies together; prices: of the models that may give them
    spent_tokens, spent_cost: by earlier processes of this call
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    idle_timeout_s: float | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, gt=0)
    max_cost: float | None = Field(default=None, gt=0)
    prices: tuple[ModelPrice, ...] = ()
    spent_tokens: int = 0
    spent_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitNear:
    """The call will end for `reason`; in `ends_in_s`, where time is what runs out."""

    reason: ExitReason
    ends_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The call ends now."""

    reason: ExitReason


class LimitWatch:
    """Follows one call. Each warning comes once; that of silence again after somebody spoke."""

    def __init__(
        self, limits: CallLimits, max_duration_s: float | None = None, *, now_s: float
    ) -> None:
        self.tokens = limits.spent_tokens
        self.cost = limits.spent_cost
        self._limits = limits
        self._duration_s = max_duration_s
        self._began_s = now_s
        self._seen_s = now_s
        self._quiet_s = 0.0
        self._warned: set[ExitReason] = set()

    def note_user(self) -> None:
        """Somebody spoke, wrote or came."""
        self._quiet_s = 0.0
        self._warned.discard(ExitReason.IDLE)

    def note_reply(self, input_tokens: int, output_tokens: int, details: Mapping[str, int]) -> None:
        """A reply is over, and this is what it took."""
        self.tokens += input_tokens + output_tokens
        self.cost += dearest(self._limits.prices, input_tokens, output_tokens, details)

    def observe(self, *, now_s: float, is_quiet: bool) -> list[LimitNear | LimitReached]:
        """What is due now. is_quiet: neither side spoke or worked since the last time"""
        if is_quiet:
            self._quiet_s += now_s - self._seen_s
        self._seen_s = now_s
        found = [
            self._by_time(
                ExitReason.MAX_DURATION,
                self._duration_s,
                now_s - self._began_s,
                DURATION_WARNING_S,
            ),
            self._by_time(
                ExitReason.IDLE, self._limits.idle_timeout_s, self._quiet_s, IDLE_WARNING_S
            ),
            self._by_budget(),
        ]
        return [one for one in found if one is not None]

    def _by_time(
        self, reason: ExitReason, limit_s: float | None, passed_s: float, warning_s: float
    ) -> LimitNear | LimitReached | None:
        if limit_s is None:
            return None
        left_s = limit_s - passed_s
        if left_s <= 0:
            return LimitReached(reason)
        # Of a short limit the second half is warning enough.
        if left_s <= min(warning_s, limit_s / 2):
            return self._warn(LimitNear(reason, left_s))
        return None

    def _by_budget(self) -> LimitNear | LimitReached | None:
        spent = [
            amount / limit
            for amount, limit in (
                (self.tokens, self._limits.max_tokens),
                (self.cost, self._limits.max_cost),
            )
            if limit is not None
        ]
        share = max(spent, default=0.0)
        if share >= 1:
            return LimitReached(ExitReason.BUDGET_SPENT)
        if share >= BUDGET_WARNING_SHARE:
            return self._warn(LimitNear(ExitReason.BUDGET_SPENT))
        return None

    def _warn(self, warning: LimitNear) -> LimitNear | None:
        if warning.reason in self._warned:
            return None
        self._warned.add(warning.reason)
        return warning
