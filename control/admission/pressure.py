"""Decide when agents should save work because the processors are nearly used up. Pure."""

from __future__ import annotations

from typing import Final

HIGH_SHARE: Final = 0.80
"""Load from which on calls begin to lose frames (docs/costs.md)."""

LOW_SHARE: Final = 0.70
"""Load below which the pressure has ended; in between it does not change (hysteresis)."""


class PressureSignal:
    """Pressure with hysteresis; `update` it with each reading of the load."""

    def __init__(self) -> None:
        self.is_high = False

    def update(self, share: float) -> bool:
        """Take the averaged load; return `is_high`."""
        self.is_high = share >= (LOW_SHARE if self.is_high else HIGH_SHARE)
        return self.is_high
