"""A line joined to a model: assembles the parts of one conversation and dispatches events to
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from audio import PcmDump
from conversation.events import server_events as out
from conversation.history import History
from conversation.lifecycle import ExitReason
from conversation.turn_taking.speakers import Speakers, VoiceChange
from realtime import events as model
from realtime.events import ConnectionStatus, ModelEvent
from realtime.group.model import GroupModel
from realtime.model import ModelDisconnectedError
from session.api_commands import ApiCommands
from session.approvals import Approvals
from session.audio_input import AudioInput
from session.call_sounds import CallSounds
from session.chat_room import ChatRoom, Moderator
from session.context import Handlers, SessionContext
from session.dispatch import Stage, handlers_by_event
from session.event_forwarder import EventForwarder
from session.goodbye import Goodbye
from session.guardrail_enforcer import GuardrailEnforcer
from session.idle_prompter import IdlePrompter
from session.limit_enforcer import LimitEnforcer
from session.parts import SessionParts
from session.playout_tracking import PlayoutTracking
from session.reply_guardrails import ReplyGuardrails
from session.reply_output import ReplyOutput
from session.requests import RequestQueue
from session.side_replies import SideReplies
from session.speaker_notes import SpeakerNotes
from session.talk_metrics import TalkMetrics
from session.tool_permissions import ToolPermissions
from session.tool_runner import ToolRunner
from session.turn_gate import TurnGate
from session.turn_handler import TurnHandler
from session.turn_metrics import TurnMetrics
from session.turn_policy import TurnPolicy
from session.vitals_reporter import VitalsReporter
from session.voice_output import VoiceOutput
from tools import ToolContext
from untrusted.boundary import InputKind

IGNORED_EVENTS = frozenset(
    {
        model.SessionOpened,  # `connect` returned already
        model.ItemTruncated,
        model.GenerationDone,
        model.RateLimitsUpdated,
    }
)
"""Model events without a reaction in the session."""

_PUBLISHED_STATUSES = frozenset(
    {ConnectionStatus.OPEN, ConnectionStatus.RECONNECTING, ConnectionStatus.CLOSED}
)


class Session:
    """One conversation: pumps between line and model, and dispatches events to its parts.

    context: what its parts share
    handlers: by class of model event, in the order in which they run
    """

    def __init__(
        self,
        context: SessionContext,
        tools: ToolContext,
        *,
        on_model_gone: Callable[[], None],
        on_client_end: Callable[[], None],
        on_written: Callable[[], None],
        on_limit: Callable[[ExitReason], None],
        moderator: Moderator | None = None,
    ) -> None:
        """
        on_model_gone: called when no model session can be had any longer
        on_client_end: called when a client asks for the end of the call
        on_written: called for each text that the API passes to the agent
        on_limit: called once, when the call has reached a limit
        moderator: an owner's, which decides which of several agents speaks next
        """
        self.context = self._context = context
        self._on_model_gone = on_model_gone
        # `agent_connection_changed` reports a recovery only after a loss.
        self._was_model_lost = False
        self._dumps = [_open_dump(context, "heard"), _open_dump(context, "said")]
        self.parts = self._create_parts(tools, on_limit, moderator)
        self.requests = RequestQueue(
            context, self.parts, on_client_end=on_client_end, on_written=on_written
        )
        room = self.parts.chat_room
        self.handlers = handlers_by_event(
            [
                (Stage.CONNECTION, self._connection_handlers()),
                (Stage.FORWARDING, self.parts.event_forwarder.handlers()),
                (Stage.GUARDRAIL, self.parts.guardrail_enforcer.handlers()),
                (Stage.OWNER, self._owner_handlers()),
                (Stage.REPLY, self.parts.reply_output.handlers()),
                (Stage.CHAT_ROOM_INPUT, {} if room is None else room.input_handlers()),
                (Stage.SPEAKER_NOTES, self.parts.speaker_notes.handlers()),
                (Stage.TURN, self.parts.turn_handler.handlers()),
                (Stage.CHAT_ROOM, {} if room is None else room.handlers()),
                (Stage.TOOLS, self.parts.tool_runner.handlers()),
                (Stage.VITALS, self.parts.vitals_reporter.handlers()),
                (Stage.METRICS, self.parts.turn_metrics.handlers()),
                (Stage.LIMITS, self.parts.limit_enforcer.handlers()),
                (Stage.IDLE_PROMPTS, self.parts.idle_prompter.handlers()),
                (Stage.SOUNDS, self.parts.call_sounds.handlers()),
                (Stage.GOODBYE, self.parts.goodbye.handlers()),
            ]
        )
        self._listen_to_line()

    def _create_parts(
        self,
        tools: ToolContext,
        on_limit: Callable[[ExitReason], None],
        moderator: Moderator | None,
    ) -> SessionParts:
        context = self._context
        policy = TurnPolicy.of(context.config, context.model.capabilities)
        speakers = Speakers()
        permissions = ToolPermissions(context.config, context.line.remote_users, context.publisher)
        approvals = Approvals(permissions, timeout_s=tools.approval_timeout_s)
        input_dump, output_dump = self._dumps
        voice = VoiceOutput(context)
        reply_output = ReplyOutput(
            context,
            output_dump,
            policy,
            voice=voice,
            on_interrupt=self._handle_interrupt,
            is_beside=self._is_beside,
        )
        turn_handler = TurnHandler(context, reply_output, speakers, policy)
        limit_enforcer = LimitEnforcer(context, reply_output, on_limit=on_limit)
        owner = context.owner
        if owner is not None:
            turn_handler.gate = TurnGate(context, owner, reply_output=reply_output, policy=policy)
        audio_input = AudioInput(
            context, input_dump, speakers, policy=policy, on_voice=self._handle_voice
        )
        tool_runner = ToolRunner(context, tools=tools, approvals=approvals, permissions=permissions)
        side_replies = SideReplies(context, voice=voice, on_usage=limit_enforcer.handle_reply)
        goodbye = Goodbye(
            context,
            reply_output=reply_output,
            turn_handler=turn_handler,
            audio_input=audio_input,
        )
        call_sounds = CallSounds(
            context,
            side_replies,
            is_working=lambda: tool_runner.is_busy and not approvals.is_waiting,
            is_reply_due=lambda: getattr(context.model, "is_reply_due", False),
            is_anyone_speaking=lambda: speakers.is_any_speaking,
        )
        idle_prompter = limit_enforcer.prompter = IdlePrompter(
            context,
            policy,
            is_busy=lambda: (
                tool_runner.is_busy
                or audio_input.is_deaf
                or goodbye.is_begun
                or call_sounds.is_sounding
            ),
            play=call_sounds.play_once,
            on_end=on_limit,
        )
        return SessionParts(
            tools=tools,
            tool_permissions=permissions,
            approvals=approvals,
            tool_runner=tool_runner,
            reply_output=reply_output,
            side_replies=side_replies,
            playout_tracking=PlayoutTracking(context),
            event_forwarder=EventForwarder(context),
            guardrail_enforcer=GuardrailEnforcer(context, reply_output),
            reply_guardrails=(
                None if owner is None else ReplyGuardrails(context, owner, reply_output)
            ),
            turn_handler=turn_handler,
            turn_metrics=TurnMetrics(context, speakers),
            talk_metrics=TalkMetrics(context, speakers, is_playing=lambda: reply_output.is_playing),
            audio_input=audio_input,
            vitals_reporter=VitalsReporter(context.line, policy, context.boundary),
            limit_enforcer=limit_enforcer,
            idle_prompter=idle_prompter,
            call_sounds=call_sounds,
            goodbye=goodbye,
            api_commands=ApiCommands(
                context,
                reply_output=reply_output,
                turn_handler=turn_handler,
                tools=tools,
                policy=policy,
            ),
            speaker_notes=SpeakerNotes(context, policy, speaker_of=turn_handler.speaker_of),
            chat_room=self._create_chat_room(reply_output, turn_handler, moderator),
        )

    def _create_chat_room(
        self, reply_output: ReplyOutput, turn_handler: TurnHandler, moderator: Moderator | None
    ) -> ChatRoom | None:
        context = self._context
        if (
            not isinstance(context.model, GroupModel)
            or (wanted := context.config.chat_room) is None
        ):
            return None
        return ChatRoom(
            context,
            context.model,
            reply_output,
            rule=wanted.moderator,
            moderator=moderator,
            max_agent_turns=wanted.max_agent_turns,
            speaker_of=turn_handler.speaker_of,
        )

    def _owner_handlers(self) -> Handlers:
        checks = self.parts.reply_guardrails
        return {} if checks is None else checks.handlers()

    def _connection_handlers(self) -> Handlers:
        return {
            model.SessionUpdated: self._handle_session_updated,
            model.SessionEnded: self._handle_session_ended,
            model.ConnectionChanged: self._handle_connection_changed,
            model.ProviderError: self._handle_provider_error,
        }

    def _listen_to_line(self) -> None:
        parts, requests = self.parts, self.requests
        self._listen(InputKind.CLIENT_EVENT, "event", requests.handle_message)
        self._listen(InputKind.CLIENT_EVENT, "event_refused", requests.refuse_message)
        if self._context.config.reads_chat:
            self._listen(InputKind.CHAT, "message", requests.handle_chat)
        for listener in (
            parts.reply_output.handle_playout_started,
            parts.playout_tracking.handle_playout_started,
            parts.vitals_reporter.handle_reply,
            parts.turn_metrics.handle_playout_started,
            parts.talk_metrics.handle_playout_started,
        ):
            self._listen(InputKind.ROOM_EVENT, "playout_started", listener)
        playout_ends: list[Callable[..., object]] = [
            parts.reply_output.handle_playout_done,
            parts.vitals_reporter.handle_reply,
        ]
        if parts.chat_room is not None:
            playout_ends.append(parts.chat_room.handle_playout_done)
        for end_listener in playout_ends:
            self._listen(InputKind.ROOM_EVENT, "playout_done", end_listener)
        self._listen(
            InputKind.ROOM_EVENT,
            "user_left",
            lambda user, _reason: parts.playout_tracking.handle_left(user.uid),
        )
        self._listen(
            InputKind.ROOM_EVENT,
            "user_left",
            lambda user, _reason: requests.handle_left(user.uid),
        )

    def _listen(self, kind: InputKind, name: str, listener: Callable[..., object]) -> None:
        self._context.line.on(name, self._context.boundary.wrap(kind, name, listener))

    def _handle_voice(self, change: VoiceChange) -> None:
        with self._context.boundary.guard(InputKind.ROOM_EVENT, "voice"):
            self.parts.turn_handler.handle_voice(change)
            self.parts.turn_metrics.handle_voice(change)
            self.parts.talk_metrics.handle_voice(change)
            self.parts.call_sounds.handle_voice(change)

    def _is_beside(self, response_id: str) -> bool:
        return self.parts.side_replies.is_spoken(response_id)

    async def _handle_interrupt(self) -> None:
        self.parts.playout_tracking.handle_interrupted()
        self.parts.call_sounds.handle_interrupt()
        await self.parts.side_replies.handle_interrupt()
        await self.parts.tool_runner.handle_interrupt()
        if self.parts.chat_room is not None:
            await self.parts.chat_room.handle_interrupt()

    @property
    def history(self) -> History:
        """The conversation as it was heard."""
        return self._context.history

    async def run(self) -> None:
        """Pump until cancelled. A failure within the boundary costs one input, never the call."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump_model_events(), name="model events")
            group.create_task(self.requests.run(), name="client events")
            group.create_task(self.parts.turn_handler.run(), name="user turns")
            group.create_task(self.parts.limit_enforcer.run(), name="limits")
            group.create_task(self.parts.idle_prompter.run(), name="idle prompts")
            group.create_task(self.parts.playout_tracking.run(), name="playout")

    async def _pump_model_events(self) -> None:
        async for event in self._context.model.events():
            await self._dispatch(event)

    async def _dispatch(self, event: ModelEvent) -> None:
        """Run the handlers of an event; one that fails does not stop the others."""
        is_of_side_reply = False
        with self._guard(event):
            is_of_side_reply = await self.parts.side_replies.handle(event)
        if is_of_side_reply:
            return
        for handler in self.handlers.get(type(event), ()):
            with self._guard(event):
                await handler(event)

    def _guard(self, event: ModelEvent) -> AbstractContextManager[object]:
        return self._context.boundary.guard(
            InputKind.PROVIDER_EVENT,
            type(event).__name__,
            # `SessionEnded` follows with the reason.
            expected=(ModelDisconnectedError,),
        )

    async def _handle_session_updated(self, event: model.SessionUpdated) -> None:
        self._context.publisher.publish(out.ServerSessionUpdated, session_id=event.session_id)

    async def _handle_connection_changed(self, event: model.ConnectionChanged) -> None:
        self._context.log.info("model connection: %s %s", event.status, event.reason)
        # `agent_ready` reports the first session.
        is_first = event.status is ConnectionStatus.OPEN and not self._was_model_lost
        if event.status in _PUBLISHED_STATUSES and not is_first:
            self._was_model_lost = event.status is not ConnectionStatus.OPEN
            self._context.publisher.publish(out.AgentConnectionChanged, status=event.status.value)

    async def _handle_session_ended(self, event: model.SessionEnded) -> None:
        self._context.log.warning("the model session ended: %s", event.reason)
        self.parts.side_replies.close()
        self._on_model_gone()

    async def _handle_provider_error(self, event: model.ProviderError) -> None:
        self._context.log.warning("provider error %s: %s", event.code, event.message)
        self._context.publisher.publish(
            out.AgentError, error_type="provider", code=event.code, message=event.message
        )

    async def close(self) -> None:
        """Stop audio input and tools; close the dump files."""
        self.requests.close()
        await self.parts.call_sounds.close()
        if self.parts.chat_room is not None:
            await self.parts.chat_room.close()
        self.parts.side_replies.close()
        await self.parts.audio_input.close()
        if (gate := self.parts.turn_handler.gate) is not None:
            await gate.close()
        if self.parts.reply_guardrails is not None:
            await self.parts.reply_guardrails.close()
        await self.parts.tool_runner.close()
        await self.parts.reply_output.close()
        for dump in self._dumps:
            if dump is not None:
                dump.close()


def _open_dump(context: SessionContext, what: str) -> PcmDump | None:
    config = context.config
    if config.agent_pcm_dir is None:
        return None
    return PcmDump(config.agent_pcm_dir, f"{config.channel_name}-{config.uid}-{what}")
