"""Plots as SVG text: lines over a number, with axes, units and a legend. Pure.

Colours are CSS variables of the page (`load.page`), so that a plot reads in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 40
_TICKS: Final = 5
_MAX_POINTS: Final = 600
"""Of a line; of more, the extremes of each stretch are drawn."""

PLOT_STYLE: Final = """
svg.plot { width: 100%; height: auto; min-width: 520px; max-width: 720px; display: block; }
svg.plot text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg.plot .grid { stroke: var(--grid); stroke-width: 1; }
svg.plot .limit { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 6 4; }
svg.plot path { fill: none; stroke-width: 2; stroke-linejoin: round; }
""" + "".join(
    f"svg.plot .of-{n} {{ stroke: var(--line-{n}); }} svg.plot .dot-{n} {{ fill: var(--line-{n}); }} "
    f"svg.plot text.name-{n} {{ fill: var(--line-{n}); font-weight: 600; }}\n"
    for n in range(5)
)


@dataclass(frozen=True)
class Series:
    """A line. points: x and y; a y of None is a gap. has_dots: each point is drawn, too"""

    name: str
    points: Sequence[tuple[float, float | None]]
    has_dots: bool = False
    is_stepped: bool = False


@dataclass(frozen=True)
class Axis:
    """label: with the unit"""

    label: str


def plot(
    title: str,
    x_axis: Axis,
    y_axis: Axis,
    series: Sequence[Series],
    *,
    limit: float | None = None,
    limit_name: str = "",
) -> str:
    """Return a plot; both axes begin at zero.

    limit: a level of y that is drawn as a dashed line
    """
    points = [(x, y) for one in series for x, y in one.points if y is not None]
    x_ticks = ticks(max((x for x, _ in points), default=1.0))
    y_ticks = ticks(
        max([y for _, y in points] + ([limit] if limit is not None else []), default=1.0)
    )
    scale = _Scale(x_ticks[-1], y_ticks[-1])
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_grid(scale, x_ticks, y_ticks),
        *_labels(x_axis, y_axis),
    ]
    if limit is not None:
        y = scale.y(limit)
        parts.append(
            f'<line class="limit" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}"/>'
        )
        parts.append(
            f'<text x="{WIDTH - _RIGHT}" y="{y - 4:g}" text-anchor="end">{escape(limit_name)}</text>'
        )
    for number, one in enumerate(series):
        parts += _line(one, number % 5, scale)
    parts += _legend(series)
    if not points:
        parts.append(
            f'<text x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle">no figures</text>'
        )
    return "\n".join([*parts, "</svg>"])


def ticks(top: float) -> list[float]:
    """Return about five round values from 0 to one that is no less than `top`."""
    if not math.isfinite(top) or top <= 0:
        top = 1.0
    rough = top / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    count = math.ceil(top / step - 1e-9)
    return [round(number * step, 10) for number in range(count + 1)]


def figure(value: float) -> str:
    """Return a number as short as it can be told from its neighbours."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:g}"


@dataclass(frozen=True)
class _Scale:
    """Places on the page of values from 0 to these."""

    x_top: float
    y_top: float

    def x(self, value: float) -> float:
        return round(_LEFT + value / self.x_top * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - _BOTTOM - value / self.y_top * (HEIGHT - _TOP - _BOTTOM), 1)


def _grid(scale: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Iterator[str]:
    for value in y_ticks:
        y = scale.y(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{figure(value)}</text>'
    for value in x_ticks:
        x = scale.x(value)
        yield f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="{HEIGHT - _BOTTOM}" y2="{HEIGHT - _BOTTOM + 4}"/>'
        yield f'<text x="{x:g}" y="{HEIGHT - _BOTTOM + 17}" text-anchor="middle">{figure(value)}</text>'


def _labels(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    middle = (_LEFT + WIDTH - _RIGHT) // 2
    yield f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_axis.label)}</text>'
    y = (_TOP + HEIGHT - _BOTTOM) // 2
    yield (
        f'<text x="13" y="{y}" text-anchor="middle" transform="rotate(-90 13 {y})">'
        f"{escape(y_axis.label)}</text>"
    )


def _line(one: Series, number: int, scale: _Scale) -> Iterator[str]:
    commands: list[str] = []
    is_open = False
    last_y = 0.0
    for x, y in thinned(one.points):
        if y is None:
            is_open = False
            continue
        place = f"{scale.x(x):g} {scale.y(y):g}"
        if is_open and one.is_stepped:
            commands.append(f"L{scale.x(x):g} {scale.y(last_y):g}")
        commands.append(f"{'L' if is_open else 'M'}{place}")
        is_open, last_y = True, y
    if commands:
        yield f'<path class="of-{number}" d="{"".join(commands)}"/>'
    if one.has_dots:
        for x, y in one.points:
            if y is not None:
                told = f"{one.name}: {figure(x)}, {figure(y)}"
                yield (
                    f'<circle class="dot-{number}" cx="{scale.x(x):g}" cy="{scale.y(y):g}" r="4">'
                    f"<title>{escape(told)}</title></circle>"
                )


def _legend(series: Sequence[Series]) -> Iterator[str]:
    x = float(_LEFT)
    for number, one in enumerate(series if len(series) > 1 else ()):
        yield f'<text class="name-{number % 5}" x="{x:g}" y="{_TOP - 12}">{escape(one.name)}</text>'
        x += 7.2 * len(one.name) + 18


def thinned(points: Sequence[tuple[float, float | None]]) -> Sequence[tuple[float, float | None]]:
    """Return at most about `_MAX_POINTS` points that look alike: of each stretch, its extremes."""
    if len(points) <= _MAX_POINTS:
        return points
    size = math.ceil(2 * len(points) / _MAX_POINTS)
    kept: list[tuple[float, float | None]] = []
    for first in range(0, len(points), size):
        stretch = [point for point in points[first : first + size] if point[1] is not None]
        if not stretch:
            kept.append(points[first])
            continue
        extremes = {min(stretch, key=_y), max(stretch, key=_y)}
        kept += sorted(extremes)
    return kept


def _y(point: tuple[float, float | None]) -> float:
    return point[1] or 0.0
