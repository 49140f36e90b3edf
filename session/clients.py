"""What people's programs ask of the agent. Every event is carried out or answered with an error."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from conversation import client_events as inbound
from conversation.client_events import InvalidClientEventError, parse_client_event
from realtime.events import AddImage, AddText, ClearAudio, CommitAudio, CreateResponse
from realtime.model import UnsupportedCommandError
from session.approvals import Approvals, Verdict
from session.context import SessionContext
from session.hearing import Hearing
from session.replies import Replies
from session.turn_timing import TurnTiming
from session.user_turns import UserTurns
from tools import ToolContext

_MAX_WAITING = 64
_MIN_ACTIVITY_MS = 100


class Clients:
    """Takes client events in order, off the media path."""

    def __init__(
        self,
        context: SessionContext,
        replies: Replies,
        user_turns: UserTurns,
        hearing: Hearing,
        tools: ToolContext,
        approvals: Approvals,
        timing: TurnTiming,
        on_end: Callable[[], None],
        on_life: Callable[[], None],
    ) -> None:
        """on_life: somebody sent something sound"""
        self._context = context
        self._replies = replies
        self._user_turns = user_turns
        self._hearing = hearing
        self._tools = tools
        self._approvals = approvals
        self._timing = timing
        self._on_end = on_end
        self._on_life = on_life
        # Control frames are refused, not dropped, when somebody floods us.
        self._waiting: asyncio.Queue[tuple[str, int]] = asyncio.Queue(_MAX_WAITING)
        self._handlers: dict[type, Callable[[Any, int], Awaitable[None]]] = {
            inbound.ClientTextAppend: self._handle_text,
            inbound.ClientImageAppend: self._handle_image,
            inbound.ClientResponseCreate: self._handle_response_create,
            inbound.ClientResponseCancel: self._handle_response_cancel,
            inbound.ClientAudioCommit: self._handle_audio_commit,
            inbound.ClientActivityStart: self._handle_activity_start,
            inbound.ClientActivityEnd: self._handle_activity_end,
            inbound.ClientToolResult: self._handle_tool_result,
            inbound.ClientToolApproval: self._handle_tool_approval,
            inbound.ClientSessionEnd: self._handle_session_end,
        }

    def handle_message(self, text: str, uid: int) -> None:
        """A data channel message of a participant; returns at once."""
        try:
            self._waiting.put_nowait((text, uid))
        except asyncio.QueueFull:
            self._context.publisher.refuse(uid, "too_many_events", "slow down and send it again")

    async def run(self) -> None:
        """Carry out events until cancelled."""
        while True:
            text, uid = await self._waiting.get()
            await self._handle(text, uid)

    async def _handle(self, text: str, uid: int) -> None:
        refuse = self._context.publisher.refuse
        try:
            event = parse_client_event(text)
            self._on_life()
            if (handler := self._handlers.get(type(event))) is None:
                refuse(uid, "unsupported_event", f"{event.type} is not for a data channel")
            else:
                await handler(event, uid)
        except InvalidClientEventError as error:
            refuse(uid, "invalid_event", str(error))
        except UnsupportedCommandError as error:
            refuse(uid, "unsupported_by_model", str(error))
        except _RefusedError as error:
            refuse(uid, error.code, str(error))

    async def _handle_text(self, event: inbound.ClientTextAppend, uid: int) -> None:
        await self._user_turns.interrupt()
        self._timing.handle_written()
        item_id = f"item_{uuid.uuid4().hex[:24]}"
        await self._context.model.send(AddText(event.text, item_id=item_id))
        await self._replies.note_user_words(item_id, event.text, uid=uid)
        await self._context.model.send(CreateResponse())

    async def _handle_image(self, event: inbound.ClientImageAppend, _uid: int) -> None:
        try:
            data = base64.b64decode(event.image, validate=True)
        except binascii.Error as error:
            raise _RefusedError("invalid_event", f"image: not base64 ({error})") from error
        await self._context.model.send(AddImage(data, event.format.type))

    async def _handle_response_create(
        self, _event: inbound.ClientResponseCreate, _uid: int
    ) -> None:
        await self._context.model.send(CreateResponse())

    async def _handle_response_cancel(
        self, _event: inbound.ClientResponseCancel, _uid: int
    ) -> None:
        await self._user_turns.interrupt()

    async def _handle_audio_commit(self, _event: inbound.ClientAudioCommit, _uid: int) -> None:
        await self._context.model.send(CommitAudio())

    async def _handle_activity_start(self, _event: inbound.ClientActivityStart, uid: int) -> None:
        if not self._hearing.is_manual:
            raise _RefusedError("turn_detection_is_on", "start the agent with turn_detection none")
        await self._user_turns.interrupt()
        self._context.turns.speech_started()
        if not self._hearing.is_anybody_active:
            # What is left of a turn that was given up must not become part of this one.
            await self._context.model.send(ClearAudio())
        self._hearing.start_activity(uid)

    async def _handle_activity_end(self, _event: inbound.ClientActivityEnd, uid: int) -> None:
        if not self._hearing.end_activity(uid):
            raise _RefusedError("no_activity", "send client_activity_start first")
        if self._hearing.is_anybody_active:
            return
        self._context.turns.speech_stopped()
        if self._hearing.activity_ms < _MIN_ACTIVITY_MS:
            text = f"nothing was heard: speak for at least {_MIN_ACTIVITY_MS} ms"
            raise _RefusedError("activity_too_short", text)
        self._timing.handle_ended_by_hand()
        await self._context.model.send(CommitAudio())
        await self._context.model.send(CreateResponse())

    async def _handle_tool_result(self, event: inbound.ClientToolResult, _uid: int) -> None:
        output = event.output if isinstance(event.output, str) else json.dumps(event.output)
        if not self._tools.resolve_client_call(event.id, output):
            raise _RefusedError("unknown_call", f"no call {event.id} waits for a result")

    async def _handle_tool_approval(self, event: inbound.ClientToolApproval, _uid: int) -> None:
        verdict = Verdict(event.approve, event.reason)
        if not self._approvals.answer(event.id, verdict, is_for_all=event.always):
            raise _RefusedError("unknown_call", f"no call {event.id} waits for approval")

    async def _handle_session_end(self, _event: inbound.ClientSessionEnd, _uid: int) -> None:
        self._on_end()


class _RefusedError(Exception):
    """A valid event that cannot be carried out now."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
