"""The jitter buffer: no delay on a clean network, order and repair on any other."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rtc.jitter import (
    MAX_HELD,
    MAX_WAIT_S,
    Conceal,
    Decode,
    Instruction,
    JitterBuffer,
    Recover,
    Restart,
)

PTIME_S = 0.02


def _payload(index: int) -> bytes:
    return index.to_bytes(4, "big")


class Sender:
    """Numbers packets as a sender does, from any start, and adds them to a buffer."""

    def __init__(self, first_sequence: int = 0, first_timestamp: int = 0) -> None:
        self.buffer = JitterBuffer()
        self._sequence, self._timestamp = first_sequence, first_timestamp

    def add(self, index: int, now_s: float) -> list[Instruction]:
        return self.buffer.add(
            (self._sequence + index) % 2**16,
            (self._timestamp + 960 * index) % 2**32,
            _payload(index),
            now_s,
        )


def _decoded(instructions: list[Instruction]) -> list[int]:
    return [int.from_bytes(i.payload, "big") for i in instructions if isinstance(i, Decode)]


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_in_order_packets_leave_on_arrival(sequence: int, timestamp: int) -> None:
    sender = Sender(sequence, timestamp)
    for index in range(100):
        assert _decoded(sender.add(index, index * PTIME_S)) == [index]
        assert sender.buffer.deadline_s is None


def test_a_single_loss_is_rebuilt_from_the_next_packet_at_once() -> None:
    sender = Sender()
    sender.add(0, 0.00)
    sender.add(1, 0.02)
    assert sender.add(3, 0.06) == [Recover(_payload(3), 960), Decode(_payload(3), 2880)]
    assert sender.buffer.statistics.lost == 1


def test_longer_losses_are_concealed_up_to_a_limit() -> None:
    sender = Sender()
    sender.add(0, 0.0)
    repaired = sender.add(4, 0.08)
    assert repaired[:3] == [Conceal(960), Conceal(960), Recover(_payload(4), 960)]
    assert len([i for i in sender.add(40, 0.8) if isinstance(i, Conceal)]) == 5
    assert sender.buffer.statistics.lost == 3 + 35


def test_a_loss_next_to_a_silence_costs_one_packet_of_time() -> None:
    sender = Sender()
    sender.add(0, 0.0)
    sender.buffer.add(1, 960, _payload(1), 0.02)
    assert sender.buffer.add(3, 960 * 500, b"x", 10.0)[0] == Recover(b"x", 960)


def test_reordering_is_learnt_waited_for_and_forgotten() -> None:
    sender = Sender()
    sender.add(0, 0.000)
    sender.add(2, 0.040)
    assert sender.add(1, 0.050) == []
    assert sender.buffer.statistics.late == 1
    assert 0.010 < sender.buffer.wait_s(0.050) <= 0.020
    assert sender.add(4, 0.080) == []
    deadline_s = sender.buffer.deadline_s
    assert deadline_s is not None
    assert 0.090 < deadline_s < 0.100
    assert _decoded(sender.add(3, 0.088)) == [3, 4]
    assert sender.buffer.wait_s(120.0) == 0


def test_a_gap_is_given_up_at_its_deadline() -> None:
    sender = Sender()
    sender.add(0, 0.000)
    sender.add(2, 0.040)
    sender.add(1, 0.060)
    assert sender.add(4, 0.080) == []
    assert _decoded(sender.add(5, 0.090)) == []
    deadline_s = sender.buffer.deadline_s
    assert deadline_s is not None
    assert sender.buffer.poll(deadline_s - 0.001) == []
    assert _decoded(sender.buffer.poll(deadline_s)) == [4, 5]


def test_duplicates_are_dropped() -> None:
    sender = Sender()
    sender.add(0, 0.0)
    assert sender.add(0, 0.0) == []
    sender.add(2, 0.04)
    assert sender.add(2, 0.04) == []
    assert sender.buffer.statistics.duplicate == 2


def test_a_sender_that_starts_anew_is_followed() -> None:
    sender = Sender(40_000)
    sender.add(0, 0.0)
    assert sender.buffer.add(7, 123, b"a", 1.0) == [Restart(), Decode(b"a", 123)]
    assert sender.buffer.add(8, 1083, b"b", 1.02) == [Decode(b"b", 1083)]


@given(
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32),
    st.floats(0, 0.4),
    st.floats(0, 0.15),
    st.floats(0, 0.1),
)
def test_on_any_network_each_packet_is_played_at_most_once_in_order_and_in_time(
    first: int, seed: int, loss: float, jitter_s: float, duplicates: float
) -> None:
    rng = random.Random(seed)
    arrivals: list[tuple[float, int]] = []
    for index in range(150):
        if rng.random() >= loss or index == 0:
            arrivals.append((index * PTIME_S + rng.random() * jitter_s * (index > 0), index))
        if rng.random() < duplicates:
            arrivals.append((index * PTIME_S + rng.random() * jitter_s + 0.2, index))
    sender = Sender(first)
    played: list[int] = []
    arrived_s: dict[int, float] = {}
    for now_s, index in sorted(arrivals):
        while (due_s := sender.buffer.deadline_s) is not None and due_s < now_s:
            released = _decoded(sender.buffer.poll(due_s))
            assert released
            assert all(due_s - arrived_s[i] <= MAX_WAIT_S + 1e-6 for i in released)
            played += released
        arrived_s.setdefault(index, now_s)
        played += _decoded(sender.add(index, now_s))
    played += _decoded(sender.buffer.poll(1e9))
    assert played == sorted(set(played))
    statistics = sender.buffer.statistics
    assert len(played) + statistics.late + statistics.duplicate == statistics.received
    assert len(played) + statistics.lost == max(played) + 1


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.floats(0, 0.1)), max_size=300))
def test_nonsense_stays_bounded(packets: list[tuple[int, float]]) -> None:
    buffer = JitterBuffer()
    now_s = 0.0
    for sequence, gap_s in packets:
        now_s += gap_s
        assert len(buffer.add(sequence, sequence * 960, b"x", now_s)) <= 2 * MAX_HELD
        assert buffer.deadline_s is None or buffer.deadline_s <= now_s + MAX_WAIT_S
