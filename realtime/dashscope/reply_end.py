"""Replies that DashScope forgets to end: when one counts as over all the same. Pure.

A cut reply (cancelled by us, or talked over) is over with its `response.done`; where that does not
come, shortly after its last item ended, or when nothing of it was heard of for five seconds.
"""

from __future__ import annotations

from enum import Enum

from utils import BoundedDict

SILENCE_S = 5.0
AFTER_ITEM_S = 0.3
"""Wait for `response.done` after the end of a cut reply's item."""

_REMEMBERED = 64


class Cut(Enum):
    """The side that ended the reply early."""

    BY_US = "client_cancelled"
    BY_SPEECH = "turn_detected"


class ReplyEndDetector:
    """Follows one session's replies."""

    def __init__(self) -> None:
        self._active: str | None = None
        self._cut: Cut | None = None
        self._deadline_s: float | None = None
        # Replies that we declared over: whatever still comes of them is late.
        self._declared: BoundedDict[str, None] = BoundedDict(_REMEMBERED)

    @property
    def active(self) -> str | None:
        """The reply that is not over."""
        return self._active

    @property
    def cut(self) -> Cut | None:
        """By whom the active reply was cut, if it was."""
        return self._cut

    @property
    def deadline_s(self) -> float | None:
        """The time to ask for `overdue`, if any."""
        return self._deadline_s

    def handle_created(self, response_id: str) -> None:
        """A reply began."""
        self._active, self._cut, self._deadline_s = response_id, None, None

    def handle_cut(self, cut: Cut, *, now_s: float) -> None:
        """The active reply ought to end; of two cuts the first counts."""
        if self._active is not None and self._cut is None:
            self._cut = cut
            self._deadline_s = now_s + SILENCE_S

    def handle_news(self, response_id: str, *, now_s: float) -> bool:
        """Something of a reply came; False: it is late and must be dropped."""
        if response_id == self._active and self._cut is not None:
            self._deadline_s = now_s + SILENCE_S
        return response_id not in self._declared

    def handle_item_done(self, response_id: str, *, now_s: float) -> None:
        """An item of a reply ended."""
        if response_id == self._active and self._cut is not None:
            self._deadline_s = now_s + AFTER_ITEM_S

    def handle_done(self, response_id: str) -> None:
        """The provider ended a reply."""
        if response_id == self._active:
            self._active = self._cut = self._deadline_s = None

    def overdue(self, *, now_s: float) -> tuple[str, Cut] | None:
        """The reply to declare over now, and by whom it was cut."""
        if self._active is None or self._cut is None or self._deadline_s is None:
            return None
        if now_s < self._deadline_s:
            return None
        ended = (self._active, self._cut)
        self._declared[self._active] = None
        self._active = self._cut = self._deadline_s = None
        return ended
