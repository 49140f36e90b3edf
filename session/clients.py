"""What people's programs and the agent's owner ask of it: carried out in order, or refused."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from boundary import InputKind, is_own_end
from conversation import client_events as inbound
from conversation.client_events import InvalidClientEventError, parse_client_event
from conversation.live_commands import (
    CommandRefusedError,
    CommandResult,
    LiveCommand,
    Mute,
    Say,
    Update,
)
from json_reader import read_base64
from realtime.events import AddImage, AddText, ClearAudio, CommitAudio, CreateResponse
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from rtc.errors import RoomError
from rtc.options import ChatMessage
from session.approvals import Approvals, Verdict
from session.context import SessionContext
from session.event_pace import EventPace
from session.hearing import Hearing
from session.owner import Owner
from session.playout import PlayoutWatch
from session.replies import Replies
from session.tool_sharing import ToolSharing
from session.turn_timing import TurnTiming
from session.user_turns import UserTurns
from tools import ToolContext

_MAX_WAITING = 256
_MAX_WAITING_EACH = 64
"""Of what waits, so that nobody's flood has others refused; the owner's orders have as many again."""
_MIN_ACTIVITY_MS = 100
_INTERNAL = "internal_error"
_INTERNAL_TEXT = "it failed here in a way that nobody foresaw; the call goes on"

_Handler = Callable[[Any, Any], Awaitable[CommandResult | None]]


@dataclass(frozen=True, slots=True)
class _Message:
    """A participant's data channel message."""

    text: str
    uid: int


@dataclass(frozen=True, slots=True)
class _Chat:
    """What somebody wrote in the room."""

    text: str
    uid: int


@dataclass(frozen=True, slots=True)
class _Order:
    """The owner's command, and where its answer goes."""

    command: LiveCommand
    answer: asyncio.Future[CommandResult] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def refuse(self, error: CommandRefusedError) -> None:
        """Answer with `error`, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Clients:
    """Takes client events and the owner's commands in order, off the media path."""

    def __init__(
        self,
        context: SessionContext,
        replies: Replies,
        user_turns: UserTurns,
        hearing: Hearing,
        playout: PlayoutWatch,
        tools: ToolContext,
        approvals: Approvals,
        sharing: ToolSharing,
        timing: TurnTiming,
        owner: Owner,
        on_end: Callable[[], None],
        on_life: Callable[[], None],
        on_written: Callable[[], None],
    ) -> None:
        """
        on_life: somebody sent something sound
        on_written: the owner passed on what somebody outside the room wrote
        """
        self._context = context
        self._replies = replies
        self._user_turns = user_turns
        self._hearing = hearing
        self._playout = playout
        self._tools = tools
        self._approvals = approvals
        self._sharing = sharing
        self._timing = timing
        self._on_end = on_end
        self._on_life = on_life
        self._on_written = on_written
        # Control frames are refused, not dropped, when somebody floods us.
        self._waiting: asyncio.Queue[_Message | _Chat | _Order] = asyncio.Queue()
        # By uid; those of the owner under None.
        self._waiting_of: Counter[int | None] = Counter()
        self._pace = EventPace()
        self._is_closed = False
        self._owners_handlers: dict[type, Callable[[Any], Awaitable[CommandResult]]] = {
            Say: owner.say,
            Mute: owner.mute,
            Update: owner.update,
        }
        self._handlers = self._client_handlers()

    def _client_handlers(self) -> dict[type, _Handler]:
        return {
            inbound.ClientTextAppend: self._handle_text,
            inbound.ClientImageAppend: self._handle_image,
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
        """A data channel message of a participant; returns at once."""
        self._take(_Message(text, uid))

    def handle_chat(self, message: ChatMessage, uid: int) -> None:
        """Something written in the room; what agents write there are their transcripts."""
        user = self._context.channel.remote_users.get(uid)
        if user is not None and user.role == "user" and message.text.strip():
            self._take(_Chat(message.text, uid))

    def _take(self, message: _Message | _Chat) -> None:
        now_s, uid = time.monotonic(), message.uid
        if self._pace.allow(uid, now_s=now_s) and self._has_room_for(uid):
            self._enqueue(message, uid)
        elif self._pace.should_answer(uid, now_s=now_s):
            self._context.publisher.refuse(uid, "too_many_events", "slow down and send it again")

    def _has_room_for(self, uid: int | None) -> bool:
        of_people = self._waiting_of.total() - self._waiting_of[None]
        is_full = uid is not None and of_people >= _MAX_WAITING
        return not is_full and self._waiting_of[uid] < _MAX_WAITING_EACH

    def _enqueue(self, waiting: _Message | _Chat | _Order, uid: int | None) -> None:
        self._waiting_of[uid] += 1
        self._waiting.put_nowait(waiting)

    def _dequeue(self, waiting: _Message | _Chat | _Order) -> None:
        uid = None if isinstance(waiting, _Order) else waiting.uid
        self._waiting_of[uid] -= 1
        if not self._waiting_of[uid]:
            del self._waiting_of[uid]

    def refuse_message(self, reason: str, uid: int) -> None:
        """What came over a participant's data channel was no event: binary, or too long."""
        now_s = time.monotonic()
        if self._pace.allow(uid, now_s=now_s) or self._pace.should_answer(uid, now_s=now_s):
            self._context.publisher.refuse(uid, "invalid_event", reason)

    async def obey(self, command: LiveCommand) -> CommandResult:
        """Carry out what the agent's owner asks, after all that was asked before.

        Raises:
            CommandRefusedError: nothing was done.
        """
        order = _Order(command)
        if self._is_closed:
            raise _leaving()
        if not self._has_room_for(None):
            raise CommandRefusedError("too_many_events", "slow down and send it again")
        self._enqueue(order, None)
        return await order.answer

    async def run(self) -> None:
        """Carry out events and commands until cancelled."""
        while True:
            waiting = await self._waiting.get()
            self._dequeue(waiting)
            match waiting:
                case _Message() as message:
                    await self._handle(message)
                case _Chat() as chat:
                    await self._handle_chat(chat)
                case _Order() as order:
                    await self._carry_out(order)

    def close(self) -> None:
        """Refuse what still waits, and whatever comes. Idempotent."""
        self._is_closed = True
        while not self._waiting.empty():
            if isinstance(waiting := self._waiting.get_nowait(), _Order):
                waiting.refuse(_leaving())

    async def _handle(self, message: _Message) -> None:
        with self._context.boundary.guard(InputKind.CLIENT_EVENT, "event") as attempt:
            try:
                event = parse_client_event(message.text)
            except InvalidClientEventError as error:
                self._context.publisher.refuse(message.uid, "invalid_event", str(error))
                return
            attempt.what = event.type
            # Pages report their playout by themselves: that tells of no person.
            if not isinstance(event, inbound.ClientPlayoutReport):
                self._on_life()
            handler = self._handlers.get(type(event), _refuse)
            await self._answered(handler(event, message.uid), message.uid)
        if attempt.failure is not None:
            self._context.publisher.refuse(message.uid, _INTERNAL, _INTERNAL_TEXT)

    async def _handle_chat(self, chat: _Chat) -> None:
        with self._context.boundary.guard(InputKind.CHAT, "message") as attempt:
            if len(chat.text) > inbound.MAX_TEXT_CHARACTERS:
                text = f"a message has at most {inbound.MAX_TEXT_CHARACTERS} characters"
                self._context.publisher.refuse(chat.uid, "invalid_event", text)
                return
            self._on_life()
            event = inbound.ClientTextAppend(text=chat.text)
            await self._answered(self._handle_text(event, chat.uid, is_posted=True), chat.uid)
        if attempt.failure is not None:
            self._context.publisher.refuse(chat.uid, _INTERNAL, _INTERNAL_TEXT)

    async def _answered(self, work: Awaitable[CommandResult | None], uid: int) -> None:
        """Carry `work` out, or tell its sender why not."""
        try:
            await _translated(work)
        except CommandRefusedError as error:
            self._context.publisher.refuse(uid, error.code, str(error))

    async def _carry_out(self, order: _Order) -> None:
        with self._context.boundary.guard(InputKind.COMMAND, order.command.type) as attempt:
            try:
                result = await _translated(self._obey(order.command))
            except CommandRefusedError as error:
                order.refuse(error)
            except asyncio.CancelledError as error:
                if is_own_end(error):
                    order.refuse(_leaving())
                raise
            else:
                if not order.answer.done():
                    order.answer.set_result(result or CommandResult())
        if attempt.failure is not None:
            order.refuse(CommandRefusedError(_INTERNAL, _INTERNAL_TEXT))

    async def _obey(self, command: LiveCommand) -> CommandResult | None:
        if (handler := self._owners_handlers.get(type(command))) is not None:
            return await handler(command)
        self._on_life()
        if isinstance(command, inbound.ClientTextAppend):
            self._on_written()
        return await self._handlers[type(command)](command, None)

    async def _handle_text(
        self, event: inbound.ClientTextAppend, uid: int | None, *, is_posted: bool = False
    ) -> CommandResult:
        await self._user_turns.interrupt()
        self._timing.handle_written()
        item_id = f"item_{uuid.uuid4().hex[:24]}"
        await self._context.model.send(AddText(event.text, item_id=item_id))
        await self._replies.note_user_words(item_id, event.text, uid=uid, is_posted=is_posted)
        await self._context.model.send(CreateResponse())
        return CommandResult(item_id=item_id)

    async def _handle_image(self, event: inbound.ClientImageAppend, _uid: int) -> None:
        try:
            data = read_base64(event.image)
        except ValueError as error:
            raise CommandRefusedError("invalid_event", f"image: {error}") from error
        if not data:
            raise CommandRefusedError("invalid_event", "image: empty")
        await self._context.model.send(AddImage(data, event.format.type))

    async def _handle_response_create(
        self, _event: inbound.ClientResponseCreate, _uid: int
    ) -> None:
        await self._context.model.send(CreateResponse())

    async def _handle_response_cancel(
        self, _event: inbound.ClientResponseCancel, _uid: int | None
    ) -> CommandResult:
        was_speaking = self._replies.is_playing
        await self._user_turns.interrupt()
        return CommandResult(was_speaking=was_speaking)

    async def _handle_audio_commit(self, _event: inbound.ClientAudioCommit, _uid: int) -> None:
        await self._context.model.send(CommitAudio())

    async def _handle_activity_start(self, _event: inbound.ClientActivityStart, uid: int) -> None:
        if not self._hearing.is_manual:
            raise CommandRefusedError(
                "turn_detection_is_on", "start the agent with turn_detection none"
            )
        await self._user_turns.interrupt()
        self._context.turns.speech_started()
        if not self._hearing.is_anybody_active:
            # What is left of a turn that was given up must not become part of this one.
            await self._context.model.send(ClearAudio())
        self._hearing.start_activity(uid)

    async def _handle_activity_end(self, _event: inbound.ClientActivityEnd, uid: int) -> None:
        if not self._hearing.end_activity(uid):
            raise CommandRefusedError("no_activity", "send client_activity_start first")
        if self._hearing.is_anybody_active:
            return
        self._context.turns.speech_stopped()
        if self._hearing.activity_ms < _MIN_ACTIVITY_MS:
            text = f"nothing was heard: speak for at least {_MIN_ACTIVITY_MS} ms"
            raise CommandRefusedError("activity_too_short", text)
        self._timing.handle_ended_by_hand()
        await self._context.model.send(CommitAudio())
        await self._context.model.send(CreateResponse())

    async def _handle_playout_report(self, event: inbound.ClientPlayoutReport, uid: int) -> None:
        self._playout.handle_report(event, uid)

    async def _handle_tool_result(self, event: inbound.ClientToolResult, uid: int | None) -> None:
        self._sharing.require_answerer(uid)
        output = event.output if isinstance(event.output, str) else json.dumps(event.output)
        if not self._tools.resolve_client_call(event.id, output):
            raise CommandRefusedError("unknown_call", f"no call {event.id} waits for a result")

    async def _handle_tool_approval(
        self, event: inbound.ClientToolApproval, uid: int | None
    ) -> None:
        self._sharing.require_approver(uid)
        verdict = Verdict(event.approve, event.reason)
        if not self._approvals.answer(event.id, verdict, is_for_all=event.always):
            raise CommandRefusedError("unknown_call", f"no call {event.id} waits for approval")

    async def _handle_session_end(self, _event: inbound.ClientSessionEnd, _uid: int) -> None:
        self._on_end()


async def _refuse(event: inbound.ClientEvent, _uid: int) -> None:
    text = f"{event.type} is not for a data channel"
    raise CommandRefusedError("unsupported_event", text)


async def _translated(work: Awaitable[CommandResult | None]) -> CommandResult | None:
    """`work`, with what the model refuses in our own words."""
    try:
        return await work
    except UnsupportedCommandError as error:
        raise CommandRefusedError("unsupported_by_model", str(error)) from error
    except ModelDisconnectedError as error:
        raise CommandRefusedError("model_gone", "the model is gone: the agent ends") from error
    except RoomError as error:
        raise CommandRefusedError("not_ready", "the agent is not in the room") from error


def _leaving() -> CommandRefusedError:
    return CommandRefusedError("not_ready", "the agent is leaving")
