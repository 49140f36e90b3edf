"""One-request calls: `POST /rooms/{channel}/call` takes an offer, the channel's agent answers.

The caller has no signaling socket. It becomes a virtual member with `via` set to its agent, which
sees an ordinary newcomer and says `peer_closed` when the caller's peer connection ended.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from http_server.bodies import BodyError, read_body
from rtc.identifiers import is_channel_name
from rtc.room_server.http import CallRefusedError, bearer_token
from rtc.room_server.room import Member
from rtc.room_server.socket import CLOSE_REPLACED, FrameSink
from rtc.room_server.tokens import Permit
from rtc.signaling.protocol import (
    MAX_FRAME_BYTES,
    Join,
    LeaveReason,
    RelayedDescription,
    RelayedRefusal,
    SdpText,
    ServerFrame,
    SignalError,
    require_known_fields,
)
from rtc.signaling.sdp import check_description
from untrusted.json_reader import read_object
from untrusted.validation import first_validation_error

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


class Rooms(Protocol):
    """The part of the room server that a call without a signaling socket needs."""

    def authorize(self, channel: str, wanted: Join, bearer: str | None) -> tuple[Join, Permit]:
        """Check the token; return the join as it permits it. Raises SignalError."""

    def first_agent(self, channel: str) -> Member | None:
        """Return the agent that has been in the channel longest, if any."""

    def join(
        self,
        channel: str,
        wanted: Join,
        sink: FrameSink,
        *,
        permit: Permit,
        via: int | None = None,
    ) -> Member:
        """Add a member. Raises SignalError."""

    def leave(self, channel: str, uid: int, reason: LeaveReason, *, number: int) -> None:
        """Remove a member, if it is still the one of this number."""

    def offer_to_agent(self, channel: str, caller: Member, sdp: str) -> None:
        """Send the caller's offer to its agent."""


class CallOffer(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["offer"]
    sdp: SdpText


class AnswerSink:
    """Sink of a virtual member's frames: the first answer ends the wait, the rest is ignored."""

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
                409, "replaced", "the uid of this call has joined again elsewhere"
            )
        else:
            text = f"the agent left or refused the offer ({code})"
            refusal = CallRefusedError(502, "agent_failed", text)
        self.answer.set_exception(refusal)


async def answer_call(server: Rooms, request: web.Request) -> web.Response:
    """Let the channel's agent answer the offer in `request`.

    Raises:
        CallRefusedError: with the status of section 6 of the protocol.
    """
    channel = request.match_info["channel"]
    if not is_channel_name(channel):
        raise CallRefusedError(400, "invalid", "a channel is 1 to 64 of letters, digits, _-.")
    # Before the body is read: a refused request costs no more than a look at its token.
    wanted, permit = _authorize(server, channel, request)
    offer = await _read_offer(request)
    sink = AnswerSink()
    member = _join(server, channel, wanted, permit, sink)
    server.offer_to_agent(channel, member, offer.sdp)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            sdp = await sink.answer
    except TimeoutError as error:
        server.leave(channel, member.uid, "closed", number=member.number)
        raise CallRefusedError(504, "no_answer", "the agent did not answer in 10 s") from error
    except (CallRefusedError, asyncio.CancelledError):
        server.leave(channel, member.uid, "closed", number=member.number)
        raise
    return web.json_response({"type": "answer", "sdp": sdp, "uid": member.uid})


def _authorize(server: Rooms, channel: str, request: web.Request) -> tuple[Join, Permit]:
    wanted = Join(role="user", name="caller", instance=secrets.token_hex(8))
    try:
        return server.authorize(channel, wanted, bearer_token(request))
    except SignalError as error:
        raise CallRefusedError(_STATUS[error.code], error.code, error.message) from error


def _join(server: Rooms, channel: str, wanted: Join, permit: Permit, sink: AnswerSink) -> Member:
    agent = server.first_agent(channel)
    if agent is None:
        raise CallRefusedError(404, "no_agent", f"no agent is in the channel {channel}")
    try:
        return server.join(channel, wanted, sink, permit=permit, via=agent.uid)
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
        raise CallRefusedError(
            400, "invalid", first_validation_error(error, whole="offer")
        ) from error
    except ValueError as error:
        raise CallRefusedError(400, "invalid", str(error)) from error
