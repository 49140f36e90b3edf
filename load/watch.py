"""Samples what callers report, and what server and agents say of themselves, once a second."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Sized
from pathlib import Path
from typing import Any, Final

from load.figures import CallSums, Sample
from load.protocol import Report
from load.server_api import ServerApi, ServerApiError

SAMPLE_S: Final = 1.0
SAMPLE_TIMEOUT_S: Final = 30.0
_MB: Final = 1e6


class Watch:
    """Sums since the level began, and samples of the whole load."""

    def __init__(self, api: ServerApi, channels: Collection[str], calls: Sized) -> None:
        """channels: of our agents, others are not ours to count; calls: those that are up. Live views."""
        self._api = api
        self._channels = channels
        self._live = calls
        self._began_s = time.monotonic()
        self.samples: list[Sample] = []
        self.calls: dict[int, CallSums] = {}
        self.refused = 0
        self._reports: list[Report] = []
        # Of each process of callers, as of its last report.
        self._caller_cores: dict[int, float] = {}
        self._sampled = asyncio.Condition()
        self._cpu_s: dict[str, tuple[float, float]] = {}
        self._server_cpu: tuple[float, float] | None = None
        self._machine = _read_machine()
        self.metrics: dict[str, float] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._restarts: dict[str, int] = {}

    def handle_report(self, report: Report) -> None:
        """Take what a process of callers reports."""
        self._reports.append(report)
        self._caller_cores[report.pid] = report.cores
        for one in report.calls:
            self.calls.setdefault(one.number, CallSums()).add(one)

    def begin_level(self) -> None:
        """Forget the sums of calls."""
        self.calls = {}

    @property
    def restarts(self) -> int:
        """Processes of our agents that were lost and followed by another one, so far."""
        return sum(self._restarts.values())

    @property
    def counts(self) -> Counter[str]:
        """Packet and frame counters of our agents, so far."""
        total: Counter[str] = Counter()
        for counts in self._counts.values():
            total.update(counts)
        return total

    async def keep_sampling(self) -> None:
        """Take a sample a second, until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            await self._sample()
            async with self._sampled:
                self._sampled.notify_all()

    async def next_sample(self) -> None:
        """Return when the next sample has been taken.

        Raises:
            ServerApiError: there is none in time.
        """
        try:
            async with asyncio.timeout(SAMPLE_TIMEOUT_S), self._sampled:
                await self._sampled.wait()
        except TimeoutError as error:
            raise ServerApiError(f"no figures of {self._api.url}") from error

    async def _sample(self) -> None:
        try:
            agents = [
                a for a in await self._api.agents() if a.get("channel_name") in self._channels
            ]
        except ServerApiError:
            agents = []
        self.metrics = await self._api.metrics() or self.metrics
        now_s = time.monotonic()
        agent_cores = self._agent_cores(agents, now_s)
        for agent in agents:
            self._note_counts(agent)
        private = [b for a in agents if isinstance(b := a.get("private_bytes"), int)]
        lags = [v for a in agents if isinstance(v := a.get("loop_lag_ms"), int | float)]
        rss = self.metrics.get("parley_process_resident_memory_bytes")
        reports, self._reports = self._reports, []
        figures = [one for report in reports for one in report.calls]
        self.samples.append(
            Sample(
                at_s=round(now_s - self._began_s, 2),
                calls=len(self._live),
                refused=self.refused,
                frames=sum(one.frames for one in figures),
                late=sum(one.late for one in figures),
                lost=sum(one.lost for one in figures),
                gaps=sum(one.gaps for one in figures),
                latencies_ms=tuple(round(v, 1) for one in figures for v in one.latencies_ms),
                caller_cores=round(sum(self._caller_cores.values()), 3),
                server_cores=self._server_cores(now_s),
                agent_cores=agent_cores,
                server_mb=None if rss is None else round(rss / _MB, 1),
                agents_mb=round(sum(private) / _MB, 1) if private else None,
                loop_lag_ms=max(lags, default=None),
                machine_percent=self._machine_percent(),
            )
        )

    def _agent_cores(self, agents: list[dict[str, Any]], now_s: float) -> float | None:
        """Return what agents used since the last sample; one that is new counts from its next on."""
        known: dict[str, tuple[float, float]] = {}
        spent = []
        for agent in agents:
            cpu_s, channel = agent.get("cpu_s"), str(agent.get("channel_name"))
            if not isinstance(cpu_s, int | float):
                continue
            key = f"{channel} {agent.get('pid')}"
            known[key] = (now_s, cpu_s)
            if key in self._cpu_s:
                before_s, before_cpu_s = self._cpu_s[key]
                spent.append(max(0.0, cpu_s - before_cpu_s) / max(0.001, now_s - before_s))
        self._cpu_s = known
        return round(sum(spent), 3) if spent else None

    def _note_counts(self, agent: dict[str, Any]) -> None:
        channel = str(agent.get("channel_name"))
        if isinstance(restarts := agent.get("restarts"), int):
            self._restarts[channel] = restarts
        media = (agent.get("vitals") or {}).get("media") or {}
        # Of each process: those of a lost one stay counted.
        self._counts[f"{channel} {agent.get('pid')}"] = {
            name: count for name, count in media.items() if isinstance(count, int)
        }

    def _server_cores(self, now_s: float) -> float | None:
        cpu_s = self.metrics.get("parley_process_cpu_seconds_total")
        if cpu_s is None:
            return None
        before, self._server_cpu = self._server_cpu, (now_s, cpu_s)
        if before is None:
            return None
        return round((cpu_s - before[1]) / max(0.001, now_s - before[0]), 3)

    def _machine_percent(self) -> float | None:
        before, self._machine = self._machine, _read_machine()
        if before is None or self._machine is None:
            return None
        busy, total = (after - old for after, old in zip(self._machine, before, strict=True))
        return round(100 * busy / total, 1) if total > 0 else None


def _read_machine() -> tuple[float, float] | None:
    """Return busy and all processor time since boot, in ticks; idle and waiting for disks is not busy."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
        times = [float(field) for field in fields]
    except (OSError, ValueError):
        return None
    return sum(times) - sum(times[3:5]), sum(times)
