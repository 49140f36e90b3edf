"""Lines for a descriptor whose reader may be slow, stuck or gone: whoever has a line never waits.

Nothing here changes the descriptor itself: it is shared with the programs that gave it to us.
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

MAX_WAITING_BYTES: Final = 1024 * 1024
"""Lines that wait for their reader; of more, the newest are dropped and counted."""

_MAX_PART_CHARACTERS: Final = 64 * 1024
_POLL_MS: Final = 1_000
# What a pipe takes as a whole, or not at all.
_MAX_WHOLE_BYTES: Final = 4_096


class LineWriter:
    """Writes lines to a descriptor from a thread of its own, which begins with the first line.

    A reader that does not read costs lines once `max_waiting_bytes` wait; a full disk, a broken
    pipe or a closed descriptor costs the lines that it meets. Each loss is counted, and told in a
    line of its own as soon as one can be written again.
    """

    def __init__(
        self,
        fd: int,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        tell_lost: Callable[[int, str], str] | None = None,
    ) -> None:
        """tell_lost: gives the line that tells of lost ones, from their number and the reason."""
        self._fd = fd
        self._max_waiting_bytes = max_waiting_bytes
        self._tell_lost = tell_lost
        self._lost = 0
        self._untold = 0
        self._reason = ""
        self._waiting_bytes = 0
        # Reentrant, as the queue is: a signal handler or a finaliser may log in the midst of it.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_torn = False

    @property
    def lost(self) -> int:
        """Lines that were never written."""
        return self._lost

    def put(self, line: str) -> None:
        """Have `line` (without its end) written; never waits, never raises."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            if self._waiting_bytes + len(data) > self._max_waiting_bytes:
                self._count_lost("nobody read them")
                return
            self._waiting_bytes += len(data)
            has_thread = self._ensure_thread()
        if has_thread:
            self._queue.put(data)
            return
        # No thread can be had: the process is at its limit, or at its end.
        is_written = try_write(self._fd, data)
        self._forget(data)
        if not is_written:
            self._count_lost("no thread could be started")

    def flush(self, deadline_s: float) -> bool:
        """Wait until all lines so far are written; False when that takes longer than this."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(max(0.0, deadline_s))

    def close(self, deadline_s: float) -> None:
        """Flush and end the thread; it ends later if it is stuck. A later line begins a new one."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(deadline_s)

    def _ensure_thread(self) -> bool:
        # After a fork the thread is not alive either.
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._run, name=f"lines of {self._fd}", daemon=True)
        try:
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
            if self._untold and self._tell_lost is not None:
                self._write_note(self._tell_lost)
            if not self._write(item):
                self._count_lost(self._reason)
            self._forget(item)

    def _write_note(self, tell_lost: Callable[[int, str], str]) -> None:
        untold, note = self._untold, tell_lost(self._untold, self._reason)
        if self._write(note.encode(errors="backslashreplace") + b"\n"):
            with self._lock:
                self._untold -= untold

    def _write(self, data: bytes) -> bool:
        rest = b"\n" + data if self._is_torn else data
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                # Somebody who shares it made it so.
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
            self._untold += 1
            self._reason = reason


def _wait_writable(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(_POLL_MS)


def try_write(fd: int, data: bytes) -> bool:
    """Write now or not at all, without a thread; False: it was not, or not wholly, written.

    For processes that have no thread yet and must not get one.
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
    """To a pipe or terminal, which may be full."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not any(events & select.POLLOUT for _, events in poll.poll(0)):
        return False
    try:
        # Opened anew it can be non-blocking for us alone, should others fill it meanwhile.
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return os.write(fd, data) == len(data)
    try:
        return os.write(own, data) == len(data)
    finally:
        os.close(own)


class LineStream(io.TextIOBase):
    """Stands for `sys.stderr` or `sys.stdout`: what is written becomes lines for `put`."""

    def __init__(self, fd: int, put: Callable[[str], None]) -> None:
        self._fd = fd
        self._put = put
        self._part = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of what is written."""
        return "utf-8"

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """For programs that shall have the same output."""
        return self._fd

    def isatty(self) -> bool:
        """Whether people look at it."""
        return is_terminal(self._fd)

    def write(self, text: str) -> int:
        """Pass on each line that is complete."""
        *lines, part = (self._part + text).split("\n")
        if len(part) > _MAX_PART_CHARACTERS:
            lines.append(part)
            part = ""
        self._part = part
        for line in lines:
            self._put(line)
        return len(text)

    def flush(self) -> None:
        """Pass on what is there of a line; it does not wait until that is written."""
        part, self._part = self._part, ""
        if part:
            self._put(part)


def is_terminal(fd: int) -> bool:
    """Whether it is open and a terminal."""
    with contextlib.suppress(OSError):
        return os.isatty(fd)
    return False


def open_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed, on nothing.

    The next file or socket would get the number, and with it all that is said to people.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
    # Python has none where it found them closed.
    if sys.stdout is None:
        sys.stdout = _text_of(1)
    if sys.stderr is None:
        sys.stderr = _text_of(2)


def _text_of(fd: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), line_buffering=True)
