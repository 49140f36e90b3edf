"""Gauges read at each scrape: agents, their memory, the process pool, the local model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from control.metrics.figures import PREFIX
from control.placement import AgentStatus
from control.supervisor.pool import PoolStatistics
from conversation.lifecycle import AgentState

_SHOWN_STATES: Final = tuple(state for state in AgentState if state is not AgentState.EXITED)


@dataclass(frozen=True)
class Reading:
    """One more value to export. is_count: it only grows; label: name of the label if `value` is a
    mapping, whose keys are the label's values.
    """

    name: str
    text: str
    value: float | Mapping[str, float]
    is_count: bool = False
    label: str = ""


class CurrentCollector(Collector):
    """A `prometheus_client` collector of the server's current state."""

    def __init__(
        self,
        agents: Callable[[], Iterable[AgentStatus]],
        pool: Callable[[], PoolStatistics],
        is_ready: Callable[[], bool],
        readings: Callable[[], Iterable[Reading]] = tuple,
    ) -> None:
        self._agents = agents
        self._pool = pool
        self._is_ready = is_ready
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as of now."""
        agents = list(self._agents())
        yield _gauge("ready", "1 if agents can be started", float(self._is_ready()))
        yield _states(agents)
        yield _memory(agents)
        yield _gauge(
            "agent_descriptors",
            "Open files and sockets of all agents",
            sum(one.descriptors or 0 for one in agents),
        )
        vitals = [one.vitals for one in agents if one.vitals is not None]
        yield _gauge("users", "Users in the rooms of agents", sum(one.users for one in vitals))
        yield from self._collect_pool()
        for one in self._readings():
            yield _family(one)

    def _collect_pool(self) -> Iterator[Metric]:
        pool = self._pool()
        yield _gauge("pool_idle", "Idle warm processes", pool.idle)
        claims = CounterMetricFamily(
            f"{PREFIX}_pool_claims", "Starts, by whether a warm process was idle", labels=["is_hit"]
        )
        claims.add_metric(["true"], pool.taken)
        claims.add_metric(["false"], pool.missed)
        yield claims
        yield CounterMetricFamily(
            f"{PREFIX}_pool_deaths", "Warm processes that died while idle", value=pool.died
        )


def _family(reading: Reading) -> Metric:
    kind = CounterMetricFamily if reading.is_count else GaugeMetricFamily
    name = f"{PREFIX}_{reading.name}"
    if not isinstance(reading.value, Mapping):
        return kind(name, reading.text, value=reading.value)
    family = kind(name, reading.text, labels=[reading.label])
    for key, value in reading.value.items():
        family.add_metric([key], value)
    return family


def _states(agents: Iterable[AgentStatus]) -> Metric:
    counts = Counter(one.state for one in agents)
    family = GaugeMetricFamily(f"{PREFIX}_agents", "Agents, by state", labels=["state"])
    for state in _SHOWN_STATES:
        family.add_metric([state], counts[state])
    return family


def _memory(agents: Iterable[AgentStatus]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}_agent_memory_bytes",
        "Memory of all agents: private, or with their share of shared pages (pss); max: of one agent",
        labels=["kind", "of"],
    )
    for kind in ("private", "pss"):
        sizes = [getattr(one, f"{kind}_bytes") or 0 for one in agents]
        family.add_metric([kind, "sum"], sum(sizes))
        family.add_metric([kind, "max"], max(sizes, default=0))
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
