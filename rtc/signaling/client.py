"""The client's side of the room protocol: joins, passes frames, and comes back when cut off."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from proxies import InvalidProxyError, outbound_proxy
from rtc.errors import RoomError
from rtc.signaling.protocol import (
    Candidate,
    ClientFrame,
    Description,
    ErrorFrame,
    Join,
    Joined,
    Leave,
    ServerFrame,
    SignalError,
    parse_server_frame,
    serialize,
)
from utils import BacklogWarning, OwnedTasks, shorten

CONNECT_TIMEOUT_S: Final = 10.0
REJOIN_TIMEOUT_S: Final = 4.0
CLOSE_TIMEOUT_S: Final = 2.0
HEARTBEAT_S: Final = 2.0
GIVE_UP_AFTER_S: Final = 30.0
MAX_WAITING_FRAMES: Final = 256
MAX_RECEIVED_BYTES: Final = 256 * 1024
_BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
_FINAL_CODES: Final = frozenset({"replaced", "unauthorized", "forbidden", "uid_taken"})

_log = logging.getLogger(__name__)


class ConnectionState(StrEnum):
    """DISCONNECTED: cut off, coming back. FAILED: given up, or refused for good."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


def room_socket_url(room_url: str, channel: str) -> str:
    """The WebSocket address of a channel below an http(s) or ws(s) address.

    Raises:
        ValueError: not such an address.
    """
    parts = urlsplit(room_url)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"not an address of a room server: {room_url!r}; use http://HOST:PORT")
    path = f"{parts.path.rstrip('/')}/rooms/{channel}/ws"
    return urlunsplit((schemes[parts.scheme], parts.netloc, path, "", ""))


async def _follow_nothing(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Never go where an answer points: our token would go along."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        text = (
            f"{request.url.host} points elsewhere (HTTP {response.status}), which is not followed"
        )
        raise RoomError("refused", text)
    return response


class SignalingClient:
    """`connect` joins; afterwards frames come by callback until `close`, over any number of sockets."""

    def __init__(
        self,
        url: str,
        join: Join,
        *,
        on_frame: Callable[[ServerFrame], None],
        on_state: Callable[[ConnectionState], None],
    ) -> None:
        """join: what the room gives (uid, instance, resume secret) is sent again at each rejoin."""
        self.state = ConnectionState.NEW
        self._url = url
        self._join = join
        self._on_frame = on_frame
        self._on_state = on_state
        self._http: aiohttp.ClientSession | None = None
        self._waiting: deque[ClientFrame] = deque()
        self._backlog = BacklogWarning(_log, "of frames to the room", MAX_WAITING_FRAMES // 2)
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    async def connect(self) -> Joined:
        """Join, once; the socket is kept from then on.

        Raises:
            RoomError: unreachable, timeout, or the room's own refusal.
        """
        self._http = aiohttp.ClientSession(middlewares=(_follow_nothing,))
        self._set_state(ConnectionState.CONNECTING)
        try:
            socket, joined = await self._open(CONNECT_TIMEOUT_S)
        except BaseException:
            await self.close()
            raise
        self._set_state(ConnectionState.CONNECTED)
        self._tasks.start(self._run(socket), name="signaling")
        return joined

    def send(self, frame: ClientFrame) -> None:
        """Queue a frame; while cut off it waits.

        Raises:
            RoomError: closed, or too many frames wait.
        """
        if self.state in (ConnectionState.CLOSED, ConnectionState.FAILED):
            raise RoomError("closed", "the channel is not connected")
        if len(self._waiting) >= MAX_WAITING_FRAMES:
            raise RoomError("congested", f"{MAX_WAITING_FRAMES} frames wait for the room already")
        self._waiting.append(frame)
        self._backlog.observe(len(self._waiting))
        self._written.clear()
        self._wake.set()

    async def flush(self) -> None:
        """Wait until everything queued is written."""
        if self._waiting:
            await self._written.wait()

    async def close(self) -> None:
        """Leave the room and close. Idempotent, bounded in time."""
        if self.state is ConnectionState.CONNECTED:
            self.send(Leave())
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.flush()
            except TimeoutError:
                _log.debug("the room did not take the leave message in time")
        await self._tasks.close()
        if self._http is not None:
            await self._http.close()
        self._set_state(ConnectionState.CLOSED)

    def _set_state(self, new: ConnectionState) -> None:
        if new is not self.state:
            _log.debug("signaling %s -> %s", self.state, new)
            self.state = new
            self._on_state(new)

    # -- one socket after the other -------------------------------------------------------------

    async def _open(self, timeout_s: float) -> tuple[aiohttp.ClientWebSocketResponse, Joined]:
        assert self._http is not None
        try:
            async with asyncio.timeout(timeout_s):
                # As proxies know it: few take an address that begins with ws.
                socket = await self._http.ws_connect(
                    f"http{self._url.removeprefix('ws')}",
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_RECEIVED_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                    proxy=outbound_proxy(self._url),
                )
                try:
                    return socket, await self._enter(socket)
                except BaseException:
                    await socket.close()
                    raise
        except TimeoutError as error:
            raise RoomError("timeout", f"the room at {self._url} does not answer") from error
        except aiohttp.WSServerHandshakeError as error:
            message = f"{self._url} is no room: HTTP {error.status}"
            raise RoomError("refused", message) from error
        except InvalidProxyError as error:
            raise RoomError("unreachable", str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise RoomError(
                "unreachable", f"cannot reach the room at {self._url}: {error}"
            ) from error

    async def _enter(self, socket: aiohttp.ClientWebSocketResponse) -> Joined:
        await socket.send_str(serialize(self._join))
        while (frame := await self._read(socket)) is not None:
            if isinstance(frame, Joined):
                place = {"uid": frame.uid, "instance": frame.instance}
                secret = {"resume_secret": frame.resume_secret or None}
                self._join = self._join.model_copy(update=place | secret)
                return frame
            if isinstance(frame, ErrorFrame):
                raise RoomError(frame.code, f"the room refused: {frame.message}")
        raise RoomError("refused", "the room closed the connection before the join was complete")

    async def _run(self, socket: aiohttp.ClientWebSocketResponse | None) -> None:
        while socket is not None:
            try:
                is_over = await self._serve(socket)
            finally:
                await socket.close()
            if is_over:
                self._set_state(ConnectionState.FAILED)
                return
            self._set_state(ConnectionState.DISCONNECTED)
            socket = await self._reopen()
        self._set_state(ConnectionState.FAILED)

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Pass frames until the socket ends; True when the room wants us no more."""
        writer = self._tasks.start(self._write(socket), name="signaling writer")
        try:
            while (frame := await self._read(socket)) is not None:
                if isinstance(frame, ErrorFrame) and frame.code in _FINAL_CODES:
                    _log.warning("the room removed this member: %s", frame.message)
                    return True
                self._on_frame(frame)
            return False
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> ServerFrame | None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                frame = parse_server_frame(message.data)
            except SignalError as error:
                _log.warning("a frame of the room was ignored: %s", error.message)
                continue
            if frame is not None:
                return frame
            _log.debug("a frame of unknown type was ignored: %s", shorten(message.data))
        return None

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not socket.closed:
            while self._waiting:
                try:
                    await socket.send_str(serialize(self._waiting[0]))
                except (aiohttp.ClientError, ConnectionError) as error:
                    _log.debug("signaling socket lost while writing: %r", error)
                    return
                self._waiting.popleft()
            self._written.set()
            self._wake.clear()
            await self._wake.wait()

    async def _reopen(self) -> aiohttp.ClientWebSocketResponse | None:
        """A new socket into the room, or None when refused for good or out of time."""
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + GIVE_UP_AFTER_S
        attempt = 0
        while loop.time() < give_up_at_s:
            pause_s = _BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            attempt += 1
            try:
                socket, joined = await self._open(REJOIN_TIMEOUT_S)
            except RoomError as error:
                _log.info("not back in the room yet: %s", error)
                if error.code in _FINAL_CODES:
                    return None
                continue
            self._resume(joined)
            return socket
        return None

    def _resume(self, joined: Joined) -> None:
        if not joined.is_resumed:
            # To another room, as far as negotiations are concerned: they begin anew.
            kept = [f for f in self._waiting if not isinstance(f, Description | Candidate)]
            self._waiting = deque(kept)
        self._wake.set()
        self._set_state(ConnectionState.CONNECTED)
        self._on_frame(joined)
