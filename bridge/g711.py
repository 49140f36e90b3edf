"""G.711: companded telephone audio, one byte for each sample (ITU-T G.711, u-law and A-law)."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Law = Literal["ulaw", "alaw"]

_ULAW_BIAS = 33


def decode(law: Law, data: bytes) -> bytes:
    """Expand to PCM16."""
    return _expansion(law)[np.frombuffer(data, np.uint8)].tobytes()


def encode(law: Law, pcm: bytes) -> bytes:
    """Compress PCM16 to the nearest values of the law."""
    return _compression(law)[np.frombuffer(pcm, np.uint16)].tobytes()


@cache
def _expansion(law: Law) -> npt.NDArray[np.int16]:
    codes = np.arange(256)
    return (_ulaw_values(codes) if law == "ulaw" else _alaw_values(codes)).astype(np.int16)


def _ulaw_values(codes: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    inverted = ~codes & 0xFF
    exponent, mantissa = (inverted >> 4) & 7, inverted & 15
    magnitude = (((2 * mantissa + _ULAW_BIAS) << exponent) - _ULAW_BIAS) * 4
    return np.where(inverted & 0x80, -magnitude, magnitude)


def _alaw_values(codes: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    inverted = codes ^ 0x55
    exponent, mantissa = (inverted >> 4) & 7, inverted & 15
    linear = 2 * mantissa + 1
    raised = (linear + 32) << np.maximum(exponent - 1, 0)
    magnitude = np.where(exponent == 0, linear, raised) * 8
    return np.where(inverted & 0x80, magnitude, -magnitude)


@cache
def _compression(law: Law) -> npt.NDArray[np.uint8]:
    """The code of each sample, by its 16 bits as an unsigned number."""
    values = _expansion(law).astype(np.int32)
    # Of two codes for zero the first one found counts, which is the positive one.
    order = np.argsort(values, kind="stable")
    limits = (values[order][1:] + values[order][:-1]) / 2
    samples = np.arange(65_536).astype(np.uint16).view(np.int16)
    return order[np.searchsorted(limits, samples)].astype(np.uint8)
