"""The recordings of calls, as files: shown, and deleted with their calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from control.store.errors import NotDeletedError
from session.recording.path import recording_path

_log = logging.getLogger("control.store")


class Recordings:
    """Those in one folder, if there is one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    async def find(self, call_id: str) -> Path | None:
        """The file of a call; None when there is none."""
        path = self._path(call_id)
        is_there = path is not None and await asyncio.to_thread(path.is_file)
        return path if is_there else None

    async def delete(self, call_ids: Sequence[str]) -> None:
        """Delete the files of these calls.

        Raises:
            NotDeletedError: some cannot be deleted; the log says why.
        """
        if kept := await asyncio.to_thread(self._delete, call_ids):
            raise NotDeletedError(kept)

    def _delete(self, call_ids: Sequence[str]) -> list[str]:
        """Returns the calls whose file is still there."""
        kept = []
        for call_id in call_ids:
            path = self._path(call_id)
            try:
                if path is not None:
                    path.unlink(missing_ok=True)
            except OSError as error:
                _log.error("the recording of %s cannot be deleted: %s", call_id, error.strerror)
                kept.append(call_id)
        return kept

    def _path(self, call_id: str) -> Path | None:
        if self._directory is None:
            return None
        try:
            return recording_path(self._directory, call_id)
        except ValueError:
            return None
