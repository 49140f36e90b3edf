"""Sums of counters whose sources come and go. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping


class Tally:
    """Every source counts from zero; the sums never fall, whoever leaves or begins anew."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self._last: dict[Hashable, Mapping[str, float]] = {}

    def update(self, source: Hashable, counts: Mapping[str, float]) -> dict[str, float]:
        """Take what a source has counted up to now; returns by how much each sum rose."""
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
        """Forget all other sources; what they counted stays in the sums."""
        kept = set(sources)
        self._last = {source: last for source, last in self._last.items() if source in kept}
