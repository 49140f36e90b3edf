"""`KeyUse`: what one key uses, and the limit that another start would exceed. Pure.

Time is an argument: Unix milliseconds. A day is one of UTC.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from control.keys.access import KeyLimits

DAY_MS: Final = 24 * 3_600_000
MINUTE_MS: Final = 60_000

_RETRY_OF_AGENTS_S: Final = 5
"""When a call will end is not known."""


class KeyLimitError(Exception):
    """A start exceeds a limit of its key.

    limit: `agents`, `starts_per_minute`, `minutes_per_day` or `cost_per_day`
    """

    def __init__(
        self, key: str, limit: str, *, allowed: float, used: float, retry_after_s: int
    ) -> None:
        super().__init__(f"the key {key} has reached its limit {limit} of {allowed:g}")
        self.limit = limit
        self.allowed = allowed
        self.used = used
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Allowance:
    """The most that a start may use; None: as much as it likes."""

    duration_s: float | None = None
    cost: float | None = None


@dataclass(slots=True)
class _LiveCall:
    began_ms: int
    cost: float = 0.0


@dataclass(slots=True)
class KeyUse:
    """Use of one key. Costs count on the day on which their call ends, or goes on."""

    live: dict[str, _LiveCall] = field(default_factory=dict)
    starts: deque[int] = field(default_factory=deque)
    started: int = 0
    refused: int = 0
    _day: int = 0
    _ended_ms: int = 0
    _ended_cost: float = 0.0

    def admit(self, key: str, call_id: str, limits: KeyLimits, *, now_ms: int) -> Allowance:
        """Count a start that begins now, unless a limit refuses it.

        Raises:
            KeyLimitError: it does.
        """
        try:
            allowance = self._check(key, limits, now_ms)
        except KeyLimitError:
            self.refused += 1
            raise
        self.started += 1
        if limits.starts_per_minute is not None:
            self.starts.append(now_ms)
        self.live[call_id] = _LiveCall(now_ms)
        return allowance

    def _check(self, key: str, limits: KeyLimits, now_ms: int) -> Allowance:
        if limits.agents is not None and len(self.live) >= limits.agents:
            raise KeyLimitError(
                key,
                "agents",
                allowed=limits.agents,
                used=len(self.live),
                retry_after_s=_RETRY_OF_AGENTS_S,
            )
        self._check_rate(key, limits, now_ms)
        of_day = {
            "minutes_per_day": (limits.minutes_per_day, self.minutes(now_ms)),
            "cost_per_day": (limits.cost_per_day, self.cost(now_ms)),
        }
        left: dict[str, float | None] = {}
        for name, (allowed, used) in of_day.items():
            if allowed is not None and used >= allowed:
                wait_s = math.ceil((DAY_MS - now_ms % DAY_MS) / 1000)
                raise KeyLimitError(key, name, allowed=allowed, used=used, retry_after_s=wait_s)
            left[name] = None if allowed is None else allowed - used
        minutes = left["minutes_per_day"]
        return Allowance(None if minutes is None else minutes * 60, left["cost_per_day"])

    def _check_rate(self, key: str, limits: KeyLimits, now_ms: int) -> None:
        # A clock that was set back leaves starts of the future: they are no longer counted.
        while self.starts and not now_ms - MINUTE_MS < self.starts[0] <= now_ms:
            self.starts.popleft()
        if limits.starts_per_minute is None or len(self.starts) < limits.starts_per_minute:
            return
        wait_ms = self.starts[len(self.starts) - limits.starts_per_minute] + MINUTE_MS - now_ms
        raise KeyLimitError(
            key,
            "starts_per_minute",
            allowed=limits.starts_per_minute,
            used=len(self.starts),
            retry_after_s=max(1, math.ceil(wait_ms / 1000)),
        )

    def give_up(self, call_id: str) -> None:
        """Forget a call that never began. Idempotent."""
        self.live.pop(call_id, None)

    def handle_cost(self, call_id: str, cost: float) -> None:
        """Note the cost of a live call so far; it never falls."""
        if (call := self.live.get(call_id)) is not None:
            call.cost = max(call.cost, cost)

    def end(self, call_id: str, *, now_ms: int) -> None:
        """Count a call that ends now. Idempotent."""
        if (call := self.live.pop(call_id, None)) is not None:
            self.count(began_ms=call.began_ms, ended_ms=now_ms, cost=call.cost, now_ms=now_ms)

    def count(self, *, began_ms: int, ended_ms: int, cost: float, now_ms: int) -> None:
        """Count a call that has ended."""
        midnight_ms = self._begin_day(now_ms)
        if ended_ms >= midnight_ms:
            self._ended_ms += max(0, ended_ms - max(began_ms, midnight_ms))
            self._ended_cost += cost

    def minutes(self, now_ms: int) -> float:
        """Return the minutes of all calls since midnight."""
        midnight_ms = self._begin_day(now_ms)
        live = sum(max(0, now_ms - max(one.began_ms, midnight_ms)) for one in self.live.values())
        return (self._ended_ms + live) / MINUTE_MS

    def cost(self, now_ms: int) -> float:
        """Return the cost of all calls that go on or ended since midnight."""
        self._begin_day(now_ms)
        return self._ended_cost + sum(one.cost for one in self.live.values())

    def _begin_day(self, now_ms: int) -> int:
        day = now_ms // DAY_MS
        if day != self._day:
            self._day, self._ended_ms, self._ended_cost = day, 0, 0.0
        return day * DAY_MS
