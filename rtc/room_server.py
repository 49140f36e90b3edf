"""The embedded room server: signaling for all channels as routes of an aiohttp application.

The shell around the rooms: it lets sockets and calls in, and reads what they send. It carries no
media.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from config import is_channel_name
from httpd.bodies import expect_continue
from httpd.errors import error_response
from httpd.origins import OriginCheck
from rtc.live_room import LiveRoom
from rtc.resume import ResumeSecrets
from rtc.room import Delivery, Member, Room
from rtc.room_call import CallRefusedError, answer_call, bearer_token
from rtc.room_entry import JOIN_TIMEOUT_S, PendingSockets, read_join
from rtc.room_socket import (
    CLOSE_CODES,
    CLOSE_JOIN_TIMEOUT,
    CLOSE_TIMEOUT_S,
    Complaints,
    FrameReader,
    Outlet,
    SocketOutlet,
    error_frame,
)
from rtc.signals import (
    MAX_FRAME_BYTES,
    ErrorFrame,
    Join,
    Leave,
    LeaveReason,
    MemberInfo,
    RelayedDescription,
    SignalError,
)
from rtc.tokens import RoomTokens, TokenError, UidClaim
from rtc.turn import IceServers
from utils import OwnedTasks

MAX_ROOMS: Final = 1000
MIN_REFRESH_S: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoomServerOptions:
    """Timing and limits. A vanished participant is noticed within 1.5 heartbeats plus the grace."""

    heartbeat_s: float = 4.0
    resume_grace_s: float = 3.0
    max_rooms: int = MAX_ROOMS
    allowed_origins: frozenset[str] = frozenset()
    are_users_free: bool = False
    """People need no token; agents do."""


class RoomServer:
    """All rooms of this server. `add_routes` once, `close` at the end (an app does it by itself)."""

    def __init__(
        self,
        secrets: Sequence[str] = (),
        ice_servers: IceServers | None = None,
        options: RoomServerOptions = RoomServerOptions(),
    ) -> None:
        self.tokens = RoomTokens(secrets, are_users_free=options.are_users_free)
        self._resume_secrets = ResumeSecrets(secrets)
        self._origins = OriginCheck(options.allowed_origins)
        self._ice_servers = ice_servers or IceServers()
        self._options = options
        self._rooms: dict[str, LiveRoom] = {}
        self._pending = PendingSockets()
        self._tasks = OwnedTasks(logger)
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
        """Who is where now."""
        return {name: live.room.others(0) for name, live in self._rooms.items()}

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
        outlet: Outlet,
        *,
        claim: UidClaim,
        via: int | None = None,
    ) -> Member:
        """Take a participant in; its frames go to `outlet`. Used by sockets and calls.

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
        member = live.join(wanted, outlet, claim=claim, via=via)
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
        """Take `uid` out, if it is there by the stay `number`, and tell the others. Idempotent."""
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
        outlet = SocketOutlet(ws)
        writer = self._tasks.start(outlet.run(), name=f"room {channel} writer")
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)
        try:
            await self._converse(channel, FrameReader(ws), outlet, bearer_token(request))
        finally:
            outlet.close(1000)
            await asyncio.wait([writer])
        return ws

    async def _converse(
        self, channel: str, reader: FrameReader, outlet: SocketOutlet, bearer: str | None
    ) -> None:
        member = await self._admit(channel, reader, outlet, bearer)
        if member is None:
            return
        live = self._rooms[channel]
        complaints = Complaints(outlet)
        try:
            while True:
                try:
                    frame = await reader.read()
                    if frame is None or not live.has(member, outlet):
                        return
                    live.handle_frame(member, frame)
                except SignalError as error:
                    complaints.tell(error)
                else:
                    if isinstance(frame, Leave):
                        return
        finally:
            live.lose(member, outlet)

    async def _admit(
        self, channel: str, reader: FrameReader, outlet: SocketOutlet, bearer: str | None
    ) -> Member | None:
        self._pending.add(outlet)
        try:
            if (frame := await read_join(reader, outlet)) is None:
                return None
            wanted, claim = self.authorize(channel, frame, bearer)
            return self.join(channel, wanted, outlet, claim=claim)
        except TimeoutError:
            text = f"no `join` within {JOIN_TIMEOUT_S:g} s"
            outlet.deliver(ErrorFrame(code="join_timeout", message=text))
            outlet.close(CLOSE_JOIN_TIMEOUT)
        except SignalError as error:
            outlet.deliver(error_frame(error))
            outlet.close(CLOSE_CODES.get(error.code, 1008))
        finally:
            self._pending.remove(outlet)
        return None

    def authorize(self, channel: str, wanted: Join, bearer: str | None) -> tuple[Join, UidClaim]:
        """`wanted` with the uid its token gives it, without the token; and its claim to that uid.

        Raises:
            SignalError: unauthorized, forbidden.
        """
        try:
            permit = self.tokens.verify(
                wanted.token or bearer, channel=channel, uid=wanted.uid, role=wanted.role
            )
        except TokenError as error:
            raise SignalError(error.code, error.message, "join") from error
        return wanted.model_copy(update={"uid": permit.uid, "token": None}), permit.claim

    async def _handle_call(self, request: web.Request) -> web.Response:
        try:
            return await answer_call(self, request)
        except CallRefusedError as error:
            return error_response(error.status, error.code, str(error))
