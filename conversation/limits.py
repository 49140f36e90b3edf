"""Limits of a call in duration, idle time and cost. Pure: time is an argument (monotonic seconds)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from conversation.lifecycle import ExitReason
from conversation.prices import ModelPrice, max_cost

DURATION_WARNING_S: Final = 30.0
IDLE_WARNING_S: Final = 10.0
# Tokens and cost are known after each reply only, so that the warning comes early.
BUDGET_WARNING_SHARE: Final = 0.8

MAX_GOODBYE_S: Final = 10.0
"""From asking the model for the goodbye to its last sound."""


class CallLimits(BaseModel):
    """The limits of one call; None: no such limit.

    idle_timeout_s: longest silence of the user while the agent neither speaks nor works
    max_tokens, max_cost: of all replies together
    prices: of each model that may give a reply
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
    """The call will end for `reason`; within `ends_in_s` if the limit is one of time."""

    reason: ExitReason
    ends_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The call has reached the limit and ends now."""

    reason: ExitReason


class LimitWatch:
    """Applies the limits of one call. Warns once for each limit; the idle warning is repeated after
    the user was active again.
    """

    def __init__(
        self, limits: CallLimits, max_duration_s: float | None = None, *, now_s: float
    ) -> None:
        self.tokens = limits.spent_tokens
        self.cost = limits.spent_cost
        self._limits = limits
        self._duration_s = max_duration_s
        self._began_s = now_s
        # Time of the last `observe`: idle time is summed up between two calls.
        self._seen_s = now_s
        self._quiet_s = 0.0
        # Limits that were warned about.
        self._warned: set[ExitReason] = set()

    def note_user(self) -> None:
        """Reset the idle time: a user spoke, wrote or joined."""
        self._quiet_s = 0.0
        self._warned.discard(ExitReason.IDLE)

    def note_reply(self, input_tokens: int, output_tokens: int, details: Mapping[str, int]) -> None:
        """Add the tokens and the cost of a finished reply."""
        self.tokens += input_tokens + output_tokens
        self.cost += max_cost(self._limits.prices, input_tokens, output_tokens, details)

    def observe(self, *, now_s: float, is_quiet: bool) -> list[LimitNear | LimitReached]:
        """Return the warnings and limits that are due. is_quiet: neither side spoke or worked since
        the last call.
        """
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
