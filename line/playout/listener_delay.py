"""Estimate of how much of the sent audio each listener has heard. Pure.

A sample is heard `ListenerDelay.delay_s` after the moment in which it would have sounded here. The
delay is half a round trip, measured by the transport, and the delay of the listener's own buffers:
reported by the listener (`client_playout_report`), else derived from the jitter of its reports.
`SentAudioLog` knows the moment of every sample, through pauses, gaps and silences.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final, NamedTuple

LOG_S: Final = 5.0
MAX_DELAY_S: Final = 4.0
# A frame is played when all of it is there; more is only assumed when packets come unevenly.
ASSUMED_PLAYOUT_S: Final = 0.02
_JITTER_FACTOR: Final = 2.0
_SMOOTHING: Final = 0.25


class ListenerDelay:
    """From a sample's leaving here to its sounding at one listener."""

    def __init__(self) -> None:
        self._round_trip_s: float | None = None
        # Only until RTCP has measured it: reports of some clients come seconds apart.
        self._reported_round_trip_s = 0.0
        self._reported_playout_s: float | None = None
        self._jitter_s = 0.0

    @property
    def network_s(self) -> float:
        """One way through the network."""
        round_trip_s = self._round_trip_s
        return (self._reported_round_trip_s if round_trip_s is None else round_trip_s) / 2

    @property
    def playout_s(self) -> float:
        """The delay of the listener's buffers."""
        if self._reported_playout_s is not None:
            return self._reported_playout_s
        return ASSUMED_PLAYOUT_S + _JITTER_FACTOR * self._jitter_s

    @property
    def delay_s(self) -> float:
        """All of it, within reason."""
        return min(self.network_s + self.playout_s, MAX_DELAY_S)

    def handle_jitter(self, jitter_s: float) -> None:
        """The unevenness with which our audio arrives there."""
        self._jitter_s = jitter_s

    def handle_round_trip(self, measured_s: float) -> None:
        """A round trip to the listener, measured."""
        known_s = self._round_trip_s
        step_s = 0.0 if known_s is None else measured_s - known_s
        self._round_trip_s = measured_s if known_s is None else known_s + _SMOOTHING * step_s

    def handle_playout(self, playout_s: float, round_trip_s: float | None) -> None:
        """The listener's own word."""
        self._reported_playout_s = min(max(playout_s, 0.0), MAX_DELAY_S)
        if round_trip_s is not None:
            self._reported_round_trip_s = min(max(round_trip_s, 0.0), MAX_DELAY_S)


class SentSpan(NamedTuple):
    """`samples` of `key` from its `first_sample` on; the first would sound here at `at_s`.

    left_s: when they really left, later than `at_s` where we were held up. A listener's buffer makes
    up for that, but it cannot play what has not left.
    """

    key: Hashable
    first_sample: int
    samples: int
    at_s: float
    left_s: float


class SentAudioLog:
    """The last `LOG_S` seconds of what left; what is older was heard."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._log: deque[SentSpan] = deque()

    def add(self, departure: SentSpan) -> None:
        """Take what leaves now; departures come in order of time."""
        while self._log and self._log[0].at_s < departure.at_s - LOG_S:
            self._log.popleft()
        self._log.append(departure)

    def in_flight_samples(self, key: Hashable, now_s: float, delay_s: float) -> int:
        """Return the samples of `key` that were sent and are not heard yet."""
        return sum(
            one.samples - self._heard(one, now_s, delay_s) for one in self._log if one.key == key
        )

    def heard_at(self, now_s: float, delay_s: float) -> tuple[Hashable, int] | None:
        """The key that was heard last, and how many of its samples were; None: nothing lately."""
        for one in reversed(self._log):
            if _begins_s(one, delay_s) <= now_s:
                return one.key, one.first_sample + self._heard(one, now_s, delay_s)
        return None

    def left_at(self, key: Hashable, sample: int) -> float | None:
        """Return the time at which this sample would have sounded here; None if it is not in the log."""
        for one in reversed(self._log):
            if one.key == key and one.first_sample <= sample <= one.first_sample + one.samples:
                return one.at_s + (sample - one.first_sample) / self._rate_hz
        return None

    @property
    def last_at_s(self) -> float:
        """The time at which the end of the last sent audio would sound here."""
        if not self._log:
            return float("-inf")
        return self._log[-1].at_s + self._log[-1].samples / self._rate_hz

    def _heard(self, one: SentSpan, now_s: float, delay_s: float) -> int:
        heard = int((now_s - _begins_s(one, delay_s)) * self._rate_hz)
        return min(max(heard, 0), one.samples)


def _begins_s(one: SentSpan, delay_s: float) -> float:
    """Return the time at which its first sample sounds at a listener."""
    return max(one.at_s + delay_s, one.left_s)
