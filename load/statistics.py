"""Figures of many values. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` from 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Summary:
    """Count, median, 95th percentile and maximum, in the unit of the values."""

    count: int
    median: float
    p95: float
    max: float


def summary(values: Sequence[float], digits: int = 1) -> Summary | None:
    """Return the summary, rounded; None without values, of which nothing can be said."""
    if not values:
        return None
    figures = (statistics.median(values), percentile(values, 0.95), max(values))
    return Summary(len(values), *(round(figure, digits) for figure in figures))


def percent(part: float, whole: float) -> float | None:
    """Return `part` of `whole` in per cent; None of nothing."""
    return 100 * part / whole if whole else None
