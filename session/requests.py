"""Requests of clients and of the API: executed in order, or refused with an answer."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from conversation.events import client_events as inbound
from conversation.events.client_events import InvalidClientEventError, parse_client_event
from conversation.events.commands import (
    CommandRefusedError,
    CommandResult,
    LiveCommand,
    Mute,
    Say,
    Update,
)
from line.errors import LineError
from line.participants import ChatMessage
from realtime.events import AddText, ClearAudio, CommitAudio
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.approvals import Verdict
from session.chat_room import require_member
from session.context import SessionContext
from session.event_rate import EventRate
from session.image_input import ImageInput
from session.parts import SessionParts
from session.turn_gate import UserTurn
from untrusted.boundary import InputKind, is_own_end
from utils import BacklogWarning

# Of all participants together.
_MAX_WAITING = 256
_MAX_WAITING_EACH = 64
"""Of all waiting requests, so that the flood of one sender never has others refused. API commands
have as many on top."""
_MAX_WAITING_CHARACTERS = 4 * 1024 * 1024
"""Of all waiting requests of one sender: two of the largest images."""
_MANY_WAITING = 64
# Providers refuse to commit less audio than this.
_MIN_ACTIVITY_MS = 100
# Pages report their playout and share a camera on their own: that is no sign of an active user.
_SENT_BY_PAGES = (
    inbound.ClientPlayoutReport,
    inbound.ClientImageAppend,
    inbound.ClientImageChunk,
)
_INTERNAL = "internal_error"
_INTERNAL_TEXT = "an unexpected failure in the agent; the call goes on"

_Handler = Callable[[Any, Any], Awaitable[CommandResult | None]]


@dataclass(frozen=True, slots=True)
class _Message:
    """A participant's data channel message."""

    text: str
    uid: int


@dataclass(frozen=True, slots=True)
class _Chat:
    """A chat message of a participant."""

    text: str
    uid: int


@dataclass(frozen=True, slots=True)
class _Command:
    """An API command, or a participant's event whose sender waits, and its pending answer."""

    command: LiveCommand | inbound.ClientEvent
    uid: int | None
    answer: asyncio.Future[CommandResult] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def refuse(self, error: CommandRefusedError) -> None:
        """Answer with `error`, unless the caller no longer waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


class RequestQueue:
    """Executes client events and API commands in order, off the media path."""

    def __init__(
        self,
        context: SessionContext,
        parts: SessionParts,
        *,
        on_client_end: Callable[[], None],
        on_written: Callable[[], None],
    ) -> None:
        """
        on_client_end: called when a client asks for the end of the call
        on_written: called for each text that the API passes to the agent
        """
        self._context = context
        self._parts = parts
        self._on_client_end = on_client_end
        self._on_written = on_written
        # Unbounded by itself: `_has_room_for` refuses with an answer, nothing is dropped silently.
        self._waiting: asyncio.Queue[_Message | _Chat | _Command] = asyncio.Queue()
        self._backlog = BacklogWarning(context.log, "of client requests", _MANY_WAITING)
        # By uid; those of the API under None.
        self._waiting_of: Counter[int | None] = Counter()
        self._waiting_characters: Counter[int | None] = Counter()
        self._rate = EventRate()
        self._images = ImageInput(context)
        self._is_closed = False
        commands = parts.api_commands
        self._command_handlers: dict[type, Callable[[Any], Awaitable[CommandResult]]] = {
            Say: commands.say,
            Mute: commands.mute,
            Update: commands.update,
        }
        self._handlers = self._client_handlers()

    def _client_handlers(self) -> dict[type, _Handler]:
        return {
            inbound.ClientTextAppend: self._handle_text,
            inbound.ClientImageAppend: self._images.handle_image,
            inbound.ClientImageChunk: self._images.handle_chunk,
            inbound.ClientResponseCreate: self._handle_response_create,
            inbound.ClientResponseCancel: self._handle_response_cancel,
            inbound.ClientAudioCommit: self._handle_audio_commit,
            inbound.ClientActivityStart: self._handle_activity_start,
            inbound.ClientActivityEnd: self._handle_activity_end,
            inbound.ClientPlayoutReport: self._handle_playout_report,
            inbound.ClientToolResult: self._handle_tool_result,
            inbound.ClientToolApproval: self._handle_tool_approval,
            inbound.ClientSessionEnd: self._handle_session_end,
        }

    def handle_message(self, text: str, uid: int) -> None:
        """Accept a participant's data channel message; returns at once."""
        self._accept(_Message(text, uid))

    def handle_chat(self, message: ChatMessage, uid: int) -> None:
        """Accept a chat message of a user; those of agents are their own transcripts."""
        user = self._context.line.remote_users.get(uid)
        if user is not None and user.role == "user" and message.text.strip():
            self._accept(_Chat(message.text, uid))

    def _accept(self, message: _Message | _Chat) -> None:
        now_s, uid = time.monotonic(), message.uid
        if self._rate.allow(uid, now_s=now_s) and self._has_room_for(message, uid):
            self._enqueue(message, uid)
        elif self._rate.should_answer(uid, now_s=now_s):
            self._context.publisher.refuse(uid, "too_many_events", "slow down and send it again")

    def _has_room_for(self, wanted: _Message | _Chat | _Command, uid: int | None) -> bool:
        of_people = self._waiting_of.total() - self._waiting_of[None]
        is_full = uid is not None and of_people >= _MAX_WAITING
        characters = self._waiting_characters[uid] + _characters_of(wanted)
        return (
            not is_full
            and self._waiting_of[uid] < _MAX_WAITING_EACH
            and characters <= _MAX_WAITING_CHARACTERS
        )

    def _enqueue(self, waiting: _Message | _Chat | _Command, uid: int | None) -> None:
        self._waiting_of[uid] += 1
        self._waiting_characters[uid] += _characters_of(waiting)
        self._waiting.put_nowait(waiting)
        self._backlog.observe(self._waiting.qsize())

    def _dequeue(self, waiting: _Message | _Chat | _Command) -> None:
        uid = None if isinstance(waiting, _Command) else waiting.uid
        self._waiting_of[uid] -= 1
        self._waiting_characters[uid] -= _characters_of(waiting)
        if not self._waiting_of[uid]:
            del self._waiting_of[uid]
            del self._waiting_characters[uid]

    def refuse_message(self, reason: str, uid: int) -> None:
        """Refuse a data channel message that cannot be an event: binary, or too long."""
        now_s = time.monotonic()
        if self._rate.allow(uid, now_s=now_s) or self._rate.should_answer(uid, now_s=now_s):
            self._context.publisher.refuse(uid, "invalid_event", reason)

    def handle_left(self, uid: int) -> None:
        """Forget what a participant that has left did not complete."""
        self._images.handle_left(uid)

    async def execute(
        self, command: LiveCommand | inbound.ClientEvent, *, uid: int | None = None
    ) -> CommandResult:
        """Execute a command after all requests before it.

        uid: of the participant whose event it is; None: it is the API's

        Raises:
            CommandRefusedError: nothing was done.
        """
        request = _Command(command, uid)
        if self._is_closed:
            raise _leaving()
        if not self._has_room_for(request, None):
            raise CommandRefusedError("too_many_events", "slow down and send it again")
        self._enqueue(request, None)
        return await request.answer

    async def run(self) -> None:
        """Execute requests until cancelled."""
        while True:
            waiting = await self._waiting.get()
            self._dequeue(waiting)
            match waiting:
                case _Message() as message:
                    await self._handle(message)
                case _Chat() as chat:
                    await self._handle_chat(chat)
                case _Command() as request:
                    await self._run_command(request)

    def close(self) -> None:
        """Refuse all waiting and later requests. Idempotent."""
        self._is_closed = True
        while not self._waiting.empty():
            if isinstance(waiting := self._waiting.get_nowait(), _Command):
                waiting.refuse(_leaving())

    async def _handle(self, message: _Message) -> None:
        with self._context.boundary.guard(InputKind.CLIENT_EVENT, "event") as attempt:
            try:
                event = parse_client_event(message.text)
            except InvalidClientEventError as error:
                self._context.publisher.refuse(message.uid, "invalid_event", str(error))
                return
            attempt.what = event.type
            if not isinstance(event, _SENT_BY_PAGES):
                self._parts.limit_enforcer.note_user()
            handler = self._handlers.get(type(event), _refuse)
            await self._run_or_refuse(handler(event, message.uid), message.uid)
        if attempt.failure is not None:
            self._context.publisher.refuse(message.uid, _INTERNAL, _INTERNAL_TEXT)

    async def _handle_chat(self, chat: _Chat) -> None:
        with self._context.boundary.guard(InputKind.CHAT, "message") as attempt:
            if len(chat.text) > inbound.MAX_TEXT_CHARACTERS:
                text = f"a message has at most {inbound.MAX_TEXT_CHARACTERS} characters"
                self._context.publisher.refuse(chat.uid, "invalid_event", text)
                return
            self._parts.limit_enforcer.note_user()
            event = inbound.ClientTextAppend(text=chat.text)
            await self._run_or_refuse(self._handle_text(event, chat.uid, is_posted=True), chat.uid)
        if attempt.failure is not None:
            self._context.publisher.refuse(chat.uid, _INTERNAL, _INTERNAL_TEXT)

    async def _run_or_refuse(self, work: Awaitable[CommandResult | None], uid: int) -> None:
        """Run `work`; send its sender the reason if it is refused."""
        try:
            await _with_refusals(work)
        except CommandRefusedError as error:
            self._context.publisher.refuse(uid, error.code, str(error))

    async def _run_command(self, request: _Command) -> None:
        with self._context.boundary.guard(InputKind.COMMAND, request.command.type) as attempt:
            try:
                result = await _with_refusals(self._execute(request))
            except CommandRefusedError as error:
                request.refuse(error)
            except asyncio.CancelledError as error:
                if is_own_end(error):
                    request.refuse(_leaving())
                raise
            else:
                if not request.answer.done():
                    request.answer.set_result(result or CommandResult())
        if attempt.failure is not None:
            request.refuse(CommandRefusedError(_INTERNAL, _INTERNAL_TEXT))

    async def _execute(self, request: _Command) -> CommandResult | None:
        command = request.command
        if (handler := self._command_handlers.get(type(command))) is not None:
            return await handler(command)
        self._parts.limit_enforcer.note_user()
        if isinstance(command, inbound.ClientTextAppend):
            self._on_written()
        return await self._handlers.get(type(command), _refuse)(command, request.uid)

    async def _handle_text(
        self, event: inbound.ClientTextAppend, uid: int | None, *, is_posted: bool = False
    ) -> CommandResult:
        if event.agent:
            require_member(self._context.model, event.agent)
        await self._parts.turn_handler.interrupt()
        self._parts.turn_metrics.handle_written()
        item_id = await self.add_text(event.text, uid, is_posted=is_posted)
        await self._request_reply(event.agent)
        return CommandResult(item_id=item_id)

    async def add_text(self, text: str, uid: int | None, *, is_posted: bool = False) -> str:
        """Add a written message of a user to the conversation; return its item id."""
        item_id = f"item_{uuid.uuid4().hex[:24]}"

        async def add(text: str) -> None:
            await self._context.model.send(AddText(text, item_id=item_id))
            await self._parts.reply_output.note_user_words(
                item_id, text, uid=uid, is_posted=is_posted
            )
            if self._parts.chat_room is not None:
                self._parts.chat_room.note_written(uid, text)

        gate = self._parts.turn_handler.gate
        if gate is None or not gate.is_needed:
            await add(text)
        else:
            gate.take(UserTurn(item_id, text, uid, add))
        return item_id

    async def _request_reply(self, agent: str) -> None:
        """Ask for a reply; of several agents the one that is named, else the moderator's choice."""
        if agent:
            await require_member(self._context.model, agent).speak(agent)
        else:
            await self._parts.turn_handler.request_reply()

    async def _handle_response_create(self, event: inbound.ClientResponseCreate, _uid: int) -> None:
        await self._request_reply(event.agent)

    async def _handle_response_cancel(
        self, event: inbound.ClientResponseCancel, _uid: int | None
    ) -> CommandResult:
        was_speaking = self._parts.reply_output.is_playing
        await self._parts.turn_handler.interrupt(event.scope, is_forced=event.force_response_cancel)
        return CommandResult(was_speaking=was_speaking)

    async def _handle_audio_commit(self, _event: inbound.ClientAudioCommit, _uid: int) -> None:
        await self._context.model.send(CommitAudio())

    async def _handle_activity_start(self, _event: inbound.ClientActivityStart, uid: int) -> None:
        if not self._parts.audio_input.is_manual:
            raise CommandRefusedError(
                "turn_detection_is_on", "start the agent with turn_detection none"
            )
        await self._parts.turn_handler.interrupt()
        self._context.turns.speech_started()
        if not self._parts.audio_input.is_any_active:
            # The rest of an abandoned turn must not become part of this one.
            await self._context.model.send(ClearAudio())
        self._parts.audio_input.start_activity(uid)

    async def _handle_activity_end(self, _event: inbound.ClientActivityEnd, uid: int) -> None:
        if not self._parts.audio_input.end_activity(uid):
            raise CommandRefusedError("no_activity", "send client_activity_start first")
        if self._parts.audio_input.is_any_active:
            return
        self._context.turns.speech_stopped()
        if self._parts.audio_input.activity_ms < _MIN_ACTIVITY_MS:
            text = f"nothing was heard: speak for at least {_MIN_ACTIVITY_MS} ms"
            raise CommandRefusedError("activity_too_short", text)
        self._parts.turn_metrics.handle_ended_by_hand()
        if (gate := self._parts.turn_handler.gate) is not None:
            gate.expect_commit()
        await self._context.model.send(CommitAudio())
        await self._parts.turn_handler.request_reply()

    async def _handle_playout_report(self, event: inbound.ClientPlayoutReport, uid: int) -> None:
        self._parts.playout_tracking.handle_report(event, uid)

    async def _handle_tool_result(self, event: inbound.ClientToolResult, uid: int | None) -> None:
        self._parts.tool_permissions.require_answerer(uid)
        output = event.output if isinstance(event.output, str) else json.dumps(event.output)
        if not self._parts.tools.resolve_client_call(
            event.id, output, start_response=event.start_response
        ):
            raise CommandRefusedError("unknown_call", f"no call {event.id} waits for a result")

    async def _handle_tool_approval(
        self, event: inbound.ClientToolApproval, uid: int | None
    ) -> None:
        self._parts.tool_permissions.require_approver(uid)
        verdict = Verdict(event.approve, event.reason)
        if not self._parts.approvals.answer(event.id, verdict, is_for_all=event.always):
            raise CommandRefusedError("unknown_call", f"no call {event.id} waits for approval")

    async def _handle_session_end(self, _event: inbound.ClientSessionEnd, _uid: int) -> None:
        self._on_client_end()


def _characters_of(waiting: _Message | _Chat | _Command) -> int:
    """Size of a request, as far as it may be large."""
    match waiting:
        case _Command(command=inbound.ClientImageAppend(image=image)):
            return len(image)
        case _Command():
            return 0
        case _:
            return len(waiting.text)


async def _refuse(event: inbound.ClientEvent, _uid: int | None) -> None:
    text = f"{event.type} is not for a data channel"
    raise CommandRefusedError("unsupported_event", text)


async def _with_refusals(work: Awaitable[CommandResult | None]) -> CommandResult | None:
    """Run `work`, with errors of model and room translated to refusals."""
    try:
        return await work
    except UnsupportedCommandError as error:
        raise CommandRefusedError("unsupported_by_model", str(error)) from error
    except ModelDisconnectedError as error:
        raise CommandRefusedError("model_gone", "the model is gone: the agent ends") from error
    except LineError as error:
        raise CommandRefusedError("not_ready", "the agent is not in the room") from error


def _leaving() -> CommandRefusedError:
    return CommandRefusedError("not_ready", "the agent is leaving")
