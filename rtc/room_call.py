"""One-request calls: `POST /rooms/{channel}/call` takes an offer, the channel's agent answers.

The caller has no signaling socket. It becomes a virtual member with `via` set to its agent, which
sees an ordinary newcomer and says `peer_closed` when the caller's peer connection ended.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from config import is_channel_name
from httpd.bodies import BodyError, read_body
from json_reader import read_object
from rtc.room import Member
from rtc.room_socket import CLOSE_REPLACED
from rtc.sdp import check_description
from rtc.signals import (
    MAX_FRAME_BYTES,
    Join,
    RelayedDescription,
    RelayedRefusal,
    SdpText,
    ServerFrame,
    SignalError,
    describe_validation,
    require_known_fields,
)
from rtc.tokens import UidClaim

if TYPE_CHECKING:
    from rtc.room_server import RoomServer

ANSWER_TIMEOUT_S: Final = 10.0
OFFER_TIMEOUT_S: Final = 10.0
_REFUSAL_STATUS: Final = {"invalid": 400, "too_many_offers": 429}
_STATUS: Final = {
    "unauthorized": 401,
    "forbidden": 403,
    "uid_taken": 409,
    "room_full": 429,
    "server_full": 429,
}


class CallOffer(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["offer"]
    sdp: SdpText


class CallRefusedError(Exception):
    """A call that got no answer, with its HTTP status and code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class CallOutlet:
    """Where a virtual member's frames go: the first answer ends the wait, the rest is ignored."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def deliver(self, frame: ServerFrame, _text: str | None = None) -> None:
        """Take the agent's answer, or why there is none."""
        if isinstance(frame, RelayedRefusal) and not self.answer.done():
            status = _REFUSAL_STATUS.get(frame.code, 502)
            code = frame.code if status != 502 else "agent_failed"
            self.answer.set_exception(CallRefusedError(status, code, frame.message))
            return
        is_answer = isinstance(frame, RelayedDescription) and frame.sdp_type == "answer"
        if is_answer and not self.answer.done():
            assert isinstance(frame, RelayedDescription)
            self.answer.set_result(frame.sdp)

    def close(self, code: int) -> None:
        """The member is gone before it had an answer: its uid joined anew, or the agent failed."""
        if self.answer.done():
            return
        if code == CLOSE_REPLACED:
            refusal = CallRefusedError(
                409, "replaced", "the uid of this call joined anew elsewhere"
            )
        else:
            text = f"the agent left or refused the offer ({code})"
            refusal = CallRefusedError(502, "agent_failed", text)
        self.answer.set_exception(refusal)


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`, if any."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def answer_call(server: RoomServer, request: web.Request) -> web.Response:
    """Let the channel's agent answer the offer in `request`.

    Raises:
        CallRefusedError: with the status of section 6 of the protocol.
    """
    channel = request.match_info["channel"]
    if not is_channel_name(channel):
        raise CallRefusedError(400, "invalid", "a channel is 1 to 64 of letters, digits, _-.")
    # Before the body is read: whoever is not let in costs no more than a look at its token.
    wanted, claim = _authorize(server, channel, request)
    offer = await _read_offer(request)
    outlet = CallOutlet()
    member = _join(server, channel, wanted, claim, outlet)
    server.offer_to_agent(channel, member, offer.sdp)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            sdp = await outlet.answer
    except TimeoutError as error:
        server.leave(channel, member.uid, "closed", number=member.number)
        raise CallRefusedError(504, "no_answer", "the agent did not answer in 10 s") from error
    except (CallRefusedError, asyncio.CancelledError):
        server.leave(channel, member.uid, "closed", number=member.number)
        raise
    return web.json_response({"type": "answer", "sdp": sdp, "uid": member.uid})


def _authorize(server: RoomServer, channel: str, request: web.Request) -> tuple[Join, UidClaim]:
    wanted = Join(role="user", name="caller", instance=secrets.token_hex(8))
    try:
        return server.authorize(channel, wanted, bearer_token(request))
    except SignalError as error:
        raise CallRefusedError(_STATUS[error.code], error.code, error.message) from error


def _join(
    server: RoomServer, channel: str, wanted: Join, claim: UidClaim, outlet: CallOutlet
) -> Member:
    agent = server.first_agent(channel)
    if agent is None:
        raise CallRefusedError(404, "no_agent", f"no agent is in the channel {channel}")
    try:
        return server.join(channel, wanted, outlet, claim=claim, via=agent.uid)
    except SignalError as error:
        raise CallRefusedError(_STATUS[error.code], error.code, error.message) from error


async def _read_offer(request: web.Request) -> CallOffer:
    try:
        body = await read_body(request, max_bytes=MAX_FRAME_BYTES, timeout_s=OFFER_TIMEOUT_S)
    except BodyError as error:
        raise CallRefusedError(error.status, error.code, str(error)) from error
    offer = _parse_offer(body)
    try:
        check_description(offer.sdp)
    except ValueError as error:
        raise CallRefusedError(400, "invalid", f"sdp: {error}") from error
    return offer


def _parse_offer(body: bytes) -> CallOffer:
    try:
        data = read_object(body)
        require_known_fields(data, CallOffer)
        return CallOffer.model_validate(data)
    except ValidationError as error:
        raise CallRefusedError(400, "invalid", describe_validation(error)) from error
    except ValueError as error:
        raise CallRefusedError(400, "invalid", str(error)) from error
