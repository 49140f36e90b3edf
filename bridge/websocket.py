"""One client's WebSocket in the agent's process: messages in and out, pings, limits, closing.

The connection was opened by the control server, which handed over its socket with what it had read
already. Everything happens in the step of the loop in which bytes come or a message is sent.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from bridge.closes import TRY_AGAIN_LATER
from bridge.dialect import Message
from bridge.outgoing_queue import OutgoingQueue

MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""An image of a megabyte is a third longer in base64."""
BYTES_PER_S: Final = 1024 * 1024
BURST_BYTES: Final = 4 * 1024 * 1024
"""A client that sends more is read more slowly."""
PING_INTERVAL_S: Final = 5.0
SILENT_AFTER_S: Final = 15.0
"""Without a byte, pongs included: the connection is dead."""
UNREAD_TIMEOUT_S: Final = 10.0
"""For a client that has stopped to read."""
CLOSE_TIMEOUT_S: Final = 2.0
_UNSENT_BYTES: Final = 16 * 1024
"""In the kernel and not on the wire: a third of a second of PCM16. What waits longer waits here, where
audio can be dropped."""
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006


@dataclass(frozen=True)
class SocketCallbacks:
    """Called on the loop; must not raise or block.

    on_closed: with the close code, 1006 without a closing handshake; once
    on_round_trip: with the seconds of a ping and its pong
    """

    on_message: Callable[[Message], None]
    on_closed: Callable[[int], None]
    on_round_trip: Callable[[float], None]


class BridgeSocket(asyncio.Protocol):
    """Owner of the connection from `open` to `on_closed`."""

    def __init__(self, received: bytes, callbacks: SocketCallbacks) -> None:
        """received: bytes of the client that were read already"""
        self.queue = OutgoingQueue()
        self._callbacks = callbacks
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=MAX_MESSAGE_BYTES)
        self._transport: asyncio.Transport | None = None
        # The kernel takes nothing at the moment.
        self._is_paused = False
        self._fragments: list[bytes] = []
        self._is_text = True
        self._credit_bytes = float(BURST_BYTES)
        self._read_at_s = self._loop.time()
        self._pinged_at_s: float | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @classmethod
    async def open(
        cls,
        sock: socket.socket,
        received: bytes,
        callbacks: SocketCallbacks,
        on_created: Callable[[BridgeSocket], None],
    ) -> None:
        """Take over `sock`. on_created: gets the object before anything is read.

        Raises:
            OSError: the client is gone.
        """

        def create() -> BridgeSocket:
            bridge_socket = cls(received, callbacks)
            on_created(bridge_socket)
            return bridge_socket

        sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(create, sock=sock)

    # -- what the client sends -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        transport.set_write_buffer_limits(high=0)
        received, self._received = self._received, b""
        # Now: what the kernel has comes after it.
        self.data_received(received)
        self._set_timer("ping", 0.0, self._ping)

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`."""
        now_s = self._loop.time()
        earned = (now_s - self._read_at_s) * BYTES_PER_S
        self._read_at_s = now_s
        self._credit_bytes = min(BURST_BYTES, self._credit_bytes + earned) - len(data)
        if self._credit_bytes < 0 and self._transport is not None:
            self._transport.pause_reading()
            self._set_timer("read", -self._credit_bytes / BYTES_PER_S, self._read_on)
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._handle_frame(event)
        self._flush()

    def eof_received(self) -> None:
        """Part of `asyncio.Protocol`."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        del exc
        for timer in self._timers.values():
            timer.cancel()
        self._transport = None
        self._protocol.receive_eof()
        code = self._protocol.close_code
        self._callbacks.on_closed(_ABNORMAL if code in (None, _NO_STATUS) else code)

    def _read_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _handle_frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._is_text = frame.opcode is Opcode.TEXT
                self._fragments = [bytes(frame.data)]
            case Opcode.CONT:
                self._fragments.append(bytes(frame.data))
            case Opcode.PONG:
                self._handle_pong(bytes(frame.data))
                return
            case _:
                return
        if frame.fin:
            data, self._fragments = b"".join(self._fragments), []
            self._handle_message(data)

    def _handle_message(self, data: bytes) -> None:
        if not self._is_text:
            self._callbacks.on_message(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._protocol.fail(1007, "text is UTF-8")
            return
        self._callbacks.on_message(text)

    # -- what it gets ----------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True while messages can be sent."""
        return self._transport is not None and self._protocol.state is State.OPEN

    def send(self, message: Message, *, is_audio: bool = False) -> None:
        """Send, or queue while the client does not read. No effect once it closes."""
        if not self.is_open:
            return
        if not self._is_paused and not self.queue:
            self._write(message)
            return
        self.queue.put(message, is_audio=is_audio)
        if self.queue.is_too_long:
            self._give_up()

    def close(self, code: int, reason: str = "") -> None:
        """Send what waits, as far as the client reads it, and close. Idempotent."""
        if not self.is_open:
            return
        while self.queue:
            waiting = self.queue.take()
            if not waiting.is_audio:
                self._write(waiting.message)
        self._protocol.send_close(code, reason)
        self._flush()

    def abort(self) -> None:
        """Drop the connection without a word. Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """Part of `asyncio.Protocol`."""
        self._is_paused = True
        self._set_timer("unread", UNREAD_TIMEOUT_S, self._give_up)

    def resume_writing(self) -> None:
        """Part of `asyncio.Protocol`."""
        self._is_paused = False
        if (timer := self._timers.pop("unread", None)) is not None:
            timer.cancel()
        while self.queue and not self._is_paused:
            self._write(self.queue.take().message)

    def _write(self, message: Message) -> None:
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                # The closing handshake is over: write what is left, then close.
                self._transport.close()
        if self._protocol.state is State.CLOSING and "close" not in self._timers:
            self._set_timer("close", CLOSE_TIMEOUT_S, self.abort)

    def _give_up(self) -> None:
        """Close a client that does not read; it sees why, if it reads on within a moment."""
        self.queue.clear()
        self.close(TRY_AGAIN_LATER, "too slow")

    # -- signs of life ---------------------------------------------------------------------------

    def _ping(self) -> None:
        now_s = self._loop.time()
        if now_s - self._read_at_s > SILENT_AFTER_S:
            self.abort()
            return
        if self.is_open:
            self._pinged_at_s = now_s
            self._protocol.send_ping(b"")
            self._flush()
        self._set_timer("ping", PING_INTERVAL_S, self._ping)

    def _handle_pong(self, _data: bytes) -> None:
        if self._pinged_at_s is not None:
            self._callbacks.on_round_trip(self._loop.time() - self._pinged_at_s)
            self._pinged_at_s = None

    def _set_timer(self, name: str, after_s: float, callback: Callable[[], None]) -> None:
        if (timer := self._timers.get(name)) is not None:
            timer.cancel()
        self._timers[name] = self._loop.call_later(after_s, callback)
