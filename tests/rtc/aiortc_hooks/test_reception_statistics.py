"""Receiver reports say the same as aiortc's own statistics would."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.rtcrtpreceiver import StreamStatistics

from rtc.aiortc_hooks.reception_statistics import ReceptionStatistics


class Clock:
    """One clock for both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(time, "time", lambda: self.now_s)


def packet(sequence: int, timestamp: int) -> Any:
    """What aiortc's statistics look at in a packet."""
    return SimpleNamespace(sequence_number=sequence & 0xFFFF, timestamp=timestamp & 0xFFFFFFFF)


def figures(statistics: StreamStatistics) -> tuple[int | None, ...]:
    """All that a receiver report takes from it; the share of lost packets since the last one too."""
    return (
        statistics.max_seq,
        statistics.packets_expected,
        statistics.packets_received,
        statistics.packets_lost,
        statistics.fraction_lost,
        statistics.jitter,
    )


@pytest.mark.parametrize("first", [5, 65_500])
def test_loss_reordering_and_jitter_are_counted_as_aiortc_counts_them(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    clock, rng = Clock(monkeypatch), random.Random(first)
    theirs = StreamStatistics(48_000)
    begun = StreamStatistics(48_000)
    for statistics in (theirs, begun):
        statistics.add(packet(first, 0))
    ours = ReceptionStatistics(begun, clock.now_s)
    order = list(range(1, 400))
    for at in range(10, 390, 37):
        order[at], order[at + 1] = order[at + 1], order[at]
    for count, number in enumerate(order):
        clock.now_s += 0.02 + rng.uniform(-0.004, 0.004)
        if rng.random() < 0.1:
            continue
        theirs.add(packet(first + number, number * 960))
        ours.count((first + number) & 0xFFFF, number * 960, clock.now_s)
        if count % 50 == 0:
            assert figures(ours) == figures(theirs)
    assert figures(ours) == figures(theirs)
    assert ours.jitter > 0
    assert ours.packets_lost > 0


def test_timestamps_that_wrap_around_are_no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    begun = StreamStatistics(48_000)
    begun.add(packet(1, 2**32 - 960))
    ours = ReceptionStatistics(begun, clock.now_s)
    ours.count(2, 0, clock.now_s + 0.02)
    assert ours.jitter == 0


def test_a_packet_that_aiortc_parsed_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    begun = StreamStatistics(48_000)
    begun.add(packet(1, 0))
    ours = ReceptionStatistics(begun, clock.now_s)
    ours.add(packet(3, 1920))
    assert (ours.packets_received, ours.packets_expected, ours.packets_lost) == (2, 3, 1)
