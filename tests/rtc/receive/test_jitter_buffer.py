"""The jitter buffer: no delay on a clean network, order, repair and bounds on any other."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line.timing import RTP_CLOCK_HZ
from rtc.receive.jitter_buffer import (
    IDLE_AFTER_FRAMES,
    IDLE_BATCH_FRAMES,
    MAX_DELAY_S,
    MAX_HELD,
    MAX_JUMP,
    PATIENCE_S,
    Conceal,
    Decode,
    Instruction,
    JitterBuffer,
    Recover,
    Restart,
    Silence,
)
from tests.rtc.network import PTIME_S, PTIME_TICKS, Listener, Network, lateness_s, talk

LONGEST_STALL_S = PTIME_S + PATIENCE_S + 1e-4
LEAD_S = 0.125


class Sender:
    """Numbers packets as a sender does, and adds them to a buffer that fills gaps from time 0."""

    def __init__(self, first_sequence: int = 0) -> None:
        self.buffer = JitterBuffer()
        self.buffer.start_filling(0.0)
        self._sequence = first_sequence

    def add(self, index: int, now_s: float, timestamp: int | None = None) -> list[Instruction]:
        """All that this packet lets play."""
        self.buffer.add(
            (self._sequence + index) % 2**16,
            index * PTIME_TICKS if timestamp is None else timestamp,
            _payload(index),
            PTIME_TICKS,
            now_s,
        )
        return self.poll(now_s)

    def poll(self, now_s: float) -> list[Instruction]:
        """All that is due."""
        steps: list[Instruction] = []
        while (step := self.buffer.take(now_s)) is not None:
            steps.append(step)
        return steps


def _payload(index: int) -> bytes:
    return index.to_bytes(4, "big")


def _decode(index: int) -> Decode:
    return Decode(_payload(index), PTIME_TICKS)


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_in_order_packets_leave_on_arrival(sequence: int, timestamp: int) -> None:
    sender = Sender(sequence)
    for index in range(100):
        stamp = (timestamp + index * PTIME_TICKS) % 2**32
        assert sender.add(index, index * PTIME_S, stamp) == [_decode(index)]
    assert sender.buffer.delay_ms == 0


def test_a_single_loss_is_rebuilt_from_the_next_packet_at_once() -> None:
    sender = Sender()
    sender.add(0, 0.00)
    sender.add(1, 0.02)
    assert sender.add(3, 0.06) == [Recover(_payload(3), PTIME_TICKS), _decode(3)]
    assert sender.buffer.statistics.lost == 1


def test_a_longer_loss_is_filled_in_real_time_and_costs_no_delay() -> None:
    sender = Sender()
    sender.add(0, 0.0)
    filled = [step for index in range(1, 12) for step in sender.poll(index * 0.01)]
    assert filled == [Conceal(PTIME_TICKS, is_lost=False)] * 3
    made_good = sender.add(6, 0.12)
    assert made_good == [
        *[Conceal(PTIME_TICKS, is_lost=True)] * (5 - 3 - 1),
        Recover(_payload(6), PTIME_TICKS),
        _decode(6),
    ]
    assert sender.buffer.statistics.lost == 5
    assert sender.buffer.delay_ms == 0


def test_a_pause_of_the_sender_becomes_silence_of_its_length() -> None:
    spoken = [*range(20), *range(60, 80)]
    listener = Listener()
    talk(Network(), spoken, listener)
    assert len(listener.played) == 40
    assert max(lateness_s(Network(), spoken, listener)) < 1e-4
    spans = [length_s for _, step, length_s in listener.steps if step in (_decode(19), _decode(20))]
    assert spans[1] - spans[0] == pytest.approx(41 * PTIME_S)


def test_a_loss_next_to_a_pause_costs_one_packet_of_time() -> None:
    sender = Sender()
    sender.buffer.stop_filling()
    sender.add(0, 0.0)
    steps = sender.add(2, 1.0, timestamp=48_000)
    assert steps[-2:] == [Recover(_payload(2), PTIME_TICKS), _decode(2)]
    silent = sum(step.ticks for step in steps if isinstance(step, Silence))
    assert silent == 48_000 - 2 * PTIME_TICKS


def test_reordering_is_learnt_waited_for_and_forgotten() -> None:
    sender = Sender()
    sender.add(0, 0.000)
    sender.add(2, 0.040)
    assert sender.add(1, 0.050) == []
    assert sender.buffer.statistics.late == 1
    assert 0.010 < sender.buffer.reorder_wait_s(0.050) <= 0.020
    assert sender.add(4, 0.080) == []
    assert 0.090 < (sender.buffer.next_s or 0) < 0.100
    assert sender.add(3, 0.088) == [_decode(3), _decode(4)]
    assert sender.buffer.reorder_wait_s(120.0) == 0


def test_a_gap_is_given_up_by_the_clock_alone() -> None:
    sender = Sender()
    sender.add(0, 0.000)
    sender.add(2, 0.040)
    sender.add(1, 0.060)
    assert sender.add(4, 0.080) == []
    next_s = sender.buffer.next_s
    assert next_s is not None
    assert sender.poll(next_s - 0.001) == []
    assert sender.poll(next_s) == [Recover(_payload(4), PTIME_TICKS), _decode(4)]


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
    sender.buffer.add(7, 123, b"a", PTIME_TICKS, 0.02)
    assert sender.poll(0.02) == [Restart(), Decode(b"a", PTIME_TICKS)]
    sender.buffer.add(8, 1083, b"b", PTIME_TICKS, 0.04)
    assert sender.poll(0.04) == [Decode(b"b", PTIME_TICKS)]


@pytest.mark.parametrize("jump_s", [-3600.0, -0.5, 0.5, 3600.0])
def test_time_stamps_may_jump(jump_s: float) -> None:
    sender = Sender()
    jump = int(jump_s * 48_000)
    played = [
        step
        for index in range(300)
        for step in sender.add(index, index * PTIME_S, index * PTIME_TICKS + jump * (index > 50))
    ]
    assert [step.payload for step in played if isinstance(step, Decode)] == [
        _payload(index) for index in range(300 - _held(sender))
    ]
    # What was left in was the jump, and it is asked to be given up again.
    assert sender.buffer.delay_ms <= abs(jump_s) * 1000


def _held(sender: Sender) -> int:
    return len(sender.buffer._held)


def test_a_sender_whose_stamps_stand_still_while_it_is_mute_is_heard_at_once() -> None:
    sender = Sender()
    for index in range(10):
        sender.add(index, index * PTIME_S)
    for step in range(1000):
        sender.poll(0.2 + step * 0.01)
    assert sender.add(10, 10.215)[-1] == _decode(10)
    assert sender.add(11, 10.235) == [_decode(11)]


def test_after_a_stall_what_was_said_follows_late_and_the_delay_goes_again() -> None:
    network = Network(has_reordering=False, stall_s=(5.0, 5.6))
    spoken = list(range(1500))
    listener = Listener()
    talk(network, spoken, listener)
    assert [index for _, index in listener.played] == spoken
    late_s = lateness_s(network, spoken, listener)
    assert max(late_s) == pytest.approx(0.6, abs=0.03)
    assert max(late_s[-300:]) < PTIME_S
    assert max(listener.lead_s) < LEAD_S


def test_a_stall_beyond_the_limit_loses_the_oldest() -> None:
    network = Network(has_reordering=False, stall_s=(5.0, 8.0))
    spoken = list(range(1500))
    listener = Listener()
    talk(network, spoken, listener)
    dropped = listener.buffer.statistics.dropped
    assert dropped == pytest.approx((3.0 - MAX_DELAY_S) / PTIME_S, abs=5)
    assert len(listener.played) == 1500 - dropped
    assert max(lateness_s(network, spoken, listener)[260 + dropped :]) <= MAX_DELAY_S + PTIME_S
    assert max(listener.lead_s) < LEAD_S


@pytest.mark.parametrize("jitter_s", [0.03, 0.08])
@pytest.mark.parametrize("loss", [0.0, 0.03, 0.10])
def test_delay_follows_jitter_and_the_stream_never_pauses(loss: float, jitter_s: float) -> None:
    network = Network(loss=loss, jitter_s=jitter_s)
    spoken = list(range(3000))
    listener = Listener()
    talk(network, spoken, listener)
    counts = listener.buffer.statistics
    assert max(listener.stalls_s) <= LONGEST_STALL_S
    assert counts.late <= 0.05 * counts.received
    assert statistics.median(lateness_s(network, spoken, listener)) < jitter_s
    assert listener.buffer.delay_ms / 1000 <= jitter_s
    assert max(listener.lead_s) < LEAD_S


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_an_hour_of_drifting_clocks_costs_neither_delay_nor_sound(drift: float) -> None:
    network = Network(jitter_s=0.002, drift=drift)
    spoken = list(range(180_000))
    listener = Listener()
    talk(network, spoken, listener)
    assert len(listener.played) == len(spoken)
    assert max(lateness_s(network, spoken, listener)) < 0.0025
    assert listener.shortened == 0
    assert listener.filled <= 50  # the second of silence after the end


NETWORKS = st.builds(
    Network,
    loss=st.floats(0, 0.4),
    jitter_s=st.floats(0, 0.15),
    duplicates=st.floats(0, 0.2),
    has_reordering=st.booleans(),
    drift=st.floats(-200e-6, 200e-6),
    stall_s=st.tuples(st.floats(0, 3), st.floats(0, 6)),
    seed=st.integers(0, 2**32),
)


@given(NETWORKS, st.integers(0, 2**16 - 1), st.sets(st.integers(0, 300), max_size=150))
def test_on_any_network_the_stream_goes_on_and_nothing_comes_twice_or_backwards(
    network: Network, first: int, silent: set[int]
) -> None:
    spoken = [slot for slot in range(301) if slot not in silent] or [0]
    listener = Listener()
    talk(network, spoken, listener, first)
    played = [index for _, index in listener.played]
    assert played == sorted(set(played))
    assert max(listener.stalls_s, default=0) <= LONGEST_STALL_S
    assert max(listener.lead_s, default=0) < LEAD_S
    assert min(listener.lead_s[5:], default=0) > -LEAD_S
    assert listener.buffer.delay_ms <= MAX_DELAY_S * 1000 + PTIME_S * 1000
    counts = listener.buffer.statistics
    assert len(played) + counts.late + counts.duplicate + counts.dropped >= counts.received


@given(st.integers(0, 2**32), st.integers(0, 2**16 - 1))
def test_a_clean_network_is_passed_through_untouched(seed: int, first: int) -> None:
    network = Network(jitter_s=0.003, seed=seed)
    spoken = list(range(200))
    listener = Listener()
    talk(network, spoken, listener, first)
    assert [step for _, step, _ in listener.steps if isinstance(step, Decode)] == [
        _decode(index) for index in spoken
    ]
    arrived = {index: now_s for now_s, index in network.arrivals(spoken)}
    assert all(now_s == arrived[index] for now_s, index in listener.played)


def test_long_silence_comes_in_batches_until_the_next_packet() -> None:
    sender = Sender()
    sender.add(0, 0.0)
    now_s, batches = 0.0, []
    while now_s < 3.0:
        now_s = sender.buffer.next_s or 0.0
        batches.append(len(sender.poll(now_s)))
    singles, rest = batches[:IDLE_AFTER_FRAMES], batches[IDLE_AFTER_FRAMES:]
    assert (set(singles), set(rest)) == ({1}, {IDLE_BATCH_FRAMES})
    assert sender.buffer.is_idle
    spoken_s = now_s + 0.05
    late = sender.poll(spoken_s)
    *silence, last = sender.add(1, spoken_s, round(spoken_s * RTP_CLOCK_HZ))
    assert last == _decode(1), "what is said at last is played at once"
    assert not sender.buffer.is_idle
    played = 1 + sum(batches) + len(late) + len(silence)
    assert abs(played * PTIME_S - spoken_s) <= PTIME_S, "and in its place"
    assert sender.buffer.next_s == pytest.approx(spoken_s + PTIME_S + PATIENCE_S, abs=PTIME_S)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.floats(0, 0.1)),
        max_size=300,
    )
)
def test_nonsense_stays_bounded(packets: list[tuple[int, int, float]]) -> None:
    buffer = JitterBuffer()
    buffer.start_filling(0.0)
    now_s = 0.0
    for sequence, timestamp, gap_s in packets:
        now_s += gap_s
        buffer.add(sequence, timestamp, b"x", PTIME_TICKS, now_s)
        steps = 0
        while buffer.take(now_s) is not None:
            steps += 1
        assert steps <= MAX_JUMP + 2 * MAX_HELD
        assert len(buffer._held) <= MAX_HELD


def _state(buffer: JitterBuffer) -> dict[str, object]:
    """All that a buffer remembers, with what its parts do."""
    state: dict[str, object] = {}
    for name, value in vars(buffer).items():
        parts = getattr(value, "__dict__", None)
        state[name] = (
            value
            if parts is None
            else {each: getattr(part, "__dict__", part) for each, part in parts.items()}
        )
    return state


arrivals = st.lists(
    st.tuples(
        # Milliseconds since the last one, on a network from smooth to blocked.
        st.one_of(st.just(20.0), st.floats(0, 60), st.sampled_from([0.0, 150.0, 1500.0])),
        # Of the numbers and stamps: mostly the next, some lost, repeated, late, or begun anew.
        st.one_of(st.just(1), st.just(1), st.integers(-3, 6), st.just(5000)),
        st.one_of(st.just(1), st.just(1), st.integers(-3, 6), st.just(500_000)),
    ),
    max_size=80,
)


@given(arrivals, st.booleans(), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_taking_in_one_step_is_adding_and_taking(
    trace: list[tuple[float, int, int]], is_filling: bool, sequence: int, timestamp: int
) -> None:
    ours, plain = JitterBuffer(), JitterBuffer()
    if is_filling:
        ours.start_filling(100.0)
        plain.start_filling(100.0)
    now_s = 100.0
    for step_ms, step, frames in trace:
        now_s += step_ms / 1000
        for poll_s in (ours.next_s, plain.next_s):
            if poll_s is not None and poll_s < now_s and step_ms < 100:
                assert _all(ours, poll_s) == _all(plain, poll_s)
        sequence = (sequence + step) % 2**16
        timestamp = (timestamp + frames * PTIME_TICKS) % 2**32
        packet = (sequence, timestamp, _payload(sequence), PTIME_TICKS, now_s)
        first = ours.add_and_take(*packet)
        steps = [] if first is None else [first, *_all(ours, now_s)]
        plain.add(*packet)
        assert steps == _all(plain, now_s)
        assert _state(ours) == _state(plain)


def _all(buffer: JitterBuffer, now_s: float) -> list[Instruction]:
    steps: list[Instruction] = []
    while (step := buffer.take(now_s)) is not None:
        steps.append(step)
    return steps
