from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from load.figures import CallSums, Limit, Starts
from load.protocol import CallFigures
from load.report import report_page
from load.result import LoadResult, summary_lines, verdict
from load.svg import HEIGHT, WIDTH, Axis, Series, figure, plot, thinned, ticks
from tests.load.test_figures import SAMPLE, level, sums

AXES = (Axis("time, s"), Axis("frames, %"))


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (7, [0, 2, 4, 6, 8]),
        (0.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (float("nan"), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1234, [0, 250, 500, 750, 1000, 1250]),
    ],
)
def test_axes_have_round_ticks(top: float, expected: list[float]) -> None:
    assert ticks(top) == expected


def test_figures_are_short() -> None:
    assert [figure(v) for v in (0.25, 10.0, 12_500)] == ["0.25", "10", "12\u202f500"]


def test_a_plot_is_an_image_with_names_units_and_a_line_within_its_frame() -> None:
    series = [
        Series("a & b", [(0, 0.0), (1, 4.0), (2, None), (3, 2.0)], has_dots=True),
        Series("c", []),
    ]
    root = ElementTree.fromstring(
        plot("Late <frames>", *AXES, series, limit=1.0, limit_name="limit")
    )
    texts = [text.text for text in root.iter("text")]
    assert {"time, s", "frames, %", "a & b", "c", "limit"} <= set(texts)
    assert root.attrib["aria-label"] == "Late <frames>"
    (path,) = root.iter("path")
    # A gap begins the line anew.
    assert path.attrib["d"].count("M") == 2
    places = [float(n) for n in re.findall(r"[\d.]+", path.attrib["d"])]
    assert all(0 <= x <= WIDTH for x in places[0::2])
    assert all(0 <= y <= HEIGHT for y in places[1::2])
    assert len(list(root.iter("circle"))) == 3


def test_a_plot_of_nothing_says_so() -> None:
    root = ElementTree.fromstring(plot("t", *AXES, [Series("x", [])]))
    assert "no figures" in [text.text for text in root.iter("text")]


def test_long_lines_keep_their_extremes() -> None:
    points: list[tuple[float, float | None]] = [(n, float(n == 7_001)) for n in range(10_000)]
    kept = thinned(points)
    assert len(kept) <= 700
    assert (7_001, 1.0) in kept


def result(**changes: object) -> LoadResult:
    refused = Starts()
    refused.refused["at_capacity: <agents>"] += 2
    low = level(sums(CallFigures(number=0, frames=100, late=0, latencies_ms=[500.0], sent=10)))
    high = replace(
        level(
            sums(CallFigures(number=0, frames=100, late=9, latencies_ms=[900.0])), starts=refused
        ),
        calls=2,
    )
    values: dict[str, object] = {
        "server_url": "http://127.0.0.1:8080",
        "began_at": "2026-11-29T12:00:00+00:00",
        "spoken": "built-in conversation",
        "levels": [low, high],
        "best": low,
        "limit": Limit("late", "9.00 % of the frames that callers heard were late"),
        "is_searched": True,
        "samples": [SAMPLE, replace(SAMPLE, at_s=2.0)],
    }
    return LoadResult(**{**values, **changes})  # type: ignore[arg-type]


def test_the_page_needs_nothing_else_and_reads_in_light_and_dark() -> None:
    page = report_page(result(notes=["<script>"]))
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
    assert "prefers-color-scheme: dark" in page
    assert "at_capacity: &lt;agents&gt;" in page
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)
    assert page.count("<svg") == 10


def test_a_load_in_which_nothing_was_heard_has_a_page() -> None:
    empty = level(CallSums())
    page = report_page(result(levels=[empty], best=None, limit=None, samples=[], is_searched=False))
    assert "no figures" in page


def test_the_verdict_names_calls_and_limit() -> None:
    found = result()
    assert verdict(found) == (
        "1 calls are sound; first limit: 9.00 % of the frames that callers heard were late"
    )
    assert verdict(result(is_searched=False, limit=None)) == "2 calls were sound"
    assert verdict(result(is_interrupted=True)).startswith("interrupted")
    assert verdict(result(levels=[], best=None)) == "nothing was measured"
    lines = summary_lines(found)
    assert lines[0].startswith("   1 of 3 calls")
    assert "2 starts refused" in lines[1]
    assert lines[-1] == verdict(found)
