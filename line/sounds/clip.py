"""`Clip`: a sound to be mixed under the agent's voice."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

LOOP_FADE_MS: Final = 100
"""What a loop loses of its length: its end blends into its beginning."""

Samples = npt.NDArray[np.int16]


class Clip(NamedTuple):
    """Mono samples at the rate of the line. gain: factor of amplitude; is_loop: begins anew at its end"""

    samples: Samples
    gain: float = 1.0
    is_loop: bool = False

    def is_same(self, other: Clip) -> bool:
        """Return true for the very same samples, played in the same way."""
        return self.samples is other.samples and self[1:] == other[1:]


def amplitude(level_db: float) -> float:
    """Return the factor of a level in dB."""
    return float(10 ** (level_db / 20))


def seamless(samples: Samples, sample_rate_hz: int) -> Samples:
    """Return a loop without a click: an equal-power crossfade of the end into the beginning.

    A sound shorter than four such fades is taken with a shorter one.
    """
    fade = min(sample_rate_hz * LOOP_FADE_MS // 1000, len(samples) // 4)
    if not fade:
        return samples
    angle = np.linspace(0, np.pi / 2, fade, endpoint=False)
    loop = samples[:-fade].copy()
    blended = samples[:fade] * np.sin(angle) + samples[-fade:] * np.cos(angle)
    loop[:fade] = np.clip(blended, -32768, 32767).astype(np.int16)
    return loop
