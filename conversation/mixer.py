"""Several people, one model input: frames of equal length are added, sample by sample."""

from __future__ import annotations

from collections import deque

import numpy as np

MAX_WAITING_FRAMES = 3


class Mixer:
    """Adds up speakers' 20 ms frames. One speaker alone passes through untouched and at once.

    With several, a mixed frame is due when everyone has sent one, or when somebody is
    `MAX_WAITING_FRAMES` ahead of a speaker who sends nothing: nobody's silence delays the others.
    """

    def __init__(self) -> None:
        self._queues: dict[int, deque[bytes]] = {}

    def add(self, uid: int) -> None:
        """Listen to this speaker too."""
        self._queues.setdefault(uid, deque())

    def remove(self, uid: int) -> None:
        """Stop listening to this speaker."""
        self._queues.pop(uid, None)

    def push(self, uid: int, pcm: bytes) -> list[bytes]:
        """One frame of one speaker; returns the frames that are due now, oldest first."""
        self.add(uid)
        if len(self._queues) == 1:
            due = [*self._queues[uid], pcm]
            self._queues[uid].clear()
            return due
        self._queues[uid].append(pcm)
        due = []
        while self._is_frame_due():
            due.append(self._mix())
        return due

    def _is_frame_due(self) -> bool:
        lengths = [len(queue) for queue in self._queues.values()]
        return min(lengths) > 0 or max(lengths) > MAX_WAITING_FRAMES

    def _mix(self) -> bytes:
        frames = [queue.popleft() for queue in self._queues.values() if queue]
        if len(frames) == 1:
            return frames[0]
        length = max(len(frame) for frame in frames) // 2
        total = np.zeros(length, np.int32)
        for frame in frames:
            samples = np.frombuffer(frame, np.int16)
            total[: len(samples)] += samples
        return np.clip(total, -32_768, 32_767).astype(np.int16).tobytes()
