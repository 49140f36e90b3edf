"""`DATA_DIR`: a folder of one server, which is known by it over its restarts."""

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
    """Another server works in this folder."""


class DataFolder:
    """Holds the folder until `close`, or until the process dies."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            DataFolderTakenError: another server holds it.
            OSError: it cannot be made or written.
        """
        self._path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Children must not inherit it: it would be theirs too.
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
        """The server's id, chosen once."""
        text = os.pread(self._fd, 2 * _ID_BYTES, 0).decode(errors="replace")
        if len(text) != 2 * _ID_BYTES or not text.isalnum():
            text = secrets.token_hex(_ID_BYTES)
            os.pwrite(self._fd, text.encode(), 0)
        return text

    @property
    def believed_ms(self) -> int | None:
        """What the wall clock said when it was last believed; None when that is not known.

        May block: to be asked off the loop.
        """
        try:
            return int((self._path / _CLOCK_NAME).read_text())
        except (OSError, ValueError):
            return None

    @believed_ms.setter
    def believed_ms(self, wall_ms: int) -> None:
        """Raises OSError; what was there before stays then."""
        new = self._path / f"{_CLOCK_NAME}.new"
        new.touch(mode=0o600)
        new.write_text(str(wall_ms))
        new.replace(self._path / _CLOCK_NAME)

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
