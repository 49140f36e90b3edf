"""The page of a load: one HTML file with plots, which needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Literal

from load.figures import MAX_LATE_PERCENT, LevelFigures, Sample
from load.page import html_page
from load.result import LoadResult, details, verdict
from load.statistics import Summary, percent, percentile
from load.svg import PLOT_STYLE, Axis, Series, plot

_TIME = Axis("time since the load began, s")
_CALLS = Axis("calls at once")


def report_page(result: LoadResult) -> str:
    """Return the page."""
    return html_page(f"Load of {result.server_url}", "\n".join(_body(result)), PLOT_STYLE)


def _body(result: LoadResult) -> Iterator[str]:
    yield f"<h1>Load of {escape(result.server_url)}</h1>"
    yield f'<p class="verdict">{escape(verdict(result))}</p>'
    yield f'<p class="how">{escape(result.began_at)}, {escape(result.spoken)}.</p>'
    yield from (f"<p>Note: {escape(text)}</p>" for text in result.notes)
    level = result.best or (result.levels[-1] if result.levels else None)
    if level is not None:
        yield f"<h2>{level.calls} calls</h2>"
        rows = "".join(
            f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in details(level)
        )
        yield f'<div class="wide"><table>{rows}</table></div>'
    if len(result.levels) > 1:
        yield from _of_levels(result)
    yield from _over_time(result.samples)
    if level is not None and level.latencies_ms:
        yield from _latencies(level)


def _of_levels(result: LoadResult) -> Iterator[str]:
    yield "<h2>Levels</h2>"
    yield f'<div class="wide"><table>{"".join(_level_rows(result))}</table></div>'
    levels = sorted(result.levels, key=lambda one: one.calls)
    yield "<h2>Late frames by calls</h2>"
    yield _how(
        "Frames that came over 20 ms after their time, and lost ones, of all that callers heard."
    )
    late = _by_calls("late", levels, lambda one: one.late_percent)
    sent = _by_calls(
        "sent late by the callers themselves", levels, lambda one: one.sent_late_percent
    )
    yield _plot(
        "Late frames by calls", _CALLS, Axis("frames, %"), [late, sent], limit=MAX_LATE_PERCENT
    )
    yield "<h2>Mouth to ear by calls</h2>"
    yield _how("From the caller's last word to the first sound of the answer at the caller.")
    yield _plot(
        "Mouth to ear by calls",
        _CALLS,
        Axis("latency, ms"),
        [
            _by_calls("median", levels, lambda one: _of(one.latency_ms, "median")),
            _by_calls("95th percentile", levels, lambda one: _of(one.latency_ms, "p95")),
        ],
    )
    yield "<h2>Processors by calls</h2>"
    yield _plot(
        "Processors by calls",
        _CALLS,
        Axis("cores"),
        [
            _by_calls("agents", levels, lambda one: one.agent_cores),
            _by_calls("server", levels, lambda one: one.server_cores),
            _by_calls("callers", levels, lambda one: one.caller_cores),
        ],
    )


def _by_calls(
    name: str, levels: Sequence[LevelFigures], value: Callable[[LevelFigures], float | None]
) -> Series:
    return Series(name, [(one.calls, value(one)) for one in levels], has_dots=True)


def _level_rows(result: LoadResult) -> Iterator[str]:
    heads = (
        "calls",
        "late, %",
        "gaps",
        "mouth to ear, ms: median",
        "p95",
        "start, ms: p95",
        "cores each",
    )
    yield "<tr>" + "".join(f'<th class="number">{escape(head)}</th>' for head in heads)
    yield "<th>refused or failed</th></tr>"
    for one in result.levels:
        cells = (
            f"{one.calls}",
            _cell(one.late_percent, 2),
            f"{one.gaps}",
            _cell(_of(one.latency_ms, "median"), 0),
            _cell(_of(one.latency_ms, "p95"), 0),
            _cell(_of(one.ready_ms, "p95"), 0),
            _cell(one.cores_per_agent, 3),
        )
        kind = ' class="best"' if one is result.best else ""
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        reasons = [f"{count} x {why}" for why, count in (*one.refused.items(), *one.failed.items())]
        yield f"<tr{kind}>{numbers}<td>{escape(', '.join(reasons))}</td></tr>"


def _of(summary: Summary | None, name: Literal["median", "p95"]) -> float | None:
    if summary is None:
        return None
    return summary.median if name == "median" else summary.p95


def _plot(
    title: str, x_axis: Axis, y_axis: Axis, series: Sequence[Series], limit: float | None = None
) -> str:
    """Return a plot that scrolls where the page is narrower."""
    svg = plot(title, x_axis, y_axis, series, limit=limit, limit_name="limit")
    return f'<div class="wide">{svg}</div>'


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _how(text: str) -> str:
    return f'<p class="how">{escape(text)}</p>'


def _over_time(samples: Sequence[Sample]) -> Iterator[str]:
    def line(name: str, value: Callable[[Sample], float | None]) -> Series:
        return Series(name, [(one.at_s, value(one)) for one in samples])

    plots: list[tuple[str, str, str, list[Series]]] = [
        (
            "Calls",
            "Calls that are up, and starts that the server refused so far.",
            "calls",
            [line("calls", lambda s: s.calls), line("refused", lambda s: s.refused)],
        ),
        (
            "Late frames",
            "Of each second; lost frames count as late.",
            "frames, %",
            [line("late", lambda s: percent(s.late, s.frames))],
        ),
        (
            "Mouth to ear",
            "Median of the answers that began in each second.",
            "latency, ms",
            [line("median", lambda s: percentile(s.latencies_ms, 0.5) if s.latencies_ms else None)],
        ),
        (
            "Processors",
            "Processor seconds a second. Callers are this command's own, and none of the server's load.",
            "cores",
            [
                line("agents", lambda s: s.agent_cores),
                line("server", lambda s: s.server_cores),
                line("callers", lambda s: s.caller_cores),
            ],
        ),
        (
            "Memory",
            "Private memory of all agents, and resident memory of the server.",
            "memory, MB",
            [line("agents", lambda s: s.agents_mb), line("server", lambda s: s.server_mb)],
        ),
        (
            "Event loops",
            "Worst lateness of any agent's event loop between two heartbeats.",
            "lateness, ms",
            [line("worst agent", lambda s: s.loop_lag_ms)],
        ),
    ]
    for title, how, unit, series in plots:
        yield f"<h2>{escape(title)}</h2>"
        yield _how(how)
        yield _plot(title, _TIME, Axis(unit), series)


def _latencies(level: LevelFigures) -> Iterator[str]:
    yield "<h2>Mouth to ear: how many answers came within which time</h2>"
    ordered = sorted(level.latencies_ms)
    points = [(value, 100 * (number + 1) / len(ordered)) for number, value in enumerate(ordered)]
    share = Series("answers", points, is_stepped=True)
    yield _plot("Answers within a time", Axis("latency, ms"), Axis("answers, %"), [share])
