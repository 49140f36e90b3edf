"""Sums of counters whose sources come and go. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping


class CounterTotals:
    """Sums of counters over changing sources. Each source counts from zero; a sum never falls when
    a source leaves or restarts.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self._last: dict[Hashable, Mapping[str, float]] = {}

    def update(self, source: Hashable, counts: Mapping[str, float]) -> dict[str, float]:
        """Take the counts of one source up to now; return the increase of each sum."""
        last = self._last.get(source, {})
        rises: dict[str, float] = {}
        for name, count in counts.items():
            before = last.get(name, 0)
            # A count that fell began anew.
            rises[name] = count - before if count >= before else count
            self.sums[name] = self.sums.get(name, 0) + rises[name]
        self._last[source] = dict(counts)
        return rises

    def retain(self, sources: Iterable[Hashable]) -> None:
        """Forget all sources but these; the counts of the others stay in the sums."""
        kept = set(sources)
        self._last = {source: last for source, last in self._last.items() if source in kept}
