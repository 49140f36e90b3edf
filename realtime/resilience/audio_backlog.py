"""User audio in order, across sessions: waiting to be sent, and kept to be sent again.

Pure. Positions are samples of user audio since the conversation began, whichever session got them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from realtime.events import AppendAudio, ModelCommand

CAPACITY_S = 30.0
"""All audio kept, sent and waiting. When full the oldest goes first: what was sent, then what
waits, and that is counted as dropped."""

KEPT_SENT_S = 10.0
"""Sent audio that is kept while no turn of the user needs it longer: the amount that a connection
may lose between its death and the detection of it."""

JOINED_S = 0.2
"""Waiting audio is sent in pieces of up to this length."""

QUIET_PEAK = 600
"""Samples that stay below this hold no voice (about -35 dBFS)."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Audio, or with an empty `pcm` a mark."""

    start: int
    end: int
    command: ModelCommand
    pcm: bytes = b""


class AudioBacklog:
    """Audio and the marks within it (`CommitAudio` and its like), which are never dropped."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._sent: deque[_Piece] = deque()
        self._waiting: deque[_Piece] = deque()
        self._end = 0
        self._peeked: list[_Piece] = []
        self.dropped_samples = 0

    @property
    def sent_position(self) -> int:
        """Everything before was sent."""
        return self._waiting[0].start if self._waiting else self._end

    @property
    def waiting_samples(self) -> int:
        """The number of samples that wait to be sent."""
        return self._end - self.sent_position

    def push(self, command: ModelCommand) -> None:
        """More audio, or a mark at this place."""
        pcm = command.pcm if isinstance(command, AppendAudio) else b""
        # Marks that repeat themselves mean nothing more, and are the only thing without a bound.
        if not pcm and self._waiting and self._waiting[-1].command == command:
            return
        begin, self._end = self._end, self._end + len(pcm) // 2
        self._waiting.append(_Piece(begin, self._end, command, pcm))
        self._make_room()

    def _make_room(self) -> None:
        oldest = self._end - int(CAPACITY_S * self._rate_hz)
        while self._sent and self._sent[0].start < oldest:
            self._sent.popleft()
        if self._sent or not self._waiting or self._waiting[0].start >= oldest:
            return
        marks = []
        while self._waiting and self._waiting[0].start < oldest:
            piece = self._waiting.popleft()
            self.dropped_samples += piece.end - piece.start
            if not piece.pcm:
                marks.append(piece)
        at = self._waiting[0].start if self._waiting else self._end
        self._waiting.extendleft(_Piece(at, at, mark.command) for mark in reversed(marks))

    def peek(self) -> ModelCommand | None:
        """Return the next piece to send, if any; call `advance` once it was sent."""
        self._peeked = self._front()
        if not self._peeked:
            return None
        if len(self._peeked) == 1:
            return self._peeked[0].command
        return AppendAudio(b"".join(piece.pcm for piece in self._peeked))

    def _front(self) -> list[_Piece]:
        """The first waiting piece, with as much audio after it as may be joined."""
        front: list[_Piece] = []
        for piece in self._waiting:
            if front and (
                not front[0].pcm
                or not piece.pcm
                or piece.end - front[0].start > JOINED_S * self._rate_hz
            ):
                break
            front.append(piece)
        return front

    def advance(self) -> None:
        """Mark the piece that `peek` returned as sent."""
        for piece in self._peeked:
            # Meanwhile it may have been dropped, or older audio may have come before it.
            if self._waiting and self._waiting[0] is piece:
                self._sent.append(self._waiting.popleft())
        self._peeked = []

    def forget_sent(self, keep_from: int | None) -> None:
        """Sent audio is not needed any more, but for the last moments and what is after this."""
        oldest = self.sent_position - int(KEPT_SENT_S * self._rate_hz)
        if keep_from is not None:
            oldest = min(oldest, keep_from)
        while self._sent and self._sent[0].end <= oldest:
            self._sent.popleft()

    def rewind(self, position: int) -> int:
        """Queue everything from `position` on again; return its number of samples."""
        before = self.sent_position
        while self._sent and self._sent[-1].end > position:
            self._waiting.appendleft(self._sent.pop())
        return before - self.sent_position

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._sent.clear()

    def is_quiet(self, duration_s: float) -> bool:
        """True if the last sent audio of this length holds no voice."""
        since = self.sent_position - int(duration_s * self._rate_hz)
        for piece in reversed(self._sent):
            if piece.end <= since:
                break
            if _peak(piece.pcm) >= QUIET_PEAK:
                return False
        return True


def _peak(pcm: bytes) -> int:
    samples = np.frombuffer(pcm, np.int16, count=len(pcm) // 2).astype(np.int32)
    return int(np.abs(samples).max(initial=0))
