"""Figures as rows: count, minimum, median, 95th percentile, maximum."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from load.statistics import percentile


def row(name: str, unit: str, values: Sequence[float], *, digits: int = 1) -> str:
    """One line of the report; says so when nothing was measured."""
    if not values:
        return f"{name:<46} nothing measured"
    figures = (min(values), statistics.median(values), percentile(values, 0.95), max(values))
    cells = " ".join(f"{figure:9.{digits}f}" for figure in figures)
    return f"{name:<46} {len(values):4d} {cells}  {unit}"


HEADER = f"{'figure':<46} {'n':>4} {'min':>9} {'median':>9} {'p95':>9} {'max':>9}"
