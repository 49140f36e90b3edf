"""Limit of the frames that the members of one room may make its server send. Pure.

One frame costs as much as there are others to hear it, so frames a second alone bound nothing.
Each member has a share of its own; beyond it all draw on what the room has.
Agents are not counted: their frames are few, and members must not be able to silence them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from utils import TokenBucket

ROOM_DELIVERIES_PER_S: Final = 1000.0
ROOM_BURST: Final = 4000
MEMBER_DELIVERIES_PER_S: Final = 64.0
MEMBER_BURST: Final = 128
"""A newcomer needs more to offer connections to 31 others; the room's share covers it."""


class DeliveryBudget:
    """Counts deliveries; members are named by the number of their stay."""

    def __init__(self) -> None:
        self._common = TokenBucket(ROOM_DELIVERIES_PER_S, ROOM_BURST)
        self._shares: dict[int, TokenBucket] = {}

    def allow(self, number: int, cost: int, now_s: float) -> bool:
        """Count `cost` deliveries caused by a member at `now_s` (monotonic); False: too many."""
        share = self._shares.get(number)
        if share is None:
            share = self._shares[number] = TokenBucket(MEMBER_DELIVERIES_PER_S, MEMBER_BURST)
        return share.allow(now_s, cost) or self._common.allow(now_s, cost)

    def charge(self, cost: int) -> None:
        """Count deliveries that could not be refused, as those of a join."""
        self._common.charge(cost)

    def retain(self, numbers: Collection[int]) -> None:
        """Forget all members but these."""
        self._shares = {one: self._shares[one] for one in numbers if one in self._shares}
