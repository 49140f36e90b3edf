"""The embedded room server: signaling for all channels as routes of an aiohttp application.

The shell around `room.Room`: it owns sockets, deadlines and the map from members to outlets. It
carries no media.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from config import is_channel_name
from rtc.resume import ResumeSecrets
from rtc.room import Delivery, Member, Room
from rtc.room_call import CallRefusedError, answer_call, bearer_token, error_response
from rtc.room_socket import (
    CLOSE_CODES,
    CLOSE_JOIN_TIMEOUT,
    CLOSE_REPLACED,
    CLOSE_TIMEOUT_S,
    FrameReader,
    Outlet,
    SocketOutlet,
    error_frame,
)
from rtc.signals import (
    MAX_FRAME_BYTES,
    ClientFrame,
    ErrorFrame,
    FreshIceServers,
    Join,
    Joined,
    Leave,
    LeaveReason,
    MemberInfo,
    RelayedDescription,
    SignalError,
)
from rtc.tokens import RoomTokens, TokenError, UidClaim
from rtc.turn import IceServers
from utils import OwnedTasks, wall_clock_ms

MAX_ROOMS: Final = 1000
JOIN_TIMEOUT_S: Final = 10.0
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
        self._ice_servers = ice_servers or IceServers()
        self._options = options
        self._rooms: dict[str, Room] = {}
        self._outlets: dict[tuple[str, int], Outlet] = {}
        # Members whose socket broke and who may still come back, each with its deadline.
        self._absent: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._tasks = OwnedTasks(logger)
        self._writers: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._refresher: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        """Serve `/rooms/...` from `app` and close with it."""
        app.router.add_get("/rooms/{channel}/ws", self._handle_socket)
        app.router.add_post("/rooms/{channel}/call", self._handle_call)
        app.on_shutdown.append(self._handle_shutdown)

    def rooms(self) -> dict[str, list[MemberInfo]]:
        """Who is where now."""
        return {name: room.others(0) for name, room in self._rooms.items()}

    async def close(self) -> None:
        """Close every socket with 1001 and forget all rooms. Idempotent, bounded in time."""
        self._is_closed = True
        for timer in self._absent.values():
            timer.cancel()
        self._absent.clear()
        for outlet in list(self._outlets.values()):
            outlet.close(1001)
        # Writers say goodbye and end by their own deadline; nothing waits longer than that.
        if self._writers:
            await asyncio.wait(list(self._writers), timeout=CLOSE_TIMEOUT_S)
        await self._tasks.close()
        self._outlets.clear()
        self._rooms.clear()

    # -- decisions of the room, carried out -----------------------------------------------------

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
        room = self._rooms.get(channel)
        if room is None:
            if len(self._rooms) >= self._options.max_rooms or self._is_closed:
                raise SignalError("server_full", "the server has no place for a room", "join")
            room = Room(channel, resume_secrets=self._resume_secrets)
        outcome = room.join(wanted, claim=claim, via=via)
        self._rooms[channel] = room
        member = outcome.member
        old = self._take_outlet(channel, member.uid)
        self._deliver(channel, outcome.deliveries)
        self._outlets[channel, member.uid] = outlet
        outlet.deliver(self._welcome(room, member, is_resumed=outcome.is_resumed))
        if old is not None:
            self._hand_over(old, outlet, is_resumed=outcome.is_resumed)
        self._sweep(channel)
        self._start_refreshing()
        logger.info("room %s: %s %d joined", channel, member.role, member.uid)
        return member

    def _welcome(self, room: Room, member: Member, *, is_resumed: bool) -> Joined:
        return Joined(
            channel=room.channel,
            uid=member.uid,
            instance=member.instance,
            resume_secret=member.resume_secret,
            is_resumed=is_resumed,
            members=tuple(room.others(member.uid)),
            ice_servers=self._ice_servers.for_participant(member.uid),
            is_relay_only=self._ice_servers.is_relay_only,
        )

    def _start_refreshing(self) -> None:
        if self._ice_servers.turn_urls and self._refresher is None:
            self._refresher = self._tasks.start(self._refresh_credentials(), name="credentials")

    async def _refresh_credentials(self) -> None:
        """New ones for everybody while the last ones are still good, for connections to come."""
        while True:
            await asyncio.sleep(max(self._ice_servers.turn_ttl_s / 2, MIN_REFRESH_S))
            for (_, uid), outlet in list(self._outlets.items()):
                fresh = self._ice_servers.for_participant(uid)
                outlet.deliver(FreshIceServers(ice_servers=fresh))

    def _hand_over(self, old: Outlet, new: Outlet, *, is_resumed: bool) -> None:
        if is_resumed and isinstance(old, SocketOutlet):
            for frame in old.undelivered():
                new.deliver(frame)
        else:
            old.deliver(ErrorFrame(code="replaced", message="your uid joined anew elsewhere"))
        old.close(CLOSE_REPLACED)

    def leave(
        self, channel: str, uid: int, reason: LeaveReason, *, number: int | None = None
    ) -> None:
        """Take `uid` out and tell the others. Idempotent.

        number: of the stay that ends; whoever has the uid by then in another one is left alone.
        """
        room = self._rooms.get(channel)
        member = None if room is None else room.members.get(uid)
        if room is not None and member is not None and number in (None, member.number):
            logger.info("room %s: %d left (%s)", channel, uid, reason)
            self._deliver(channel, room.leave(uid, reason))
            self._sweep(channel)

    def first_agent(self, channel: str) -> Member | None:
        """The channel's oldest agent."""
        room = self._rooms.get(channel)
        return None if room is None else room.first_agent()

    def offer_to_agent(self, channel: str, caller: Member, sdp: str) -> None:
        """Pass the offer of a one-request `caller` to the agent that shall answer it."""
        assert caller.via is not None
        frame = RelayedDescription(
            sender=caller.uid, connection_id=secrets.token_hex(8), sdp_type="offer", sdp=sdp
        )
        self._deliver(channel, [Delivery(caller.via, frame)])

    def _handle_frame(self, channel: str, uid: int, frame: ClientFrame) -> None:
        deliveries = self._rooms[channel].handle(uid, frame, now_ms=wall_clock_ms())
        self._deliver(channel, deliveries)
        self._sweep(channel)

    def _deliver(self, channel: str, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if (outlet := self._outlets.get((channel, delivery.uid))) is not None:
                outlet.deliver(delivery.frame)

    def _sweep(self, channel: str) -> None:
        """Close the outlets of those who are no longer members; forget an empty room."""
        members = self._rooms[channel].members
        gone = [key for key in self._outlets if key[0] == channel and key[1] not in members]
        for _, uid in gone:
            if (outlet := self._take_outlet(channel, uid)) is not None:
                outlet.close(1000)
        if not members:
            del self._rooms[channel]

    def _take_outlet(self, channel: str, uid: int) -> Outlet | None:
        if (timer := self._absent.pop((channel, uid), None)) is not None:
            timer.cancel()
        return self._outlets.pop((channel, uid), None)

    def _lose(self, channel: str, member: Member, outlet: Outlet) -> None:
        """The socket of a member broke without `leave`: give it a moment to come back."""
        uid = member.uid
        if self._outlets.get((channel, uid)) is not outlet or self._is_closed:
            return
        leave = partial(self.leave, channel, uid, "vanished", number=member.number)
        loop = asyncio.get_running_loop()
        self._absent[channel, uid] = loop.call_later(self._options.resume_grace_s, leave)

    # -- routes ---------------------------------------------------------------------------------

    async def _handle_shutdown(self, _app: web.Application) -> None:
        await self.close()

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        if not is_channel_name(channel):
            return error_response(400, "invalid", "a channel is 1 to 64 of letters, digits, _-.")
        if not self._is_origin_allowed(request):
            return error_response(403, "foreign_origin", "pages of other sites may not connect")
        ws = web.WebSocketResponse(
            heartbeat=self._options.heartbeat_s, max_msg_size=MAX_FRAME_BYTES, compress=False
        )
        await ws.prepare(request)
        outlet = SocketOutlet(ws)
        writer = self._tasks.start(outlet.run(), name=f"room {channel} writer")
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)
        try:
            await self._converse(channel, ws, outlet, bearer_token(request))
        finally:
            outlet.close(1000)
            await asyncio.wait([writer])
        return ws

    async def _converse(
        self, channel: str, ws: web.WebSocketResponse, outlet: SocketOutlet, bearer: str | None
    ) -> None:
        reader = FrameReader(ws, on_error=lambda error: outlet.deliver(error_frame(error)))
        member = await self._admit(channel, reader, outlet, bearer)
        if member is None:
            return
        try:
            while (frame := await reader.next()) is not None:
                if self._outlets.get((channel, member.uid)) is not outlet:
                    return
                try:
                    self._handle_frame(channel, member.uid, frame)
                except SignalError as error:
                    outlet.deliver(error_frame(error))
                if isinstance(frame, Leave):
                    return
        finally:
            self._lose(channel, member, outlet)

    async def _admit(
        self, channel: str, reader: FrameReader, outlet: SocketOutlet, bearer: str | None
    ) -> Member | None:
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                while not isinstance(frame := await reader.next(), Join):
                    if frame is None:
                        return None
                    refusal = SignalError("not_joined", "the first frame is `join`", frame.type)
                    outlet.deliver(error_frame(refusal))
            wanted, claim = self.authorize(channel, frame, bearer)
            return self.join(channel, wanted, outlet, claim=claim)
        except TimeoutError:
            outlet.deliver(ErrorFrame(code="join_timeout", message="no `join` within 10 s"))
            outlet.close(CLOSE_JOIN_TIMEOUT)
        except SignalError as error:
            outlet.deliver(error_frame(error))
            outlet.close(CLOSE_CODES.get(error.code, 1008))
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

    def _is_origin_allowed(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is None or origin in self._options.allowed_origins:
            return True
        return urlsplit(origin).netloc.lower() == request.host.lower()

    async def _handle_call(self, request: web.Request) -> web.Response:
        try:
            return await answer_call(self, request)
        except CallRefusedError as error:
            return error_response(error.status, error.code, str(error))
