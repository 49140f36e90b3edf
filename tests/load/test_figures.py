from __future__ import annotations

from dataclasses import replace

import pytest

from load.figures import (
    CallSums,
    LevelFigures,
    Sample,
    Starts,
    is_busy_otherwise,
    level_figures,
    limit_of,
    step_means,
)
from load.protocol import CallFigures
from load.server_api import parse_metrics
from load.statistics import percent, percentile, summary

SAMPLE = Sample(
    at_s=1.0, calls=2, refused=0, frames=100, late=1, lost=0, gaps=0, latencies_ms=(500.0,),
    caller_cores=0.1, server_cores=0.2, agent_cores=0.4, server_mb=100.0, agents_mb=44.0,
    loop_lag_ms=3.0, machine_percent=40.0,
)  # fmt: skip


def sums(*reports: CallFigures) -> CallSums:
    total = CallSums()
    for one in reports:
        total.add(one)
    return total


def level(*calls: CallSums, starts: Starts | None = None) -> LevelFigures:
    return level_figures(
        wanted=3,
        calls=dict(enumerate(calls)),
        samples=[SAMPLE, replace(SAMPLE, server_cores=None, agent_cores=0.6)],
        starts=starts or Starts(),
        restarts=0,
        step_ms={"total": 612.34},
        agent_counts={"packets_lost": 3},
        began_s=5.0,
        length_s=2.04,
    )


def test_summaries_and_shares() -> None:
    assert summary([]) is None
    found = summary([4.0, 1.0, 2.0, 3.0])
    assert found is not None
    assert (found.count, found.median, found.p95, found.max) == (4, 2.5, 4.0, 4.0)
    assert percentile([1, 2, 3, 4], 0.5) == 3
    assert (percent(1, 4), percent(0, 0)) == (25.0, None)


def test_a_level_joins_all_calls_and_seconds() -> None:
    one = sums(
        CallFigures(number=0, frames=60, late=1, worst_ms=25.0, latencies_ms=[400.0], sent=50),
        CallFigures(number=0, frames=40, late=0, worst_ms=9.0, latencies_ms=[600.0], sent=50),
    )
    figures = level(one, sums(CallFigures(number=1, sent=100, sent_late=1, unanswered=1)))
    assert (figures.calls, figures.frames, figures.late_percent) == (2, 100, 1.0)
    assert (figures.silent, figures.unanswered, figures.worst_ms) == (1, 1, 25.0)
    assert figures.latency_ms is not None
    assert (figures.turns, figures.latency_ms.median) == (2, 500.0)
    assert figures.sent_late_percent == 0.5
    assert (figures.agent_cores, figures.cores_per_agent, figures.server_cores) == (0.5, 0.25, 0.2)
    assert (figures.mb_per_agent, figures.step_ms) == (22.0, {"total": 612.3})
    assert limit_of(figures) is None


def test_nothing_heard_has_no_share() -> None:
    assert level(CallSums()).late_percent is None
    assert limit_of(level()) is None


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (CallFigures(number=0, frames=100, late=2, sent=100, sent_late=2), "callers"),
        (CallFigures(number=0, frames=100, late=2, sent=100), "late"),
        (CallFigures(number=0, frames=100, is_lost=True), "ended"),
    ],
)
def test_the_first_limit_is_named(call: CallFigures, kind: str) -> None:
    starts = Starts()
    starts.refused["at_capacity: cpu"] += 2
    limit = limit_of(level(sums(call), starts=starts))
    assert limit is not None
    assert limit.kind == kind


def test_failed_starts_come_before_refused_ones() -> None:
    starts = Starts()
    starts.refused["at_capacity: cpu"] += 2
    limit = limit_of(level(CallSums(), starts=starts))
    assert limit is not None
    assert (limit.kind, limit.text) == ("refused", "starts refused: at_capacity: cpu (2)")
    starts.failed["start_failed: connecting"] += 1
    failed = limit_of(level(CallSums(), starts=starts))
    assert failed is not None
    assert failed.kind == "failed"


METRICS = """
# TYPE parley_turn_seconds histogram
parley_turn_seconds_bucket{step="total",provider="openai",le="+Inf"} %d
parley_turn_seconds_count{step="total",provider="openai"} %d
parley_turn_seconds_sum{step="total",provider="openai"} %f
# TYPE parley_process_cpu_seconds counter
parley_process_cpu_seconds_total 12.5
"""


def test_steps_of_turns_are_means_between_two_readings() -> None:
    before, after = parse_metrics(METRICS % (2, 2, 1.0)), parse_metrics(METRICS % (6, 6, 3.0))
    assert before["parley_process_cpu_seconds_total"] == 12.5
    assert step_means(before, after) == {"total": 500.0}
    assert step_means(after, after) == {}
    assert step_means({}, after) == {"total": 500.0}


def test_what_is_no_metrics_page_is_none() -> None:
    assert parse_metrics("<html>") == {}


def test_a_machine_that_others_use_up_is_named() -> None:
    busy = replace(level(CallSums()), machine_percent=95.0)
    # The load takes 0.1 + 0.2 + 0.5 cores.
    assert is_busy_otherwise(busy, processors=2)
    assert not is_busy_otherwise(busy, processors=1)
    assert not is_busy_otherwise(replace(busy, machine_percent=60.0), processors=2)
    assert not is_busy_otherwise(replace(busy, machine_percent=None), processors=2)
