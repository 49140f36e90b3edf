"""Silence that may wait for the silence after it, so that it is handled in batches. Pure.

What costs is not the work on a packet but waking up for it: the processor's caches are cold by then. In
silence nothing is urgent, so frames wait for up to `timing.HOLD_S`. The first frame that is not as quiet as the
background takes everything with it at once, so that the onset of speech never waits.

Nothing waits before the participant was quiet for as long as the reader wants, which is longer than it
takes to decide that a turn is over. A loud frame begins that time anew.
"""

from __future__ import annotations

import math
from typing import Final

from line.timing import PTIME_S

RESUME_S: Final = 0.2
"""After an interruption by nothing but the network, packets come one by one for so long."""

# Levels as the root of the mean square; full scale is 32768.
FULL_SCALE: Final = 32_768.0
SILENT_LEVEL: Final = 10.0
"""-70 dBFS: silence in any room."""
LOUDEST_SILENCE: Final = 180.0
"""-45 dBFS: the quietest voice that is believed to be one (`voice_level`); no background beyond it."""
_FLOOR_FACTOR: Final = 2.0
_FLOOR_RISE: Final = 1.01
# The audio level that a sender states is measured otherwise than ours.
_STATED_MARGIN_DB: Final = 3.0
_LOWEST_STATED: Final = 127


class SilenceHold:
    """Follows the level of one participant, frame by frame."""

    def __init__(self) -> None:
        # How long a participant must have been quiet before frames may wait; None: they never may.
        self.after_s: float | None = None
        self.may_wait = False
        self._quiet_s = 0.0
        self._floor = LOUDEST_SILENCE

    def note(self, level: float) -> None:
        """Take the level of the next frame; `may_wait` says whether it may."""
        self._floor = min(level, max(self._floor, SILENT_LEVEL / 2) * _FLOOR_RISE)
        is_quiet = level <= self._limit
        after_s = math.inf if self.after_s is None else self.after_s
        self._quiet_s = min(self._quiet_s + PTIME_S, after_s) if is_quiet else 0.0
        self.may_wait = self._quiet_s >= after_s

    def interrupt(self) -> None:
        """Nothing came, and made-up sound took its place: nothing waits until packets come again."""
        if self.may_wait:
            self._quiet_s -= RESUME_S
        self.may_wait = False

    @property
    def _limit(self) -> float:
        """The loudest silence at present: a little more than the background."""
        return min(max(SILENT_LEVEL, _FLOOR_FACTOR * self._floor), LOUDEST_SILENCE)

    @property
    def silent_from(self) -> int | None:
        """The audio level that senders state in a header extension (RFC 6464: 0 is full scale, 127
        silence) from which on a packet is silence that may wait unopened; None: none may.
        """
        if not self.may_wait:
            return None
        loudest_dbfs = 20 * math.log10(self._limit / FULL_SCALE) - _STATED_MARGIN_DB
        return min(math.ceil(-loudest_dbfs), _LOWEST_STATED)
