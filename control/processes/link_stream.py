"""`LinkStream`: lines over one end of a socket pair, each direction with an end of its own.

asyncio's own transport ends both when one fails: a message written just after the peer closed would
cost what the peer had said before. Here the failed write ends the writing, and what arrived is read.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

_READ_BYTES: Final = 64 * 1024


class LinkStream:
    """Owns the socket. Writing never waits; reading waits in `readline`."""

    def __init__(self, sock: socket.socket, max_line_bytes: int) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(max_line_bytes, self._loop)
        # The reader has us pause while nobody takes what has arrived.
        self._reader.set_transport(self)  # type: ignore[arg-type]
        self._unsent = bytearray()
        self._is_closing = False
        self._is_closed = False
        self._is_over = asyncio.Event()
        self._loop.add_reader(sock, self._handle_readable)

    @property
    def unsent_bytes(self) -> int:
        """What the peer has not taken yet."""
        return len(self._unsent)

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._is_closing

    # -- reading ---------------------------------------------------------------------------------

    async def readline(self) -> bytes:
        """The next line; what there is without its end when no more can come.

        Raises:
            ValueError: the line is too long.
        """
        return await self._reader.readline()

    def pause_reading(self) -> None:
        """For the reader."""
        if not self._is_closed:
            self._loop.remove_reader(self._sock)

    def resume_reading(self) -> None:
        """For the reader."""
        if not self._is_closed:
            self._loop.add_reader(self._sock, self._handle_readable)

    def _handle_readable(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # The peer closed its end while we had said more; it says nothing more either.
            data = b""
        if data:
            self._reader.feed_data(data)
            return
        self._loop.remove_reader(self._sock)
        self._reader.feed_eof()

    # -- writing ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send it as the peer takes it; nothing happens when it takes nothing more."""
        if self._is_closing:
            return
        is_first = not self._unsent
        self._unsent += data
        if is_first:
            self._send()
            if self._unsent:
                self._loop.add_writer(self._sock, self._send)

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
        self._is_over.set()

    # -- ending ----------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write nothing more; return when the peer has taken everything, or takes nothing more."""
        self._is_closing = True
        if not self._unsent:
            self._end_writing()
        await self._is_over.wait()

    def close(self) -> None:
        """Free the socket; what waits is lost, but what has arrived can be read. Idempotent."""
        if self._is_closed:
            return
        self._end_writing()
        self._loop.remove_reader(self._sock)
        self._is_closed = True
        self._sock.close()
        self._reader.feed_eof()
