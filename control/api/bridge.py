"""`GET /ws/...`: clients without WebRTC. Lets a connection in, and hands its socket to the agent's process.

Audio never passes through this process: what is read here is the request and the first message.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import ValidationError

from bridge.adoption import Adoption
from bridge.closes import NORMAL, close_code_of
from bridge.dialect import Dialect, DialectError, Opening, Resumption
from bridge.dialects import DIALECTS, ROUTES, SUBPROTOCOLS
from bridge.handshake import NO_OFFER, HandshakeError, Offer, read_offer
from control.api.agents import AgentsApi
from control.api.bridge_access import START_FIELDS_OF_TOKENS, BridgeAccess, Rights, SessionSecrets
from control.api.bridge_wishes import granted
from control.api.schemas import StartAgentRequest
from control.http.audit import AUDITED
from control.http.auth import ACCESS
from control.http.errors import ApiError, failure_of, placement_failure
from control.http.upgraded import ClientGoneError, HandedOn, UpgradedSocket
from control.keys.access import Access
from control.placement import AlreadyRunningError, NotRunningError, Placement, PlacementError
from control.store.errors import ArchiveError
from conversation.events.commands import CommandRefusedError
from conversation.lifecycle import AgentStartError, ExitReason
from http_server.origins import OriginCheck
from rtc.identifiers import is_channel_name
from untrusted.validation import first_validation_error

FIRST_MESSAGE_TIMEOUT_S: Final = 10.0
MAX_PENDING: Final = 200
"""Connections before their first message; of more, the one that waited longest goes."""

_log = logging.getLogger("control.bridge")


class _RefusedError(Exception):
    """A connection that is let in by HTTP and refused by WebSocket."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class _Seat:
    """The place of a connection in a call. is_started: the call began with this connection."""

    channel: str
    call_id: str
    session_id: str
    uid: int
    may_replace: bool
    last_seq: int | None = None
    is_started: bool = False


class BridgeApi:
    """Handler of the bridge's routes."""

    def __init__(
        self, placement: Placement, agents: AgentsApi, access: BridgeAccess, origins: OriginCheck
    ) -> None:
        self._placement = placement
        self._agents = agents
        self._access = access
        self._origins = origins
        self._secrets = SessionSecrets()
        # Connections before their first message, the oldest first, with what ends their wait.
        self._pending: dict[UpgradedSocket, asyncio.Timeout] = {}

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /ws/{channel}, GET /ws/{user_id}/{session_id}, GET /v1/graph/live"""
        # A page cannot read why its socket was refused: it asks again with a plain request.
        origin = request.headers.get(hdrs.ORIGIN, request.headers.get("X-Page-Origin"))
        refusal = self._origins.refusal(origin, request.host)
        if refusal is not None:
            raise ApiError(403, "foreign_origin", refusal)
        if hdrs.UPGRADE not in request.headers:
            _channel_of(request, self._access.of(request, NO_OFFER))
        offer = _offer_of(request)
        access = self._access.of(request, offer)
        request[ACCESS] = access.access
        channel = _channel_of(request, access)
        subprotocol = offer.choose(SUBPROTOCOLS)
        dialect_name = _dialect_of(request, subprotocol)
        upgraded = UpgradedSocket(request)
        upgraded.accept(offer.accept(subprotocol))
        try:
            seat = await self._welcome(upgraded, request, dialect_name, access, channel)
            _record(request, seat, access)
        except ClientGoneError:
            _log.debug("a client of the bridge left before it was let in")
            await upgraded.refuse([], NORMAL, "")
        return HandedOn()

    async def _welcome(
        self,
        upgraded: UpgradedSocket,
        request: web.Request,
        dialect_name: str,
        access: Rights,
        channel: str | None,
    ) -> _Seat | None:
        dialect = DIALECTS[dialect_name]()
        route = dict(request.match_info)
        try:
            opening = await self._open(upgraded, dialect, route)
            seat = await self._seat(opening, access, channel)
            await self._hand_on(upgraded, dialect_name, route, seat)
        except _RefusedError as error:
            code = close_code_of(error.code, dialect.close_codes)
            await upgraded.refuse(dialect.refuse(error.code, str(error)), code, error.code)
            return None
        return seat

    # -- the first message -----------------------------------------------------------------------

    async def _open(
        self, upgraded: UpgradedSocket, dialect: Dialect, route: dict[str, str]
    ) -> Opening:
        try:
            return dialect.open(await self._first_message(upgraded), route)
        except TimeoutError:
            text = f"no first message within {FIRST_MESSAGE_TIMEOUT_S:g} s, or too many others wait"
            raise _RefusedError("first_message_timeout", text) from None
        except DialectError as error:
            raise _RefusedError(error.code, error.message) from error

    async def _first_message(self, upgraded: UpgradedSocket) -> str | bytes:
        if len(self._pending) >= MAX_PENDING:
            oldest = next(iter(self._pending))
            self._pending.pop(oldest).reschedule(0)
        try:
            async with asyncio.timeout(FIRST_MESSAGE_TIMEOUT_S) as self._pending[upgraded]:
                return await upgraded.first_message()
        finally:
            self._pending.pop(upgraded, None)

    # -- the call --------------------------------------------------------------------------------

    async def _seat(self, opening: Opening, access: Rights, channel: str | None) -> _Seat:
        """Find or start the call."""
        try:
            named = access.channel(channel or opening.channel_name) or opening.fresh_channel
            channel = _named_channel(named)
            if opening.resumption is not None:
                return self._resumed_seat(opening.resumption, channel, access.access)
            uid, may_replace = access.uid(opening.uid)
            call_id, is_started = await self._call_of(channel, opening, access)
        except (ApiError, ArchiveError, PlacementError, AgentStartError) as error:
            failure = failure_of(error)
            raise _RefusedError(failure.code, str(failure)) from error
        session_id = f"session-{secrets.token_hex(8)}"
        return _Seat(channel, call_id, session_id, uid, may_replace, is_started=is_started)

    def _resumed_seat(self, resumption: Resumption, channel: str, access: Access) -> _Seat:
        call_id = self._running_call(channel, access)
        session_id = resumption.session_id
        uid = None
        if call_id is not None:
            uid = self._secrets.uid_of(resumption.secret, call_id, session_id)
        if call_id is None or uid is None:
            text = "no such session: its call is over, or the secret is another one"
            raise ApiError(404, "session_gone", text)
        return _Seat(
            channel, call_id, session_id, uid, may_replace=True, last_seq=resumption.last_seq
        )

    def _running_call(self, channel: str, access: Access) -> str | None:
        """Return the id of the channel's present call."""
        try:
            status = self._agents.seen_by(access).status(channel)
        except NotRunningError:
            return None
        return status.agent_id if status.is_live else None

    async def _call_of(self, channel: str, opening: Opening, access: Rights) -> tuple[str, bool]:
        """Return the id of the channel's call, and whether it was started for this connection."""
        if (call_id := self._running_call(channel, access.access)) is not None:
            return call_id, False
        wishes = granted(opening.wishes, access, self._agents.find_model)
        wanted = _start_of(channel, opening, access, wishes)
        try:
            return (await self._agents.start(wanted, access.access)).agent_id, True
        except AlreadyRunningError:
            # Another connection was quicker.
            if (call_id := self._running_call(channel, access.access)) is None:
                raise
            return call_id, False

    # -- handing on ------------------------------------------------------------------------------

    async def _hand_on(
        self, upgraded: UpgradedSocket, dialect_name: str, route: dict[str, str], seat: _Seat
    ) -> None:
        try:
            descriptor = upgraded.stop_reading()
            adoption = Adoption(
                dialect=dialect_name,
                route=route,
                received=base64.b64encode(upgraded.received),
                session_id=seat.session_id,
                secret=self._secrets.make(seat.call_id, seat.session_id, seat.uid),
                uid=seat.uid,
                may_replace=seat.may_replace,
                last_seq=seat.last_seq,
            )
            await self._placement.adopt(seat.channel, descriptor, adoption)
        except CommandRefusedError as error:
            raise _RefusedError(error.code, str(error)) from error
        except PlacementError as error:
            failure = placement_failure(error)
            raise _RefusedError(failure.code, str(failure)) from error
        except ClientGoneError:
            if seat.is_started:
                await self._placement.stop(seat.channel, ExitReason.USER_LEFT)
            raise
        upgraded.hand_on()


def _record(request: web.Request, seat: _Seat | None, access: Rights) -> None:
    """Add the connection to the audit log; 403 stands for what was refused by WebSocket."""
    if (audited := request.get(AUDITED)) is None:
        return
    audited.access = access.access
    if seat is None:
        audited.record(403)
        return
    audited.channel_name, audited.call_id = seat.channel, seat.call_id
    if seat.is_started:
        audited.action = "start_agent"
    audited.record(101)


def _offer_of(request: web.Request) -> Offer:
    protocols = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    try:
        return read_offer(request.headers, protocols)
    except HandshakeError as error:
        code = "invalid_request" if error.status == 400 else "upgrade_required"
        raise ApiError(error.status, code, str(error)) from error


def _channel_of(request: web.Request, access: Rights) -> str | None:
    """Return the channel in the address, which the token must be for."""
    channel = request.match_info.get("channel")
    if channel is not None and not is_channel_name(channel):
        raise ApiError(400, "invalid_request", "a channel is 1 to 64 of letters, digits, _-.")
    return access.channel(channel)


def _named_channel(channel: str | None) -> str:
    if channel is None or not is_channel_name(channel):
        raise ApiError(400, "invalid_config", "no channel: name one of letters, digits, _-.")
    return channel


def _dialect_of(request: web.Request, subprotocol: str | None) -> str:
    resource = request.match_info.route.resource
    by_route = ROUTES["" if resource is None else resource.canonical]
    return by_route if subprotocol is None else SUBPROTOCOLS.get(subprotocol, by_route)


def _start_of(
    channel: str, opening: Opening, access: Rights, wishes: dict[str, Any]
) -> StartAgentRequest:
    """Check the start that a first message asks for.

    Raises:
        ApiError: it may not, or its fields are invalid.
    """
    if not access.may_start:
        text = "no agent is in this channel, and starting one needs an API key or a token for that"
        raise ApiError(403, "forbidden", text)
    fields = dict(opening.start)
    if not access.is_owner and (excess := sorted(set(fields) - START_FIELDS_OF_TOKENS)):
        allowed = ", ".join(sorted(START_FIELDS_OF_TOKENS))
        raise ApiError(403, "forbidden", f"{excess[0]}: with a token a start may set {allowed}")
    try:
        return StartAgentRequest.model_validate(wishes | fields | {"channel_name": channel})
    except ValidationError as error:
        text = f"config: {first_validation_error(error)}"
        raise ApiError(400, "invalid_config", text) from error
