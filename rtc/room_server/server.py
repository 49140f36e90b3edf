"""The embedded room server: signaling for all channels as routes of an aiohttp application.

The shell around the rooms: it lets sockets and calls in, and reads what they send. It carries no
media.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from http_server.bodies import expect_continue
from http_server.errors import error_response
from http_server.origins import OriginCheck
from rtc.identifiers import is_channel_name
from rtc.room_server.http import CallRefusedError, bearer_token
from rtc.room_server.ice_servers import IceServers
from rtc.room_server.live_room import LiveRoom
from rtc.room_server.one_request_call import answer_call
from rtc.room_server.pending_sockets import JOIN_TIMEOUT_S, PendingSockets, read_join
from rtc.room_server.resume_secrets import ResumeSecrets
from rtc.room_server.room import Delivery, Member, Room
from rtc.room_server.socket import (
    CLOSE_CODES,
    CLOSE_JOIN_TIMEOUT,
    CLOSE_TIMEOUT_S,
    FrameReader,
    FrameSink,
    RefusalReporter,
    SocketSink,
    error_frame,
)
from rtc.room_server.tokens import Permit, RoomTokens, TokenError
from rtc.signaling.protocol import (
    MAX_FRAME_BYTES,
    ErrorFrame,
    Join,
    Leave,
    LeaveReason,
    MemberInfo,
    RelayedDescription,
    SignalError,
)
from utils import OwnedTasks

MAX_ROOMS: Final = 1000
MIN_REFRESH_S: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoomServerOptions:
    """Timing and limits. A vanished participant is noticed within 1.5 heartbeats plus the grace."""

    heartbeat_s: float = 4.0
    resume_grace_s: float = 3.0
    max_rooms: int = MAX_ROOMS
    allowed_origins: frozenset[str] = frozenset()
    are_users_free: bool = False
    """People need no token; agents do."""
    is_key_revoked: Callable[[str], bool] | None = None
    """Of the API key of this name: tokens that it made let nobody in any more."""


class RoomServer:
    """All rooms of this server. `add_routes` once, `close` at the end (an app does it by itself)."""

    def __init__(
        self,
        secrets: Sequence[str] = (),
        ice_servers: IceServers | None = None,
        options: RoomServerOptions = RoomServerOptions(),
    ) -> None:
        self.tokens = RoomTokens(
            secrets, are_users_free=options.are_users_free, is_key_revoked=options.is_key_revoked
        )
        self._resume_secrets = ResumeSecrets(secrets)
        self._origins = OriginCheck(options.allowed_origins)
        self._ice_servers = ice_servers or IceServers()
        self._options = options
        self._rooms: dict[str, LiveRoom] = {}
        self._pending = PendingSockets()
        self._tasks = OwnedTasks(_log)
        self._writers: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._refresher: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        """Serve `/rooms/...` from `app` and close with it."""
        app.router.add_get("/rooms/{channel}/ws", self._handle_socket)
        app.router.add_post(
            "/rooms/{channel}/call", self._handle_call, expect_handler=expect_continue
        )
        app.on_shutdown.append(self._handle_shutdown)

    def rooms(self) -> dict[str, list[MemberInfo]]:
        """Return the members of each room."""
        return {name: live.room.others(0) for name, live in self._rooms.items()}

    def team_of(self, channel: str) -> str | None:
        """Return the team whose members are in the channel's room; None: of no particular one."""
        live = self._rooms.get(channel)
        return None if live is None else live.room.team

    async def close(self) -> None:
        """Close every socket with 1001 and forget all rooms. Idempotent, bounded in time."""
        self._is_closed = True
        for live in self._rooms.values():
            live.close(1001)
        # Writers say goodbye and end by their own deadline; nothing waits longer than that.
        if self._writers:
            await asyncio.wait(list(self._writers), timeout=CLOSE_TIMEOUT_S)
        await self._tasks.close()
        self._rooms.clear()

    # -- rooms ----------------------------------------------------------------------------------

    def join(
        self,
        channel: str,
        wanted: Join,
        sink: FrameSink,
        *,
        permit: Permit,
        via: int | None = None,
    ) -> Member:
        """Take a participant in; its frames go to `sink`. Used by sockets and calls.

        Raises:
            SignalError: room_full, server_full, uid_taken, forbidden.
        """
        live = self._rooms.get(channel)
        if live is None:
            # Rooms of people alone do not keep out an agent that the server let start.
            is_let_in = wanted.role == "agent" and self.tokens.is_required("agent")
            is_full = len(self._rooms) >= self._options.max_rooms and not is_let_in
            if is_full or self._is_closed:
                raise SignalError("server_full", "the server has no place for a room", "join")
            live = self._create_room(channel)
        member = live.join(wanted, sink, permit=permit, via=via)
        self._rooms[channel] = live
        self._start_refreshing()
        return member

    def _create_room(self, channel: str) -> LiveRoom:
        def forget() -> None:
            self._rooms.pop(channel, None)

        return LiveRoom(
            Room(channel, resume_secrets=self._resume_secrets),
            self._ice_servers,
            resume_grace_s=self._options.resume_grace_s,
            on_empty=forget,
        )

    def leave(
        self, channel: str, uid: int, reason: LeaveReason, *, number: int | None = None
    ) -> None:
        """Remove `uid`, if its membership is `number`, and notify the others. Idempotent."""
        if (live := self._rooms.get(channel)) is not None:
            live.leave(uid, reason, number=number)

    def first_agent(self, channel: str) -> Member | None:
        """The channel's oldest agent."""
        live = self._rooms.get(channel)
        return None if live is None else live.room.first_agent()

    def offer_to_agent(self, channel: str, caller: Member, sdp: str) -> None:
        """Pass the offer of a one-request `caller` to the agent that shall answer it."""
        assert caller.via is not None
        frame = RelayedDescription(
            sender=caller.uid, connection_id=secrets.token_hex(8), sdp_type="offer", sdp=sdp
        )
        self._rooms[channel].deliver(Delivery(caller.via, frame))

    def _start_refreshing(self) -> None:
        if self._ice_servers.turn_urls and self._refresher is None:
            self._refresher = self._tasks.start(self._refresh_credentials(), name="credentials")

    async def _refresh_credentials(self) -> None:
        """New ones for everybody while the last ones are still good."""
        while True:
            await asyncio.sleep(max(self._ice_servers.turn_ttl_s / 2, MIN_REFRESH_S))
            for live in list(self._rooms.values()):
                live.refresh_credentials()

    # -- routes ---------------------------------------------------------------------------------

    async def _handle_shutdown(self, _app: web.Application) -> None:
        await self.close()

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        if not is_channel_name(channel):
            return error_response(400, "invalid", "a channel is 1 to 64 of letters, digits, _-.")
        # A page that was refused asks again without a socket, to learn why; browsers then name no
        # Origin to its own site.
        origin = request.headers.get("Origin", request.headers.get("X-Page-Origin"))
        refusal = self._origins.refusal(origin, request.host)
        if refusal is not None:
            return error_response(403, "foreign_origin", refusal)
        ws = web.WebSocketResponse(
            heartbeat=self._options.heartbeat_s, max_msg_size=MAX_FRAME_BYTES, compress=False
        )
        await ws.prepare(request)
        sink = SocketSink(ws)
        writer = self._tasks.start(sink.run(), name=f"room {channel} writer")
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)
        try:
            await self._converse(channel, FrameReader(ws), sink, bearer_token(request))
        finally:
            sink.close(1000)
            await asyncio.wait([writer])
        return ws

    async def _converse(
        self, channel: str, reader: FrameReader, sink: SocketSink, bearer: str | None
    ) -> None:
        member = await self._admit(channel, reader, sink, bearer)
        if member is None:
            return
        live = self._rooms[channel]
        refusals = RefusalReporter(sink)
        try:
            while True:
                try:
                    frame = await reader.read()
                    if frame is None or not live.has(member, sink):
                        return
                    live.handle_frame(member, frame)
                except SignalError as error:
                    refusals.tell(error)
                else:
                    if isinstance(frame, Leave):
                        return
        finally:
            live.lose(member, sink)

    async def _admit(
        self, channel: str, reader: FrameReader, sink: SocketSink, bearer: str | None
    ) -> Member | None:
        self._pending.add(sink)
        try:
            if (frame := await read_join(reader, sink)) is None:
                return None
            wanted, permit = self.authorize(channel, frame, bearer)
            return self.join(channel, wanted, sink, permit=permit)
        except TimeoutError:
            text = f"no `join` within {JOIN_TIMEOUT_S:g} s"
            sink.deliver(ErrorFrame(code="join_timeout", message=text))
            sink.close(CLOSE_JOIN_TIMEOUT)
        except SignalError as error:
            sink.deliver(error_frame(error))
            sink.close(CLOSE_CODES.get(error.code, 1008))
        finally:
            self._pending.remove(sink)
        return None

    def authorize(self, channel: str, wanted: Join, bearer: str | None) -> tuple[Join, Permit]:
        """`wanted` with the uid its token gives it, without the token; and what that permits.

        Raises:
            SignalError: unauthorized, forbidden.
        """
        live = self._rooms.get(channel)
        try:
            permit = self.tokens.verify(
                wanted.token or bearer,
                channel=channel,
                uid=wanted.uid,
                role=wanted.role,
                is_inside=live is not None and live.room.has_place_of(wanted),
            )
        except TokenError as error:
            raise SignalError(error.code, error.message, "join") from error
        return wanted.model_copy(update={"uid": permit.uid, "token": None}), permit

    async def _handle_call(self, request: web.Request) -> web.Response:
        try:
            return await answer_call(self, request)
        except CallRefusedError as error:
            return error_response(error.status, error.code, str(error))
