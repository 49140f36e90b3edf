"""Non-blocking line output to a descriptor whose reader may be slow, stuck or gone.

The descriptor's flags are never changed: it is shared with other programs.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import queue
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable
from typing import Final

from utils import held_stop_signals

MAX_WAITING_BYTES: Final = 1024 * 1024
"""Limit on lines that wait for their reader; past it the newest are dropped and counted."""

_MAX_PART_CHARACTERS: Final = 64 * 1024
_POLL_MS: Final = 1_000
# Size up to which a pipe write is atomic (PIPE_BUF).
_MAX_WHOLE_BYTES: Final = 4_096

WRITER_THREAD: Final = "lines of "
"""Name of a writer's thread, with its descriptor; a fork gets another one."""


class LineWriter:
    """Writes lines to a descriptor from its own thread, which starts with the first line.

    Lines are lost when `max_waiting_bytes` wait for a slow reader, or when they meet a full disk, a
    broken pipe or a closed descriptor. Losses are counted, and reported in a line of their own as
    soon as one can be written again.
    """

    def __init__(
        self,
        fd: int,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        format_lost: Callable[[int, str], str] | None = None,
    ) -> None:
        """format_lost: makes the line that reports lost lines, from their number and the reason."""
        self._fd = fd
        self._max_waiting_bytes = max_waiting_bytes
        self._format_lost = format_lost
        self._lost = 0
        self._unreported = 0
        self._reason = ""
        self._waiting_bytes = 0
        # Reentrant, like the queue: a signal handler or finalizer may log while it is held.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_torn = False

    @property
    def lost(self) -> int:
        """Number of lines that were never written."""
        return self._lost

    def put(self, line: str) -> None:
        """Queue `line` (without its end); never blocks, never raises."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            if self._waiting_bytes + len(data) > self._max_waiting_bytes:
                self._count_lost("the reader is too slow")
                return
            self._waiting_bytes += len(data)
            has_thread = self._ensure_thread()
        if has_thread:
            self._queue.put(data)
            return
        # No thread can start: the process is at its limit or exiting.
        is_written = try_write(self._fd, data)
        self._forget(data)
        if not is_written:
            self._count_lost("no thread could be started")

    def flush(self, deadline_s: float) -> bool:
        """Wait until all lines so far are written; return false after `deadline_s` seconds."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(max(0.0, deadline_s))

    def close(self, deadline_s: float) -> None:
        """Flush and end the thread; a stuck one ends later. A later line starts a new thread."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(deadline_s)

    def _ensure_thread(self) -> bool:
        # After a fork the thread is not alive.
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._run, name=f"{WRITER_THREAD}{self._fd}", daemon=True)
        try:
            with held_stop_signals():
                thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            if self._unreported and self._format_lost is not None:
                self._write_note(self._format_lost)
            if not self._write(item):
                self._count_lost(self._reason)
            self._forget(item)

    def _write_note(self, format_lost: Callable[[int, str], str]) -> None:
        unreported, note = self._unreported, format_lost(self._unreported, self._reason)
        if self._write(note.encode(errors="backslashreplace") + b"\n"):
            with self._lock:
                self._unreported -= unreported

    def _write(self, data: bytes) -> bool:
        rest = b"\n" + data if self._is_torn else data
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                # Another program that shares the descriptor made it non-blocking.
                _wait_writable(self._fd)
            except OSError as error:
                self._reason = error.strerror or str(error)
                self._is_torn = self._is_torn or len(rest) < len(data)
                return False
        self._is_torn = False
        return True

    def _forget(self, data: bytes) -> None:
        with self._lock:
            self._waiting_bytes -= len(data)

    def _count_lost(self, reason: str) -> None:
        with self._lock:
            self._lost += 1
            self._unreported += 1
            self._reason = reason


def _wait_writable(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(_POLL_MS)


def try_write(fd: int, data: bytes) -> bool:
    """Write without blocking and without a thread; return false if not all was written.

    For processes that must not start a thread yet.
    """
    data = data[-_MAX_WHOLE_BYTES:]
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            with socket.socket(fileno=os.dup(fd)) as sock:
                return sock.send(data, socket.MSG_DONTWAIT) == len(data)
        if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            return os.write(fd, data) == len(data)
        return _write_ready(fd, data)
    except OSError:
        return False


def _write_ready(fd: int, data: bytes) -> bool:
    """Write to a pipe or terminal if it has room."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not any(events & select.POLLOUT for _, events in poll.poll(0)):
        return False
    try:
        # Reopened, so that it is non-blocking here only: other writers may fill it meanwhile.
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return os.write(fd, data) == len(data)
    try:
        return os.write(own, data) == len(data)
    finally:
        os.close(own)


class LineStream(io.TextIOBase):
    """Replacement of `sys.stderr` or `sys.stdout`: written text becomes lines for `put`."""

    def __init__(self, fd: int, put: Callable[[str], None]) -> None:
        self._fd = fd
        self._put = put
        self._part = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the output."""
        return "utf-8"

    def writable(self) -> bool:
        """Return true."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for child processes with the same output."""
        return self._fd

    def isatty(self) -> bool:
        """Return true if the descriptor is a terminal."""
        return is_terminal(self._fd)

    def write(self, text: str) -> int:
        """Pass on each complete line."""
        *lines, part = (self._part + text).split("\n")
        if len(part) > _MAX_PART_CHARACTERS:
            lines.append(part)
            part = ""
        self._part = part
        for line in lines:
            self._put(line)
        return len(text)

    def flush(self) -> None:
        """Pass on the incomplete line; does not wait until it is written."""
        part, self._part = self._part, ""
        if part:
            self._put(part)


def is_terminal(fd: int) -> bool:
    """Return true if the descriptor is open and a terminal."""
    with contextlib.suppress(OSError):
        return os.isatty(fd)
    return False


def open_standard_descriptors() -> None:
    """Open closed descriptors among 0, 1 and 2 on /dev/null.

    Otherwise the next file or socket would get the number, and with it all output.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            # The lowest free number, which is `fd`.
            os.open(os.devnull, os.O_RDWR)
    # Python sets the streams to None if the descriptors were closed.
    if sys.stdout is None:
        sys.stdout = _text_of(1)
    if sys.stderr is None:
        sys.stderr = _text_of(2)


def _text_of(fd: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), line_buffering=True)
