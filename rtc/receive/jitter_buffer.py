"""The jitter buffer: packets in as they arrive, decisions to decode, expand or conceal out. Pure.

Two places describe it. `position` is the sender's RTP time of the next sample to play, `due` is our
time at which that sample is to be played. Playing moves both; filling a stall moves `due` alone, so
that what comes late is played late; leaving something out moves `position` or, when a frame was
shortened, takes from `due`. The delay is what `due` exceeds the quickest packet by:

    delay = due - (quickest transit + position)

- On a clean network the delay is 0 and every packet is played on arrival.
- Output never pauses for longer than a packet and `PATIENCE`, but a packet may be late by that much
  without costing anything: consumers want no gaps in the stream, not an even pace.
- The delay wanted is what nearly all packets need beyond `PATIENCE` (see `transit`). It is reached
  at once when packets come late, and left again through shortened frames (`Decode.excess_ticks`).
- A missing packet is waited for until it is due, and beyond only as long as reordering took lately;
  then it is rebuilt from the next one (Opus FEC) or concealed.
- While nothing comes, silence is made up in real time: frame by frame at first, then in batches,
  since it is the wake-ups that cost.
- The stream never gets ahead of our clock by more than a small credit, which grows by `_DRIFT`: so
  fast another clock may run. Drift thus costs neither delay nor audio, and nothing accumulates.

Times are whole ticks of 1/48000 s inside and seconds outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from line.timing import PTIME_TICKS, RTP_CLOCK_HZ
from rtc.receive.network_delay import NetworkDelayTracker
from rtc.receive.reordering import ReorderWait

PATIENCE_S: Final = 0.035
MAX_DELAY_S: Final = 1.0
MAX_HELD: Final = 128
# Providers end a turn after half a second or so: beyond this no decision waits for silence.
IDLE_AFTER_FRAMES: Final = 50
IDLE_BATCH_FRAMES: Final = 5
# A sequence number this far off is no late or early packet: the sender started anew.
MAX_JUMP: Final = 1000
_PATIENCE: Final = int(PATIENCE_S * RTP_CLOCK_HZ)
_MAX_DELAY: Final = int(MAX_DELAY_S * RTP_CLOCK_HZ)
_FIRST_CREDIT: Final = int(0.060 * RTP_CLOCK_HZ)
_MAX_CREDIT: Final = int(0.020 * RTP_CLOCK_HZ)
_DRIFT: Final = 300e-6
_MAX_REMEMBERED: Final = 256
_SHORTEST_PACKET: Final = 120


class Decode(NamedTuple):
    """Play `payload`, which lasts `ticks`; `excess_ticks` of delay could be left out."""

    payload: bytes
    ticks: int
    excess_ticks: int = 0


@dataclass(frozen=True)
class Recover:
    """Rebuild a lost packet of `ticks` from the one after it, which follows."""

    next_payload: bytes
    ticks: int


@dataclass(frozen=True)
class Conceal:
    """Continue the sound for `ticks`: over a lost packet, or while nothing comes."""

    ticks: int
    is_lost: bool


@dataclass(frozen=True)
class Silence:
    """The sender said nothing for `ticks`."""

    ticks: int


@dataclass(frozen=True)
class Restart:
    """The sender started anew: forget the decoder's past."""


Instruction = Decode | Recover | Conceal | Silence | Restart


@dataclass
class JitterStatistics:
    """Counts since the start.

    late: came after its place had been made good. filled: frames made up while nothing came.
    dropped: packets left out to bound the delay.
    """

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    restarts: int = 0
    filled: int = 0
    dropped: int = 0


class _Held(NamedTuple):
    sequence: int
    timestamp: int
    payload: bytes
    ticks: int
    arrived_s: float


def _to_ticks(time_s: float) -> int:
    return round(time_s * RTP_CLOCK_HZ)


class JitterBuffer:
    """One participant's packets. After each `add`, and at `next_s`, call `take` until None."""

    def __init__(self) -> None:
        self.statistics = JitterStatistics()
        # Unwrapped numbers of the packet and the sample that are played next; None before the first.
        self._next: int | None = None
        self._position = 0
        self._due = 0
        self._played_delay = 0
        self._is_filling = False
        # Made up since the last packet.
        self._filled_in_a_row = 0
        self._held: dict[int, _Held] = {}
        self._transits = NetworkDelayTracker()
        self._has_new_sender = False
        # How much earlier than our clock says the stream may still be played, and since when.
        self._credit = float(_FIRST_CREDIT)
        self._credit_at = 0
        # When the packet after a lost one came, to learn how late a late packet is. Bounded.
        self._skipped_at_s: dict[int, float] = {}
        self._reordering = ReorderWait()

    # -- figures --------------------------------------------------------------------------------

    def reorder_wait_s(self, now_s: float) -> float:
        """The present wait for a missing packet after its successor came."""
        return self._reordering.wait_s(now_s)

    @property
    def delay_ms(self) -> float:
        """The playout delay of the last packet relative to the quickest one."""
        return self._played_delay * 1000 / RTP_CLOCK_HZ

    @property
    def _delay(self) -> int:
        return self._due - self._transits.quickest - self._position

    @property
    def _wanted(self) -> int:
        return min(max(0, self._transits.spread - _PATIENCE), _MAX_DELAY // 2)

    @property
    def is_idle(self) -> bool:
        """True once nothing came for so long that silence is made up in batches."""
        return self._filled_in_a_row >= IDLE_AFTER_FRAMES

    @property
    def is_empty(self) -> bool:
        """True if no packet waits to be played."""
        return not self._held

    # -- in -------------------------------------------------------------------------------------

    def start_filling(self, now_s: float) -> None:
        """From now on the stream has no gaps, whatever comes or does not come. Idempotent."""
        if not self._is_filling:
            self._is_filling = True
            self._due = max(self._due, _to_ticks(now_s))

    def stop_filling(self) -> None:
        """The connection is gone: nothing is made up until filling starts again."""
        self._is_filling = False

    def start_over(self) -> None:
        """Another sender's packets follow. What is held of the last one is dropped."""
        self.statistics.dropped += len(self._held)
        self._held.clear()
        self._skipped_at_s.clear()
        self._transits.clear()
        self._next = None

    def add(self, sequence: int, timestamp: int, payload: bytes, ticks: int, now_s: float) -> None:
        """Take a packet of `ticks` that arrived at `now_s`."""
        self.statistics.received += 1
        self._filled_in_a_row = 0
        now = _to_ticks(now_s)
        number = self._unwrap(sequence)
        if number is None:
            self._begin(sequence, timestamp, now)
            number = sequence
        assert self._next is not None
        held = _Held(number, self._unwrap_timestamp(timestamp), payload, ticks, now_s)
        if number < self._next:
            self._note_late(held, now)
        elif number in self._held:
            self.statistics.duplicate += 1
        else:
            self._follow_clock(held, now)
            self._learn_reordered(number, now_s)
            self._make_room()
            self._held[number] = held

    def add_and_take(
        self, sequence: int, timestamp: int, payload: bytes, ticks: int, now_s: float
    ) -> Instruction | None:
        """Do what `add` and the first `take` after it do, in few steps for the packet that is expected
        next: nearly every packet of a call.
        """
        now, position = round(now_s * RTP_CLOCK_HZ), self._position
        if self._is_expected(sequence, timestamp) and self._is_plausible(now - position):
            self.statistics.received += 1
            self._filled_in_a_row = 0
            self._transits.add(now - position)
            self._keep_pace(now)
            number, delay = self._next or 0, self._due - self._transits.quickest - position
            if delay <= _MAX_DELAY and now >= self._due:
                self._played_delay = delay
                self._next = number + 1
                self._position = position + ticks
                self._due += ticks
                return Decode(payload, ticks, max(0, delay - self._wanted))
            self._held[number] = _Held(number, position, payload, ticks, now_s)
        else:
            self.add(sequence, timestamp, payload, ticks, now_s)
        return self.take(now_s)

    def _is_expected(self, sequence: int, timestamp: int) -> bool:
        """True if a packet follows directly on what was played, with nothing else to do first."""
        return (
            self._next is not None
            and sequence == self._next & 0xFFFF
            and timestamp == self._position & 0xFFFFFFFF
            and not self._held
            and not self._has_new_sender
        )

    def _is_plausible(self, transit: int) -> bool:
        """True if a packet's transit time is of the same kind as those before it."""
        transits = self._transits
        return not transits or abs(transit - transits.quickest) <= _MAX_DELAY + _PATIENCE

    def _unwrap(self, sequence: int) -> int | None:
        """The number nearest to the expected one, or None for a sender's first packet."""
        if self._next is None:
            return None
        delta = (sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if abs(delta) <= MAX_JUMP:
            return self._next + delta
        self.statistics.restarts += 1
        self._has_new_sender = True
        self.start_over()
        return None

    def _unwrap_timestamp(self, timestamp: int) -> int:
        delta = (timestamp - self._position + 2**31) % 2**32 - 2**31
        return self._position + delta

    def _begin(self, sequence: int, timestamp: int, now: int) -> None:
        self._next = sequence
        self._anchor(timestamp, now)

    def _anchor(self, timestamp: int, now: int) -> None:
        """Play `timestamp` now or, when the stream is ahead, next; until now there is silence."""
        if not self._is_filling:
            self._due = max(self._due, now)
        self._position = timestamp - max(0, now - self._due)
        self._transits.clear()
        self._transits.add(now - timestamp)

    def _follow_clock(self, held: _Held, now: int) -> None:
        transit = now - held.timestamp
        if self._is_plausible(transit):
            self._transits.add(transit)
            return
        # The sender's stamps jumped, or stood still while it was silent, or the way was blocked.
        self.statistics.dropped += len(self._held)
        self._held.clear()
        self._next = held.sequence
        self._anchor(held.timestamp, now)

    def _make_room(self) -> None:
        while len(self._held) >= MAX_HELD:
            self._leave_out(self._held[min(self._held)])

    def _note_late(self, held: _Held, now: int) -> None:
        skipped_at_s = self._skipped_at_s.pop(held.sequence, None)
        if skipped_at_s is None:
            self.statistics.duplicate += 1
            return
        self.statistics.late += 1
        if abs(now - held.timestamp - self._transits.quickest) <= _MAX_DELAY:
            self._transits.add(now - held.timestamp)
        self._reordering.learn(held.arrived_s - skipped_at_s, held.arrived_s)

    def _learn_reordered(self, number: int, now_s: float) -> None:
        later_s = [held.arrived_s for held in self._held.values() if held.sequence > number]
        if later_s:
            self.statistics.reordered += 1
            self._reordering.learn(now_s - min(later_s), now_s)

    # -- out ------------------------------------------------------------------------------------

    @property
    def next_s(self) -> float | None:
        """The time at which `take` has something to play if nothing arrives; None: never."""
        if self._held:
            first = self._held[min(self._held)]
            is_missing = first.sequence != self._next
            return (self._give_up_at(first) if is_missing else self._due) / RTP_CLOCK_HZ
        if not self._is_filling:
            return None
        batch = (IDLE_BATCH_FRAMES - 1) * PTIME_TICKS if self.is_idle else 0
        return (self._due + _PATIENCE + batch) / RTP_CLOCK_HZ

    def take(self, now_s: float) -> Instruction | None:
        """Return what is to be played now, if anything."""
        now = _to_ticks(now_s)
        if self._has_new_sender:
            self._has_new_sender = False
            return Restart()
        while self._held:
            first = self._held[min(self._held)]
            assert self._next is not None
            missing = first.sequence - self._next
            if missing and now < self._give_up_at(first):
                return None
            lost_ticks = self._settle(first, missing, now)
            if self._delay > _MAX_DELAY:
                self._leave_out(first)
                continue
            if now < self._due:
                return None
            silent = first.timestamp - missing * lost_ticks - self._position
            if silent > 0 and self._begin_silence(silent):
                return Silence(PTIME_TICKS)
            if not missing:
                return self._play(first)
            if (step := self._give_up(first, missing, lost_ticks)) is not None:
                return step
        if self._is_filling and now >= self._due + _PATIENCE:
            return self._fill()
        return None

    def shorten(self, ticks: int) -> None:
        """The frame taken last was played shorter by this much (longer when negative)."""
        self._due -= ticks

    def _give_up_at(self, first: _Held) -> int:
        """Return the time at which the packet before `first` is given up."""
        hoped = _to_ticks(first.arrived_s + self.reorder_wait_s(first.arrived_s))
        return max(self._due, min(hoped, self._due + _PATIENCE))

    def _settle(self, first: _Held, missing: int, now: int) -> int:
        """Skip what stands in the stream already; returns the length of each missing packet."""
        gap = first.timestamp - self._position
        lost_ticks = first.ticks if gap >= missing * first.ticks else max(0, gap) // (missing or 1)
        lost_ticks *= lost_ticks >= _SHORTEST_PACKET
        silent = gap - missing * lost_ticks
        self._position += min(silent, max(0, self._delay - self._wanted))
        if not missing:
            self._keep_pace(now)
        return lost_ticks

    def _keep_pace(self, now: int) -> None:
        """Follow the quickest packet: later at will, earlier as far as there is credit."""
        elapsed, self._credit_at = now - self._credit_at, now
        if elapsed > 0:
            self._earn(elapsed * _DRIFT)
        delay = self._delay
        if delay < 0:
            self._earn(-delay)
            self._due -= delay
        elif delay > 0 and (excess := delay - self._wanted) > 0:
            used = max(0, min(excess, int(self._credit)))
            self._credit -= used
            self._due -= used

    def _earn(self, ticks: float) -> None:
        if self._credit < _MAX_CREDIT:
            self._credit = min(_MAX_CREDIT, self._credit + ticks)

    def _begin_silence(self, ticks: int) -> bool:
        """Play a whole frame of it, or skip it: what follows shall stay in step with the frames."""
        is_played = ticks >= PTIME_TICKS // 2 and ticks + int(self._credit) >= PTIME_TICKS
        self._position += min(ticks, PTIME_TICKS)
        self._due += PTIME_TICKS * is_played
        return is_played

    def _fill(self) -> Instruction:
        self.statistics.filled += 1
        self._filled_in_a_row += 1
        self._due += PTIME_TICKS
        return Conceal(PTIME_TICKS, is_lost=False)

    def _give_up(self, first: _Held, missing: int, lost_ticks: int) -> Instruction | None:
        """Make one missing packet good; None when the stream went on over it already."""
        assert self._next is not None
        if self._is_filling and self._delay + PTIME_TICKS <= self._wanted:
            return self._fill()
        self.statistics.lost += 1
        self._skip_number(first)
        if missing == 1 and lost_ticks:
            # It is there when its successor is: that is how late a rebuilt packet comes.
            self._transits.add(_to_ticks(first.arrived_s) - self._position)
            self._advance(lost_ticks)
            return Recover(first.payload, lost_ticks)
        if self._delay > self._wanted or not lost_ticks:
            self._position += lost_ticks
            return None
        self._advance(lost_ticks)
        return Conceal(lost_ticks, is_lost=True)

    def _skip_number(self, first: _Held) -> None:
        assert self._next is not None
        self._skipped_at_s[self._next] = first.arrived_s
        self._next += 1
        while len(self._skipped_at_s) > _MAX_REMEMBERED:
            del self._skipped_at_s[next(iter(self._skipped_at_s))]

    def _play(self, first: _Held) -> Instruction:
        self._played_delay = max(0, self._delay)
        excess = self._delay - self._wanted
        del self._held[first.sequence]
        self._next = first.sequence + 1
        self._position = first.timestamp
        self._advance(first.ticks)
        return Decode(first.payload, first.ticks, max(0, excess))

    def _leave_out(self, held: _Held) -> None:
        assert self._next is not None
        self.statistics.dropped += 1
        self.statistics.lost += held.sequence - self._next
        del self._held[held.sequence]
        self._next = held.sequence + 1
        self._position = held.timestamp + held.ticks

    def _advance(self, ticks: int) -> None:
        self._position += ticks
        self._due += ticks
