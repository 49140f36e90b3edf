"""Recording files of calls: looked up, and deleted with their calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from control.store.errors import NotDeletedError
from control.store.levels import LevelMeter, Levels
from session.recording.path import recording_path
from session.recording.timeline import FRAME_BYTES
from session.recording.wav import HEAD_BYTES, NotARecordingError, WavHead
from utils import BoundedDict

_log = logging.getLogger("control.store")


MAX_LEVELS: Final = 32
"""Recordings of which the levels are kept in memory: 8 KB each, more if there are many pauses."""

_BLOCK_FRAMES: Final = 500
"""Of `voice_level.FRAME_MS` each, read at once: 2 MB at most."""

_READ_SHARE: Final = 20
"""A growing recording is read again after so many times as long as reading it took: at most a
twentieth of a core for each that is looked at.
"""

_SHORTEST_PAUSE_S: Final = 1.0
"""A shorter pause is none: what is read so quickly may be read at each request."""

_Stamp = tuple[int, int]
"""Size and time of a file."""


@dataclass(frozen=True)
class _Measured:
    """Levels of a file as it was. until_s: monotonic time up to which they hold though it has grown"""

    stamp: _Stamp
    until_s: float
    levels: Levels


def read_levels(path: Path) -> Levels:
    """Return the levels of a recording. Blocks: call it off the event loop.

    Raises:
        OSError: it cannot be read.
        NotARecordingError: it is something else.
    """
    with path.open("rb") as file:
        head = WavHead.parse(file.read(HEAD_BYTES))
        meter = LevelMeter(head.sample_rate_hz, head.data_bytes // FRAME_BYTES)
        left, block_bytes = head.data_bytes, _BLOCK_FRAMES * meter.frame_samples * FRAME_BYTES
        while left > 0:
            block = file.read(min(left, block_bytes))
            if len(block) < FRAME_BYTES:
                break
            left -= len(block)
            whole = len(block) // FRAME_BYTES * FRAME_BYTES
            meter.add(np.frombuffer(block[:whole], np.int16).reshape(-1, 2))
        return meter.levels(head.began_ms)


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class Recordings:
    """Recordings in one folder; None: there are none."""

    def __init__(
        self, directory: Path | None, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._now_s = now_s
        self._levels: BoundedDict[str, _Measured] = BoundedDict(MAX_LEVELS)
        self._measuring = asyncio.Lock()

    async def find(self, call_id: str) -> Path | None:
        """Return the file of a call; None if there is none."""
        path = self._path(call_id)
        is_there = path is not None and await asyncio.to_thread(path.is_file)
        return path if is_there else None

    async def having(self, call_ids: Collection[str]) -> frozenset[str]:
        """Return those of these calls that have a file."""
        return await asyncio.to_thread(self._having, call_ids)

    def _having(self, call_ids: Collection[str]) -> frozenset[str]:
        paths = {call_id: self._path(call_id) for call_id in call_ids}
        return frozenset(one for one, path in paths.items() if path is not None and path.is_file())

    async def levels(self, call_id: str) -> Levels | None:
        """Return the levels of a call's recording; None if there is none that can be read.

        One recording at a time is read, in a thread. What was read is kept until the file has grown,
        and for so long that reading a growing one takes little of the processor.
        """
        path = self._path(call_id)
        if path is None:
            return None
        try:
            stamp = await asyncio.to_thread(_stamp, path)
            if (kept := self._kept(call_id, stamp)) is not None:
                return kept
            async with self._measuring:
                # Perhaps read meanwhile, for another request.
                if (kept := self._kept(call_id, stamp)) is not None:
                    return kept
                began_s = self._now_s()
                levels = await asyncio.to_thread(read_levels, path)
                ended_s = self._now_s()
                # It may have been deleted meanwhile.
                await asyncio.to_thread(_stamp, path)
        except FileNotFoundError:
            return None
        except (OSError, NotARecordingError) as error:
            _log.warning("the recording of %s cannot be read: %s", call_id, error)
            return None
        pause_s = _READ_SHARE * (ended_s - began_s)
        until_s = ended_s + (pause_s if pause_s >= _SHORTEST_PAUSE_S else 0.0)
        self._levels[call_id] = _Measured(stamp, until_s, levels)
        return levels

    def _kept(self, call_id: str, stamp: _Stamp) -> Levels | None:
        kept = self._levels.get(call_id)
        if kept is None or (kept.stamp != stamp and self._now_s() >= kept.until_s):
            return None
        return kept.levels

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Drop what is kept of these calls."""
        for call_id in call_ids:
            self._levels.pop(call_id, None)

    async def delete(self, call_ids: Sequence[str]) -> int:
        """Delete the files of these calls; return how many there were.

        Raises:
            NotDeletedError: some cannot be deleted; the reason is logged.
        """
        count, kept = await asyncio.to_thread(self._delete, call_ids)
        self.forget_calls(call_ids)
        if kept:
            raise NotDeletedError(kept)
        return count

    def _delete(self, call_ids: Sequence[str]) -> tuple[int, list[str]]:
        """Delete the files; return how many, and the calls whose file could not be deleted."""
        count, kept = 0, []
        for call_id in call_ids:
            path = self._path(call_id)
            try:
                if path is not None:
                    path.unlink()
                    count += 1
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.error("the recording of %s cannot be deleted: %s", call_id, error.strerror)
                kept.append(call_id)
        return count, kept

    def _path(self, call_id: str) -> Path | None:
        if self._directory is None:
            return None
        try:
            return recording_path(self._directory, call_id)
        except ValueError:
            return None
