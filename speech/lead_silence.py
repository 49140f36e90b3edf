"""`LeadSilence`: takes the silence off the beginning of a reply, which listeners wait through. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np

from speech.sample_rates import WIRE_RATE_HZ

_QUIET: Final = 100  # of 32 767: voices breathe in below it, and no consonant is as soft
_KEPT_BYTES: Final = WIRE_RATE_HZ * 2 * 5 // 1000
_MOST_BYTES: Final = WIRE_RATE_HZ * 2 * 150 // 1000


class LeadSilence:
    """For the PCM16 pieces of one reply, in order. At most 150 ms are dropped, 5 ms stay."""

    def __init__(self) -> None:
        self._held = b""
        self._dropped_bytes = 0
        self._has_begun = False

    def push(self, pcm: bytes) -> bytes:
        """Return what is to be heard of this piece, and of what was held of those before."""
        if self._has_begun:
            return pcm
        pcm, self._held = self._held + pcm, b""
        loud = np.flatnonzero(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)) > _QUIET)
        quiet_bytes = int(loud[0]) * 2 if loud.size else len(pcm)
        drop = min(max(0, quiet_bytes - _KEPT_BYTES), _MOST_BYTES - self._dropped_bytes)
        self._dropped_bytes += drop
        if loud.size or self._dropped_bytes >= _MOST_BYTES:
            self._has_begun = True
            return pcm[drop:]
        self._held = pcm[drop:]
        return b""

    def flush(self) -> bytes:
        """Return what is held: nothing louder came."""
        held, self._held = self._held, b""
        return held
