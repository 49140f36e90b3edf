"""`BridgeClient`: takes part in a call over the bridge, from Python. See `docs/bridge.md`.

    async with BridgeClient("ws://127.0.0.1:8080/ws/demo", {"voice": "marin"}) as client:
        await client.send_audio(pcm)
        async for event in client.events():
            ...

What comes is read all the time. Audio that nobody takes is dropped, the oldest first; events wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Generic, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from utils import OwnedTasks

MAX_AUDIO_MESSAGES: Final = 1_500
"""That wait for `audio`: half a minute."""
OPEN_TIMEOUT_S: Final = 30.0
"""For an agent that has to start first."""
_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024

T = TypeVar("T")

_log = logging.getLogger("bridge.client")


class BridgeClosedError(ConnectionError):
    """The connection was refused or has ended. code: the WebSocket's; error: the server's word."""

    def __init__(self, code: int, error: str, message: str) -> None:
        super().__init__(f"{code} {error}: {message}".rstrip(": "))
        self.code = code
        self.error = error


class BridgeClient:
    """One participant. `connect` or `async with`; after a loss of the connection `resume`."""

    def __init__(
        self,
        url: str,
        config: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
    ) -> None:
        """
        url: `ws://HOST:PORT/ws/CHANNEL`
        config: of `client_session_create`: fields of a start, and formats of audio
        token: an API key or a room token
        """
        # The fields of `server_session_created`.
        self.session: dict[str, Any] = {}
        # Of the last event that came.
        self.last_seq = 0
        # How the connection ended; None while it is open.
        self.closed: BridgeClosedError | None = None
        self._url = url
        self._config = dict(config or {})
        self._token = token
        self._socket: ClientConnection | None = None
        self._events: _Incoming[dict[str, Any]] = _Incoming(None)
        self._audio: _Incoming[bytes] = _Incoming(MAX_AUDIO_MESSAGES)
        self._tasks = OwnedTasks(_log)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect and create a session.

        Raises:
            BridgeClosedError: the server refuses it.
            OSError: the server cannot be reached.
            websockets.exceptions.InvalidHandshake: it refuses the connection by HTTP.
        """
        await self._open({"type": "client_session_create", "config": self._config})

    async def resume(self) -> None:
        """Connect again and go on with the session: events that were missed come first.

        Raises:
            BridgeClosedError: the session is gone.
            OSError: the server cannot be reached.
        """
        await self._open(
            {
                "type": "client_session_create",
                "config": self._config,
                "session_id": self.session["session_id"],
                "secret": self.session["secret"],
                "last_seq": self.last_seq,
            }
        )

    async def _open(self, first: dict[str, Any]) -> None:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        self.closed = None
        self._socket = socket = await connect(
            self._url,
            additional_headers=headers,
            max_size=_MAX_MESSAGE_BYTES,
            compression=None,
            proxy=None,
            open_timeout=OPEN_TIMEOUT_S,
        )
        self._events.open()
        self._audio.open()
        await socket.send(json.dumps(first))
        self._tasks.start(self._read(socket), name="bridge client")
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            self.session = await self.wait_event("server_session_created")

    async def close(self) -> None:
        """Leave the call. Idempotent."""
        if self._socket is not None:
            await self._socket.close()
        await self._tasks.close()

    # -- sending ---------------------------------------------------------------------------------

    async def send_audio(self, data: bytes) -> None:
        """Send audio in the encoding of `audio_in`; waits while the network is slower than that."""
        await self._send(data)

    async def send(self, event_type: str, **fields: Any) -> None:
        """Send a client event."""
        await self._send(json.dumps({"type": event_type, **fields}))

    async def _send(self, message: str | bytes) -> None:
        assert self._socket is not None
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            raise _closed(self._socket, self.closed) from error

    # -- receiving -------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Server events, until the connection ends."""
        while (event := await self._events.take()) is not None:
            yield event

    async def audio(self) -> AsyncIterator[bytes]:
        """The agent's audio in the encoding of `audio_out`, until the connection ends."""
        while (data := await self._audio.take()) is not None:
            yield data

    async def wait_event(self, event_type: str) -> dict[str, Any]:
        """Take events up to the first one of this type, and return it.

        Raises:
            BridgeClosedError: the connection ended first.
        """
        async for event in self.events():
            if event.get("type") == event_type:
                return event
        assert self._socket is not None
        raise _closed(self._socket, self.closed)

    async def _read(self, socket: ClientConnection) -> None:
        error = ("", "")
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    self._audio.put(message)
                    continue
                event = json.loads(message)
                self.last_seq = max(self.last_seq, event.get("seq", 0))
                if event.get("type") == "agent_error":
                    error = (event["code"], event["message"])
                self._events.put(event)
        except ConnectionClosed:
            _log.debug("the connection was lost")
        finally:
            self.closed = BridgeClosedError(socket.close_code or 1006, *error)
            self._events.close()
            self._audio.close()


class _Incoming(Generic[T]):
    """Messages that came and were not taken yet."""

    def __init__(self, most: int | None) -> None:
        self._waiting: deque[T] = deque(maxlen=most)
        self._is_closed = False
        self._changed = asyncio.Event()

    def open(self) -> None:
        """More will come."""
        self._is_closed = False

    def put(self, one: T) -> None:
        """Add one; beyond the most, the oldest goes."""
        self._waiting.append(one)
        self._changed.set()

    def close(self) -> None:
        """No more will come."""
        self._is_closed = True
        self._changed.set()

    async def take(self) -> T | None:
        """Wait for the next one; None: there will be none."""
        while not self._waiting:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()


def _closed(socket: ClientConnection, known: BridgeClosedError | None) -> BridgeClosedError:
    return known or BridgeClosedError(socket.close_code or 1006, "", "the connection is closed")
