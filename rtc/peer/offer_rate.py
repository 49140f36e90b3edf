"""Rate limit of answered offers: each makes keys, sockets and tasks. Pure: time is an argument.

Counted by uid over the whole participation, so that leaving and coming back begins nothing anew, and
over all members, so that many of them together cost no more than some.
"""

from __future__ import annotations

from typing import Final

from utils import BoundedDict, TokenBucket

OFFERS_PER_S: Final = 0.5
OFFER_BURST: Final = 8
ALL_OFFERS_PER_S: Final = 8.0
ALL_OFFERS_BURST: Final = 48
MAX_MEMBERS: Final = 64
"""Of more the one who was quiet longest begins anew."""


class OfferRate:
    """`wait_s` once for each offer that would be answered."""

    def __init__(self) -> None:
        self._members: BoundedDict[int, TokenBucket] = BoundedDict(MAX_MEMBERS)
        self._all = TokenBucket(ALL_OFFERS_PER_S, ALL_OFFERS_BURST)

    def wait_s(self, uid: int, now_s: float) -> float:
        """0: answer it, it is counted; otherwise after how long another one of `uid` may come."""
        member = self._members.setdefault(uid, TokenBucket(OFFERS_PER_S, OFFER_BURST))
        self._members.move_to_end(uid)
        if not member.allow(now_s):
            return member.wait_s()
        return 0.0 if self._all.allow(now_s) else self._all.wait_s()
