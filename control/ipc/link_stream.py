"""`LinkStream`: lines over one end of a socket pair, with independent directions.

asyncio's transport closes both directions when one fails: a write just after the peer closed would
discard what the peer had sent before. Here a failed write ends only the writing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from typing import Final

# Per read event; a longer burst takes several iterations of the loop.
_READ_BYTES: Final = 64 * 1024
# The kernel has no room for another descriptor in flight, for now.
_NO_ROOM: Final = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE})


class LinkStream:
    """Owner of the socket. Writing never waits; reading waits in `readline`."""

    def __init__(
        self, sock: socket.socket, max_line_bytes: int, *, takes_descriptors: bool = False
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(max_line_bytes, self._loop)
        # The reader calls `pause_reading` while its buffer is full.
        self._reader.set_transport(self)  # type: ignore[arg-type]
        self._takes_descriptors = takes_descriptors
        # Received and not taken yet, in order; None: this process had no descriptor left for it.
        self._descriptors: deque[int | None] = deque()
        # Data that the kernel has not accepted yet.
        self._unsent = bytearray()
        # Writing has ended, or ends when `_unsent` is empty.
        self._is_closing = False
        self._is_closed = False
        self._writing_ended = asyncio.Event()
        self._loop.add_reader(sock, self._handle_readable)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not accepted yet."""
        return len(self._unsent)

    @property
    def is_closing(self) -> bool:
        """True once nothing more can be written."""
        return self._is_closing

    # -- reading ---------------------------------------------------------------------------------

    async def readline(self) -> bytes:
        """Return the next line, or the rest without a newline at the end of the stream.

        Raises:
            ValueError: the line is too long.
        """
        return await self._reader.readline()

    def pause_reading(self) -> None:
        """Part of the transport interface that `StreamReader` uses."""
        if not self._is_closed:
            self._loop.remove_reader(self._sock)

    def resume_reading(self) -> None:
        """Part of the transport interface that `StreamReader` uses."""
        if not self._is_closed:
            self._loop.add_reader(self._sock, self._handle_readable)

    def _handle_readable(self) -> None:
        try:
            data = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Reset: the peer closed with data unread. Nothing more will come.
            data = b""
        if data:
            self._reader.feed_data(data)
            return
        self._loop.remove_reader(self._sock)
        self._reader.feed_eof()

    def _receive(self) -> bytes:
        if not self._takes_descriptors:
            return self._sock.recv(_READ_BYTES)
        # A read ends after bytes that a descriptor came with, so that there is one at most.
        data, descriptors, flags, _ = socket.recv_fds(self._sock, _READ_BYTES, 1)
        if descriptors:
            os.set_inheritable(descriptors[0], False)
            self._descriptors.append(descriptors[0])
        elif flags & socket.MSG_CTRUNC:
            self._descriptors.append(None)
        return data

    def take_descriptor(self) -> int | None:
        """Return the descriptor that came with the line read last, if it was sent with one; the caller
        owns it. None: it was lost, for this process has no descriptor left.
        """
        return self._descriptors.popleft() if self._descriptors else None

    # -- writing ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send or queue `data`; no effect once writing has ended."""
        if self._is_closing:
            return
        is_first = not self._unsent
        self._unsent += data
        if is_first:
            self._send()
            if self._unsent:
                self._loop.add_writer(self._sock, self._send)

    def write_with_descriptor(self, data: bytes, descriptor: int) -> bool:
        """Send `data` with a copy of a descriptor; false if that is not possible at the moment, when
        nothing was sent.
        """
        if self._is_closing or self._unsent:
            return False
        try:
            sent = socket.send_fds(self._sock, [data], [descriptor])
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._end_writing()
            return False
        self._unsent += data[sent:]
        if self._unsent:
            self._loop.add_writer(self._sock, self._send)
        return True

    def _send(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end_writing()
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._sock)
            if self._is_closing:
                self._end_writing()

    def _end_writing(self) -> None:
        self._is_closing = True
        self._unsent.clear()
        self._loop.remove_writer(self._sock)
        self._writing_ended.set()

    # -- closing ---------------------------------------------------------------------------------

    async def flush(self) -> None:
        """End writing; return when everything has been sent or the peer is gone."""
        self._is_closing = True
        if not self._unsent:
            self._end_writing()
        await self._writing_ended.wait()

    def close(self) -> None:
        """Close the socket; unsent data is lost, received data can still be read. Idempotent."""
        if self._is_closed:
            return
        self._end_writing()
        self._loop.remove_reader(self._sock)
        self._is_closed = True
        self._sock.close()
        while self._descriptors:
            if (descriptor := self._descriptors.popleft()) is not None:
                os.close(descriptor)
        self._reader.feed_eof()
