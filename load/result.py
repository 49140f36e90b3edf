"""Result of a load, as its JSON file has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from load.figures import LevelFigures, Limit, Sample
from load.statistics import percent


@dataclass(frozen=True)
class LoadResult:
    """Result of a load.

    levels: in the order in which they were run; best: the one with the most calls that was sound
    limit: what made the next higher level unsound; None: nothing did
    is_searched: the limit was looked for
    is_interrupted: it was stopped before its end
    """

    server_url: str
    began_at: str
    spoken: str
    levels: Sequence[LevelFigures]
    best: LevelFigures | None
    limit: Limit | None
    is_searched: bool
    samples: Sequence[Sample]
    notes: Sequence[str] = ()
    is_interrupted: bool = False

    def to_json(self) -> str:
        """Return the whole result as a JSON document."""
        fields: dict[str, Any] = {"version": 1, **asdict(self)}
        return json.dumps(fields, indent=1)


def summary_lines(result: LoadResult) -> list[str]:
    """Return the result for a terminal."""
    lines = [level_line(level) for level in result.levels] if result.is_searched else []
    if (level := result.best or (result.levels[-1] if result.levels else None)) is not None:
        lines += [f"{name:<24}{text}" for name, text in details(level)]
    lines.append(verdict(result))
    return lines + [f"note: {text}" for text in result.notes]


def verdict(result: LoadResult) -> str:
    """Return one sentence on how it went."""
    if result.is_interrupted:
        return "interrupted: the figures are of the levels that ended before"
    if not result.levels:
        return "nothing was measured"
    limit = result.limit
    if result.is_searched:
        most = 0 if result.best is None else result.best.calls
        first = f"first limit: {limit.text}" if limit else "no limit was met up to --calls"
        return f"{most} calls are sound; {first}"
    calls = result.levels[-1].calls
    return f"{calls} calls were not sound: {limit.text}" if limit else f"{calls} calls were sound"


def level_line(level: LevelFigures) -> str:
    """Return one line on a level."""
    late = "nothing heard" if level.late_percent is None else f"{level.late_percent:.2f} % late"
    latency = level.latency_ms
    waited = "no turns" if latency is None else f"{latency.median:.0f} / {latency.p95:.0f} ms"
    refused = sum(level.refused.values())
    return (
        f"{level.calls:4d} of {level.wanted} calls, {level.length_s:.0f} s: {late}, {level.gaps} gaps, "
        f"mouth to ear {waited}" + (f", {refused} starts refused" if refused else "")
    )


def details(level: LevelFigures) -> list[tuple[str, str]]:
    """Return the figures of a level as names and texts."""
    rows: list[tuple[str, str]] = [
        ("calls", f"{level.calls} of {level.wanted}, {level.length_s:.0f} s"),
        ("start to ready", _times(level.ready_ms, "ms")),
        ("frames late", _value(level.late_percent, "%", 2) + f" of {level.frames}"),
        (
            "worst call",
            "-" if level.late_percents is None else f"{level.late_percents.max:.2f} % late",
        ),
        ("frames lost", _value(level.lost_percent, "%", 2)),
        ("gaps", f"{level.gaps}, {level.gap_ms:.0f} ms in all"),
        ("mouth to ear", _times(level.latency_ms, "ms")),
        (
            "turns",
            f"{level.turns} answered, {level.unanswered} not, {level.talked_over} talked over",
        ),
        ("of a turn", ", ".join(f"{k} {v:.0f} ms" for k, v in level.step_ms.items()) or "-"),
        ("calls that ended early", str(level.ended)),
        ("restarts", str(level.restarts)),
        (
            "agents",
            f"{_value(level.cores_per_agent, 'cores', 3)}, {_value(level.mb_per_agent, 'MB', 1)} each",
        ),
        ("heard by the agents", _agent_counts(level.agent_counts)),
        ("server", f"{_value(level.server_cores, 'cores', 2)}, {_value(level.server_mb, 'MB', 0)}"),
        (
            "callers",
            f"{_value(level.caller_cores, 'cores', 2)}, {_value(level.sent_late_percent, '%', 2)} sent late",
        ),
        ("callers' machine", f"{_value(level.machine_percent, '%', 0)} busy"),
    ]
    rows += [("refused", f"{count} x {reason}") for reason, count in level.refused.items()]
    rows += [("failed", f"{count} x {reason}") for reason, count in level.failed.items()]
    return rows


def _agent_counts(counts: Mapping[str, int]) -> str:
    """Return what of their callers' voices reached the agents, and how often their own clocks were late."""
    received, lost = counts.get("packets_received", 0), counts.get("packets_lost", 0)
    late = counts.get("packets_late", 0)
    shares = [percent(count, received + lost) for count in (lost, late)]
    lost_text, late_text = (_value(share, "%", 2) for share in shares)
    return (
        f"{received} packets, {lost_text} lost, {late_text} late; "
        f"{counts.get('playout_stalls', 0)} playout stalls"
    )


def _times(times: Any, unit: str) -> str:
    if times is None:
        return "-"
    return f"median {times.median:.0f}, p95 {times.p95:.0f}, max {times.max:.0f} {unit} of {times.count}"


def _value(value: float | None, unit: str, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}"
