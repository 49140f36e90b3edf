"""`DATA_DIR`: the folder of one server, which keeps its id across restarts."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

_NAME: Final = "server-id"
_CLOCK_NAME: Final = "clock"
_ID_BYTES: Final = 16


class DataFolderTakenError(Exception):
    """Another running server holds this folder."""


class DataFolder:
    """Locks the folder until `close` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            DataFolderTakenError: another server holds it.
            OSError: it cannot be created or written.
        """
        self._path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Children must not inherit the descriptor: they would hold the lock too.
        self._fd = os.open(path / _NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.server_id = self._read_id()
        except BlockingIOError:
            self.close()
            raise DataFolderTakenError(str(path)) from None
        except OSError:
            self.close()
            raise

    def _read_id(self) -> str:
        """Return the server's id, generated once."""
        text = os.pread(self._fd, 2 * _ID_BYTES, 0).decode(errors="replace")
        if len(text) != 2 * _ID_BYTES or not text.isalnum():
            text = secrets.token_hex(_ID_BYTES)
            os.pwrite(self._fd, text.encode(), 0)
        return text

    @property
    def believed_ms(self) -> int | None:
        """Last plausible wall time, Unix ms; None if unknown. Blocks: call it off the event loop."""
        try:
            return int((self._path / _CLOCK_NAME).read_text())
        except (OSError, ValueError):
            return None

    @believed_ms.setter
    def believed_ms(self, wall_ms: int) -> None:
        """Replace the stored time atomically; raises OSError."""
        new = self._path / f"{_CLOCK_NAME}.new"
        new.touch(mode=0o600)
        new.write_text(str(wall_ms))
        new.replace(self._path / _CLOCK_NAME)

    def close(self) -> None:
        """Unlock the folder. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
