"""A channel joined to a model: assembles the parts of one conversation and pumps between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from boundary import InputKind
from conversation import server_events as out
from conversation.history import History
from conversation.lifecycle import ExitReason
from conversation.speakers import Speakers, VoiceChange
from realtime import events as model
from realtime.events import ConnectionStatus, ModelEvent
from realtime.model import ModelDisconnectedError
from session.approvals import Approvals
from session.call_limits import CallLimitsWatch
from session.clients import Clients
from session.context import Handler, Handlers, SessionContext
from session.goodbye import Goodbye
from session.guardrails import Guardrails
from session.hearing import Hearing
from session.owner import Owner
from session.playout import PlayoutWatch
from session.replies import Replies
from session.tool_calls import ToolCalls
from session.tool_sharing import ToolSharing
from session.turn_policy import TurnPolicy
from session.turn_timing import TurnTiming
from session.user_turns import UserTurns
from session.vital_signs import VitalSigns
from tools import ToolContext
from utils import PcmDump

IGNORED_EVENTS = frozenset(
    {
        model.GoAwayReceived,  # the model connection acts on it
        model.ResumptionUpdated,  # likewise
        model.SessionOpened,  # `connect` returned already
        model.InputTimeoutTriggered,
        model.ItemAdded,
        model.ItemTruncated,
        model.ItemDeleted,
        model.ToolCallDelta,
        model.HostedToolProgress,
        model.DtmfReceived,
        model.GenerationDone,
        model.RateLimitsUpdated,
        model.UnknownEventReceived,
    }
)
"""Model events that change nothing here."""

_TOLD_STATUSES = frozenset(
    {ConnectionStatus.OPEN, ConnectionStatus.RECONNECTING, ConnectionStatus.CLOSED}
)


class Session:
    """Runs one conversation; says so when the model is gone, a client ends it, or a limit does.

    on_written: somebody outside the room wrote to the agent
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
    ) -> None:
        self._context = context
        self._on_model_gone = on_model_gone
        self._was_model_lost = False
        self._dumps = [_open_dump(context, "heard"), _open_dump(context, "said")]
        policy = TurnPolicy.of(context.config, context.model.capabilities)
        speakers = Speakers()
        self._timing = TurnTiming(context, speakers)
        sharing = ToolSharing(context.config, context.channel.remote_users, context.publisher)
        approvals = Approvals(sharing, timeout_s=tools.approval_timeout_s)
        self._tool_calls = ToolCalls(context, tools, approvals, sharing)
        self._replies = Replies(
            context, self._dumps[1], policy, on_interrupt=self._handle_interrupt
        )
        self.playout = PlayoutWatch(context)
        self._guardrails = Guardrails(context, self._replies)
        self._user_turns = UserTurns(context, self._replies, speakers, policy)
        self.hearing = Hearing(
            context,
            self._dumps[0],
            speakers,
            policy=policy,
            on_voice=self._handle_voice,
        )
        self.vital_signs = VitalSigns(context.channel, policy, context.boundary)
        self.limits = CallLimitsWatch(context, self._replies, on_limit=on_limit)
        self.goodbye = Goodbye(context, self._replies, self._user_turns, self.hearing)
        self.owner = Owner(context, self._replies, self._user_turns, tools, policy)
        self.clients = self._create_clients(tools, approvals, sharing, on_client_end, on_written)
        self.handlers = self._all_handlers()
        self._listen_to_channel()

    def _create_clients(
        self,
        tools: ToolContext,
        approvals: Approvals,
        sharing: ToolSharing,
        on_end: Callable[[], None],
        on_written: Callable[[], None],
    ) -> Clients:
        return Clients(
            self._context,
            self._replies,
            self._user_turns,
            self.hearing,
            self.playout,
            tools,
            approvals,
            sharing,
            self._timing,
            self.owner,
            on_end,
            self.limits.note_user,
            on_written,
        )

    def _all_handlers(self) -> dict[type, list[Handler]]:
        return _by_event(
            self._own_handlers(),
            self._guardrails.handlers(),
            self._replies.handlers(),
            self._user_turns.handlers(),
            self._tool_calls.handlers(),
            self.vital_signs.handlers(),
            self._timing.handlers(),
            self.limits.handlers(),
            self.goodbye.handlers(),
        )

    def _own_handlers(self) -> Handlers:
        return {
            model.SessionUpdated: self._handle_session_updated,
            model.SessionEnded: self._handle_session_ended,
            model.ConnectionChanged: self._handle_connection_changed,
            model.ProviderError: self._handle_provider_error,
        }

    def _listen_to_channel(self) -> None:
        self._listen(InputKind.CLIENT_EVENT, "event", self.clients.handle_message)
        self._listen(InputKind.CLIENT_EVENT, "event_refused", self.clients.refuse_message)
        if self._context.config.reads_chat:
            self._listen(InputKind.CHAT, "message", self.clients.handle_chat)
        for listener in (
            self._replies.handle_playout_started,
            self.playout.handle_playout_started,
            self.vital_signs.handle_reply,
            self._timing.handle_playout_started,
        ):
            self._listen(InputKind.ROOM_EVENT, "playout_started", listener)
        for listener in (self._replies.handle_playout_done, self.vital_signs.handle_reply):
            self._listen(InputKind.ROOM_EVENT, "playout_done", listener)
        self._listen(
            InputKind.ROOM_EVENT,
            "user_left",
            lambda user, _reason: self.playout.handle_left(user.uid),
        )

    def _listen(self, kind: InputKind, name: str, listener: Callable[..., object]) -> None:
        self._context.channel.on(name, self._context.boundary.wrap(kind, name, listener))

    def _handle_voice(self, change: VoiceChange) -> None:
        with self._context.boundary.guard(InputKind.ROOM_EVENT, "voice"):
            self._user_turns.handle_voice(change)
            self._timing.handle_voice(change)

    async def _handle_interrupt(self) -> None:
        self.playout.handle_interrupted()
        await self._tool_calls.handle_interrupt()

    @property
    def history(self) -> History:
        """The conversation as it was heard."""
        return self._context.history

    async def run(self) -> None:
        """Pump until cancelled. What fails within the boundary costs one input, never the call."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump_model_events(), name="model events")
            group.create_task(self.clients.run(), name="client events")
            group.create_task(self._user_turns.run(), name="user turns")
            group.create_task(self.limits.run(), name="limits")
            group.create_task(self.playout.run(), name="playout")

    async def _pump_model_events(self) -> None:
        async for event in self._context.model.events():
            await self._dispatch(event)

    async def _dispatch(self, event: ModelEvent) -> None:
        """Have each part react; one that fails keeps the event from no other."""
        for handler in self.handlers.get(type(event), ()):
            with self._context.boundary.guard(
                InputKind.PROVIDER_EVENT,
                type(event).__name__,
                # `SessionEnded` is on its way, with the reason.
                expected=(ModelDisconnectedError,),
            ):
                await handler(event)

    async def _handle_session_updated(self, event: model.SessionUpdated) -> None:
        self._context.publisher.publish(out.ServerSessionUpdated, session_id=event.session_id)

    async def _handle_connection_changed(self, event: model.ConnectionChanged) -> None:
        self._context.log.info("model connection: %s %s", event.status, event.reason)
        # That the first session is open is told by `agent_ready`.
        is_first = event.status is ConnectionStatus.OPEN and not self._was_model_lost
        if event.status in _TOLD_STATUSES and not is_first:
            self._was_model_lost = event.status is not ConnectionStatus.OPEN
            self._context.publisher.publish(out.AgentConnectionChanged, status=event.status.value)

    async def _handle_session_ended(self, event: model.SessionEnded) -> None:
        self._context.log.warning("the model session ended: %s", event.reason)
        self._on_model_gone()

    async def _handle_provider_error(self, event: model.ProviderError) -> None:
        self._context.log.warning("provider error %s: %s", event.code, event.message)
        self._context.publisher.publish(
            out.AgentError, error_type="provider", code=event.code, message=event.message
        )

    async def close(self) -> None:
        """Stop hearing and running tools; close the dump files."""
        self.clients.close()
        await self.hearing.close()
        await self._tool_calls.close()
        await self._replies.close()
        for dump in self._dumps:
            if dump is not None:
                dump.close()


def _by_event(*tables: Handlers) -> dict[type, list[Handler]]:
    merged: dict[type, list[Handler]] = {}
    for table in tables:
        for event_type, handler in table.items():
            merged.setdefault(event_type, []).append(handler)
    return merged


def _open_dump(context: SessionContext, what: str) -> PcmDump | None:
    config = context.config
    if config.agent_pcm_dir is None:
        return None
    return PcmDump(config.agent_pcm_dir / f"{config.channel_name}-{config.uid}-{what}.pcm")
