"""All voices of a call on one timeline, as blocks of stereo PCM16. Pure: time is an argument.

Waiting frames are bounded: when no block is taken, later frames are dropped and counted, and their
place is silence.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from conversation.mixer import limit
from session.recording.lane import Lane

MAX_WAITING_S: Final = 10
FRAME_BYTES: Final = 4
"""One sample of both sides."""

# Users' voices come from a jitter buffer without gaps, but in bursts. The agent's comes on time, and
# its pauses are to be kept as they were.
_USER_TOLERANCE_MS: Final = 250
_AGENT_TOLERANCE_MS: Final = 40
_AGENT: Final = "agent"


@dataclass(frozen=True)
class Block:
    """Interleaved PCM16, left and right, that belongs at `first_sample`."""

    first_sample: int
    pcm: bytes


@dataclass(frozen=True)
class _Placed:
    voice: Hashable
    start: int
    samples: npt.NDArray[np.int16]


class Timeline:
    """Frames of PCM16 in, with the time at which they were heard; blocks without gaps out."""

    def __init__(self, sample_rate_hz: int, *, origin_s: float, first_sample: int = 0) -> None:
        """origin_s: time of sample 0; first_sample: all samples before it have been taken"""
        self.lost_samples = 0
        self._sample_rate_hz = sample_rate_hz
        self._origin_s = origin_s
        # Everything before this sample was returned by `take` and cannot change.
        self._taken = first_sample
        self._lanes: dict[Hashable, Lane] = {}
        # Frames that are not part of a returned block yet.
        self._waiting: list[_Placed] = []

    @property
    def taken(self) -> int:
        """The sample after the last one that was taken."""
        return self._taken

    @property
    def end_s(self) -> float:
        """Time of the last waiting sample."""
        end = max((placed.start + len(placed.samples) for placed in self._waiting), default=0)
        return self._origin_s + max(end, self._taken) / self._sample_rate_hz

    def add_user(self, uid: int, pcm: bytes, at_s: float) -> None:
        """Add the next frame of a participant."""
        self._add(uid, pcm, at_s, _USER_TOLERANCE_MS)

    def add_agent(self, pcm: bytes, at_s: float) -> None:
        """Add the next frame of the agent."""
        self._add(_AGENT, pcm, at_s, _AGENT_TOLERANCE_MS)

    def take(self, until_s: float) -> Block | None:
        """Return the next block up to `until_s`, at most `MAX_WAITING_S` long; None: there is none."""
        until = min(self._sample_at(until_s), self._taken + MAX_WAITING_S * self._sample_rate_hz)
        if until <= self._taken:
            return None
        first, self._taken = self._taken, until
        people = [placed for placed in self._waiting if placed.voice != _AGENT]
        agent = [placed for placed in self._waiting if placed.voice == _AGENT]
        stereo = np.stack([_mixed(people, first, until), _mixed(agent, first, until)], axis=1)
        self._forget_taken()
        return Block(first, stereo.tobytes())

    def _add(self, voice: Hashable, pcm: bytes, at_s: float, tolerance_ms: int) -> None:
        if (lane := self._lanes.get(voice)) is None:
            lane = self._lanes[voice] = Lane(self._sample_rate_hz, tolerance_ms=tolerance_ms)
        # A block that was taken cannot change: a late frame is placed after it.
        start = lane.place(pcm, max(self._sample_at(at_s), self._taken))
        if start is None:
            return
        samples = np.frombuffer(pcm, np.int16)
        if start + len(samples) > self._taken + MAX_WAITING_S * self._sample_rate_hz:
            self.lost_samples += len(samples)
        else:
            self._waiting.append(_Placed(voice, start, samples))

    def _sample_at(self, at_s: float) -> int:
        return round((at_s - self._origin_s) * self._sample_rate_hz)

    def _forget_taken(self) -> None:
        self._waiting = [
            placed for placed in self._waiting if placed.start + len(placed.samples) > self._taken
        ]
        # A voice that was silent for so long starts a new lane.
        self._lanes = {
            voice: lane
            for voice, lane in self._lanes.items()
            if lane.end is None or lane.end > self._taken
        }


def _mixed(voices: list[_Placed], first: int, until: int) -> npt.NDArray[np.int16]:
    total = np.zeros(until - first, np.float32)
    for placed in voices:
        begin = max(first, placed.start)
        end = min(until, placed.start + len(placed.samples))
        if begin < end:
            total[begin - first : end - first] += placed.samples[
                begin - placed.start : end - placed.start
            ]
    if len({placed.voice for placed in voices}) > 1:
        return limit(total)
    return total.astype(np.int16)
