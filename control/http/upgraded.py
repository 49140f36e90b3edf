"""A connection that became a WebSocket and is about to be handed on: its first message, and refusals.

It is read here only up to its first message. What follows stays in the socket, or, as far as it was
read along, goes to the new owner together with all that came before.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from bridge.websocket import MAX_MESSAGE_BYTES

MAX_FIRST_BYTES: Final = 64 * 1024
MAX_HELD_BYTES: Final = 128 * 1024
"""Of all that was read: beyond it, the rest waits in the socket."""
CLOSE_TIMEOUT_S: Final = 2.0


class ClientGoneError(ConnectionError):
    """The client closed its connection, or broke the protocol."""


class HandedOn(web.StreamResponse):
    """Stands for the answer 101, which was written already."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to write."""
        del request

    async def write_eof(self, data: Any = b"") -> None:
        """Nothing is left to write."""
        del data


class UpgradedSocket:
    """Takes the bytes of aiohttp's connection from `accept` on."""

    def __init__(self, request: web.Request) -> None:
        transport = request.transport
        if transport is None:
            raise ClientGoneError
        self.received = bytearray()
        self._request = request
        self._transport: asyncio.Transport = transport
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=MAX_FIRST_BYTES)
        self._first: str | bytes | None = None
        self._text: list[bytes] = []
        self._is_text = True
        self._changed = asyncio.Event()
        self._is_handed_on = False

    def accept(self, head: bytes) -> None:
        """Write the answer 101 and begin to read messages."""
        self._transport.write(head)
        # Of a parser only the two methods below are called.
        self._request.protocol.set_parser(self)  # type: ignore[arg-type]

    # -- aiohttp's side: a parser of what follows the request --------------------------------------

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes of the client."""
        self.received += data
        # Further messages are looked at for a close frame alone: their reader is the new owner.
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and self._first is None:
                self._take(event)
        if len(self.received) > MAX_HELD_BYTES:
            self._transport.pause_reading()
        self._changed.set()
        return False, b""

    def feed_eof(self) -> None:
        """The connection is gone."""
        self._protocol.receive_eof()
        self._changed.set()

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
            self._text = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._text.append(bytes(frame.data))
        else:
            return
        if frame.fin:
            data = b"".join(self._text)
            self._first = data.decode(errors="replace") if self._is_text else data
            self._protocol.max_message_size = MAX_MESSAGE_BYTES

    # -- our side ----------------------------------------------------------------------------------

    @property
    def is_gone(self) -> bool:
        """True once the client has closed, or broken the protocol."""
        return self._transport.is_closing() or self._protocol.state is not State.OPEN

    async def first_message(self) -> str | bytes:
        """Wait for the first message.

        Raises:
            ClientGoneError: there will be none.
        """
        while self._first is None:
            if self.is_gone:
                raise ClientGoneError
            self._changed.clear()
            await self._changed.wait()
        return self._first

    def stop_reading(self) -> int:
        """Read no more; returns the descriptor, for its new owner. `received` is complete now.

        Raises:
            ClientGoneError: the client has closed.
        """
        if self.is_gone:
            raise ClientGoneError
        self._transport.pause_reading()
        descriptor: int = self._transport.get_extra_info("socket").fileno()
        return descriptor

    def hand_on(self) -> None:
        """Close this process's descriptor: another process has its own."""
        self._transport.abort()

    async def refuse(self, messages: list[str | bytes], code: int, reason: str) -> None:
        """Send these messages and close; returns when the client has closed too, or after a moment."""
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        if self._protocol.state is State.OPEN:
            for message in messages:
                if isinstance(message, str):
                    self._protocol.send_text(message.encode())
                else:
                    self._protocol.send_binary(message)
            self._protocol.send_close(code, reason)
        self._transport.write(b"".join(self._protocol.data_to_send()))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while not self._transport.is_closing() and self._protocol.state is not State.CLOSED:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        self._transport.close()
