"""The moment at which a session that will end is replaced: in time, and at a pause. Pure."""

from __future__ import annotations

LONGEST_LEAD_S = 120.0
LEAD_SHARE = 0.25
LONGEST_MARGIN_S = 10.0
MARGIN_SHARE = 0.05
SHORTEST_LEFT_S = 0.1


class RotationPlan:
    """The foreseen end of one session, and what it means.

    From `prepare_at_s` on, a successor is opened and waits for a turn boundary: a quarter of the
    remaining life before the end, at most two minutes. At `last_moment_s` it takes over wherever
    the conversation is: a twentieth before the end, at most ten seconds.
    """

    def __init__(self, *, opened_s: float, cap_s: float | None) -> None:
        """
        opened_s: monotonic seconds
        cap_s: the longest life of such a session; None when it has no end
        """
        self._end_s: float | None = None
        self._noted_s = opened_s
        if cap_s is not None:
            self.note_end(opened_s + cap_s, now_s=opened_s)

    def note_end(self, end_s: float, *, now_s: float) -> None:
        """The session will end then (monotonic seconds); of several ends the earliest counts."""
        if end_s > now_s and (self._end_s is None or end_s < self._end_s):
            self._end_s, self._noted_s = end_s, now_s

    def note_end_in(self, left_ms: int | None, *, now_s: float) -> None:
        """The provider said that the session will end; None: soon, it did not say when."""
        left_s = LONGEST_MARGIN_S if left_ms is None else max(left_ms / 1000, SHORTEST_LEFT_S)
        self.note_end(now_s + left_s, now_s=now_s - 3 * left_s)

    @property
    def prepare_at_s(self) -> float | None:
        """The time to open the successor; None: never."""
        return self._before_end(LEAD_SHARE, LONGEST_LEAD_S)

    @property
    def last_moment_s(self) -> float | None:
        """The time at which the successor must take over; None: never."""
        return self._before_end(MARGIN_SHARE, LONGEST_MARGIN_S)

    def _before_end(self, share: float, longest_s: float) -> float | None:
        if self._end_s is None:
            return None
        return self._end_s - min(longest_s, share * (self._end_s - self._noted_s))

    def is_due(self, *, now_s: float) -> bool:
        """True if a successor should be open by now."""
        return self.prepare_at_s is not None and now_s >= self.prepare_at_s

    def should_switch(self, *, is_boundary: bool, is_quiet: bool, now_s: float) -> bool:
        """Return true if a waiting successor takes over now.

        is_boundary: no speech, no reply in progress, no open tool call
        is_quiet: the last moment of the user's audio holds no voice, so no word is split
        """
        prepare_s, last_s = self.prepare_at_s, self.last_moment_s
        if prepare_s is None or last_s is None:
            return False
        is_half_over = now_s >= (prepare_s + last_s) / 2
        return now_s >= last_s or (is_boundary and (is_quiet or is_half_over))
