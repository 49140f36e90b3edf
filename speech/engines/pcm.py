"""Audio of models as PCM16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FADE_SAMPLES = 64


def to_pcm16(audio: NDArray[np.float32]) -> bytes:
    """Convert samples in -1..1, which are changed: soft ends, so that clauses join without a click."""
    fade = min(_FADE_SAMPLES, len(audio) // 2)
    if fade:
        ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        audio[:fade] *= ramp
        audio[-fade:] *= ramp[::-1]
    return bytes((np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16).tobytes())
