"""Figures of a load: what callers heard, what the server and its agents say of themselves. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from load.protocol import CallFigures
from load.statistics import Summary, percent, summary

MAX_LATE_PERCENT: Final = 1.0
"""Of the frames that callers hear; with more, people notice."""
MAX_ENDED_PERCENT: Final = 1.0
BUSY_PERCENT: Final = 90.0
STEPS: Final = ("endpointing", "model", "playout", "listener", "total")
"""Of a turn, as the agents measure them (docs/observability.md)."""


@dataclass(frozen=True)
class Sample:
    """About one second. None: not to be had.

    at_s: since the load began; calls: connected; refused: starts so far
    cores: processor seconds per second; mb: 10^6 bytes of private (agents) or resident (server) memory
    loop_lag_ms: the worst of all agents
    machine_percent: of all processors of the machine on which the callers run
    """

    at_s: float
    calls: int
    refused: int
    frames: int
    late: int
    lost: int
    gaps: int
    latencies_ms: tuple[float, ...]
    caller_cores: float
    server_cores: float | None
    agent_cores: float | None
    server_mb: float | None
    agents_mb: float | None
    loop_lag_ms: float | None
    machine_percent: float | None


@dataclass
class CallSums:
    """Sums of one call over a level. `is_lost`: its connection ended before the load hung up."""

    frames: int = 0
    late: int = 0
    lost: int = 0
    gaps: int = 0
    gap_ms: float = 0.0
    worst_ms: float = 0.0
    sent: int = 0
    sent_late: int = 0
    unanswered: int = 0
    talked_over: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    is_lost: bool = False

    def add(self, figures: CallFigures) -> None:
        """Add a report."""
        for name in ("frames", "late", "lost", "gaps", "gap_ms", "sent", "sent_late"):
            setattr(self, name, getattr(self, name) + getattr(figures, name))
        self.unanswered += figures.unanswered
        self.talked_over += figures.talked_over
        self.worst_ms = max(self.worst_ms, figures.worst_ms)
        self.latencies_ms += figures.latencies_ms
        self.is_lost |= figures.is_lost


@dataclass
class Starts:
    """Of the starts for one level. Reasons are the server's words."""

    ready_ms: list[float] = field(default_factory=list)
    connected_ms: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Limit:
    """Reason why a level was unsound.

    kind: `callers` (they sent late themselves: nothing is known of the server), `late`, `ended`, `failed`
        or `refused`
    """

    kind: str
    text: str


@dataclass(frozen=True)
class LevelFigures:
    """One level: so many calls for so long.

    began_s: monotonic seconds of this machine
    wanted: calls that were to be up; calls: those that were; ended: of them, those that ended by themselves
    late_percent: of all frames, lost ones included; late_percents: of each call
    silent: calls in which nothing was heard
    latency_ms: mouth to ear
    step_ms: mean of each step of a turn, by the agents
    agent_counts: rises of the agents' packet and frame counters
    """

    began_s: float
    wanted: int
    calls: int
    length_s: float
    frames: int
    late_percent: float | None
    late_percents: Summary | None
    lost_percent: float | None
    worst_ms: float
    gaps: int
    gap_ms: float
    silent: int
    ended: int
    turns: int
    latency_ms: Summary | None
    unanswered: int
    talked_over: int
    sent_late_percent: float | None
    ready_ms: Summary | None
    connected_ms: Summary | None
    refused: Mapping[str, int]
    failed: Mapping[str, int]
    restarts: int
    caller_cores: float | None
    server_cores: float | None
    agent_cores: float | None
    cores_per_agent: float | None
    server_mb: float | None
    mb_per_agent: float | None
    loop_lag_ms: Summary | None
    machine_percent: float | None
    step_ms: Mapping[str, float]
    agent_counts: Mapping[str, int]
    latencies_ms: tuple[float, ...] = ()


def level_figures(
    *,
    wanted: int,
    calls: Mapping[int, CallSums],
    samples: Sequence[Sample],
    starts: Starts,
    restarts: int,
    step_ms: Mapping[str, float],
    agent_counts: Mapping[str, int],
    began_s: float,
    length_s: float,
) -> LevelFigures:
    """Return the figures of one level from what was gathered meanwhile."""
    every = list(calls.values())
    frames, late = sum(one.frames for one in every), sum(one.late for one in every)
    latencies = [value for one in every for value in one.latencies_ms]
    late_percents = [share for one in every if (share := percent(one.late, one.frames)) is not None]
    agent_cores, agents_mb = (
        _mean(s.agent_cores for s in samples),
        _mean(s.agents_mb for s in samples),
    )
    count = max(1, len(every))
    lost = percent(sum(one.lost for one in every), frames)
    sent_late = percent(sum(one.sent_late for one in every), sum(one.sent for one in every))
    lags = [s.loop_lag_ms for s in samples if s.loop_lag_ms is not None]
    return LevelFigures(
        began_s=round(began_s, 3),
        wanted=wanted,
        calls=len(every),
        length_s=round(length_s, 1),
        frames=frames,
        late_percent=_rounded(percent(late, frames), 3),
        late_percents=summary(late_percents, 3),
        lost_percent=_rounded(lost, 3),
        worst_ms=round(max((one.worst_ms for one in every), default=0.0), 1),
        gaps=sum(one.gaps for one in every),
        gap_ms=round(sum(one.gap_ms for one in every), 1),
        silent=sum(not one.frames for one in every),
        ended=sum(one.is_lost for one in every),
        turns=len(latencies),
        latency_ms=summary(latencies),
        unanswered=sum(one.unanswered for one in every),
        talked_over=sum(one.talked_over for one in every),
        sent_late_percent=_rounded(sent_late, 3),
        ready_ms=summary(starts.ready_ms),
        connected_ms=summary(starts.connected_ms),
        refused=dict(starts.refused),
        failed=dict(starts.failed),
        restarts=restarts,
        caller_cores=_rounded(_mean(s.caller_cores for s in samples), 3),
        server_cores=_rounded(_mean(s.server_cores for s in samples), 3),
        agent_cores=_rounded(agent_cores, 3),
        cores_per_agent=None if agent_cores is None else round(agent_cores / count, 4),
        server_mb=_rounded(_mean(s.server_mb for s in samples), 1),
        mb_per_agent=None if agents_mb is None else round(agents_mb / count, 1),
        loop_lag_ms=summary(lags),
        machine_percent=_rounded(_mean(s.machine_percent for s in samples), 1),
        step_ms={name: round(value, 1) for name, value in step_ms.items()},
        agent_counts=dict(agent_counts),
        latencies_ms=tuple(round(value, 1) for value in latencies),
    )


def limit_of(figures: LevelFigures) -> Limit | None:
    """Return what made the level unsound; None: nothing did. Refusals come last: what was let in is
    judged first.
    """
    sent_late, late = figures.sent_late_percent, figures.late_percent
    if sent_late is not None and sent_late > MAX_LATE_PERCENT:
        text = f"{sent_late:.2f} % of the frames that the callers sent were late: their machine is too busy"
        return Limit("callers", text)
    if late is not None and late > MAX_LATE_PERCENT:
        return Limit("late", f"{late:.2f} % of the frames that callers heard were late")
    if figures.ended and 100 * figures.ended > MAX_ENDED_PERCENT * figures.calls:
        return Limit("ended", f"{figures.ended} of {figures.calls} calls ended by themselves")
    for kind, reasons in (("failed", figures.failed), ("refused", figures.refused)):
        if reasons:
            named = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
            return Limit(kind, f"starts {kind}: {named}")
    return None


def is_busy_otherwise(figures: LevelFigures, processors: int) -> bool:
    """Return true if the callers' machine is nearly used up, and most of that not by the load.

    Server and agents are taken to run there, too: where they do not, this says less, not more.
    """
    if figures.machine_percent is None or figures.machine_percent < BUSY_PERCENT:
        return False
    used = (figures.caller_cores, figures.server_cores, figures.agent_cores)
    return sum(one or 0.0 for one in used) < processors * figures.machine_percent / 100 / 2


def step_means(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of each step of the turns between two readings of the metrics, in ms."""
    means = {}
    for step in STEPS:
        rise = {"sum": 0.0, "count": 0.0}
        for name, value in after.items():
            for part in rise:
                if name.startswith(f"parley_turn_seconds_{part}{{") and f'step="{step}"' in name:
                    rise[part] += value - before.get(name, 0.0)
        if rise["count"] > 0:
            means[step] = 1000 * rise["sum"] / rise["count"]
    return means


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
