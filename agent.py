"""`RealtimeKitAgent`: one conversation's life, from joining a room to leaving it without a trace."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from boundary import Boundary, InputKind
from config import AgentConfig
from conversation import server_events as out
from conversation.lifecycle import LIVE_STATES, AgentState, ExitReason, Lifecycle
from conversation.live_commands import CommandRefusedError, CommandResult, LiveCommand, Say
from conversation.presence import Presence, PresenceRules
from conversation.remembered import ConversationSeed, RememberedEntry
from conversation.server_events import ServerEvent
from conversation.vitals import Vitals
from realtime.lasting.reply_watch import OwedReply
from realtime.model import ModelDisconnectedError, RealtimeModelConfig
from realtime.playback import RealtimePlaybackTracker
from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.options import MediaOptions, RemoteUser, RtcOptions
from session.context import SessionContext
from session.goodbye import REASONS
from session.handoff import Handoff
from session.instructions import instructions_of
from session.lasting_model import create_lasting_model, opening_config
from session.publisher import Publisher
from session.recall import owed_reply, past_outputs, remembered, restored
from session.recording.recorder import recorder_of
from session.session import Session
from session.start_phase import StartFailedError, start_phase
from tools import ToolContext
from toolsets import build_toolset
from toolsets.mcp import McpTools
from utils import OwnedTasks, run_unless

__all__ = ["AgentObserver", "RealtimeKitAgent", "StartFailedError"]

AGENT_NAME = "Parley"
_CLOSE_TIMEOUT_S = 3.0


class AgentObserver(Protocol):
    """Whoever watches an agent; its methods must return at once and not raise."""

    def handle_state(self, old: AgentState, new: AgentState) -> None:
        """The agent stepped from `old` to `new`."""
        ...

    def handle_event(self, event: ServerEvent) -> None:
        """The agent told the room something."""
        ...


class RealtimeKitAgent:
    """Joins a room, opens a model session, talks, and leaves. Runs once."""

    def __init__(self, config: AgentConfig, observer: AgentObserver | None = None) -> None:
        self.timings_ms: dict[str, float] = {}
        self._config = config
        self._observer = observer
        self._log = logging.getLogger("agent")
        self._boundary = Boundary(self._log)
        self._lifecycle = Lifecycle(self._handle_state)
        # Set by the first call of `stop`, which may come before the loop runs.
        self._exit_reason: ExitReason | None = None
        self._ended: asyncio.Future[ExitReason] | None = None
        self._model = create_lasting_model(config)
        self._seed = config.conversation_seed or ConversationSeed()
        self._model.transcript.restore(restored(self._seed))
        self._recorder = recorder_of(config, self._model, self._log)
        self._channel = self._create_channel()
        self._tasks = OwnedTasks(self._log)
        self._taken_outputs: set[str] = set()
        self._tools = self._create_tools()
        self._mcp = McpTools(config.mcp_server, self._tools) if config.mcp_server else None
        self._session = self._create_session()
        self._presence = Presence(_presence_rules(config), now_s=time.monotonic())
        self._presence_changed = asyncio.Event()
        self._with_media: set[int] = set()
        self._has_greeted = bool(self._seed.entries) and not self._seed.is_of_earlier_call

    @property
    def state(self) -> AgentState:
        """Where the agent is in its life."""
        return self._lifecycle.state

    @property
    def playback_tracker(self) -> RealtimePlaybackTracker:
        """What of the present reply everybody in the room has heard by now."""
        return self._session.playout.tracker

    def stop(self, reason: ExitReason = ExitReason.STOPPED) -> None:
        """Ask for a graceful end; of several reasons the first counts, a second ends a goodbye."""
        is_first = self._exit_reason is None
        self._exit_reason = self._exit_reason or reason
        if self._ended is None or self._ended.done():
            return
        if is_first and self._config.goodbye and self._should_say_goodbye(reason):
            self._lifecycle.advance(AgentState.DRAINING)
            self.start_task(self._say_goodbye(self._config.goodbye, reason), name="goodbye")
        else:
            self._ended.set_result(self._exit_reason)

    def _should_say_goodbye(self, reason: ExitReason) -> bool:
        has_listener = any(self._presence.counts(uid) for uid in self._with_media)
        return reason in REASONS and self.state is AgentState.RUNNING and has_listener

    async def _say_goodbye(self, text: str, reason: ExitReason) -> None:
        try:
            await self._session.goodbye.say(text, reason)
        finally:
            self.stop(reason)

    async def run(self) -> ExitReason:
        """Live until done; returns why it ended.

        Raises:
            StartFailedError: the room or the model could not be reached.
        """
        self._ended = asyncio.get_running_loop().create_future()
        if self._exit_reason is not None:
            self._ended.set_result(self._exit_reason)
        try:
            await run_unless(self._ended, self._start())
            if not self._ended.done():
                await run_unless(self._ended, self._converse())
            return await self._ended
        finally:
            await self._leave()

    # -- building ------------------------------------------------------------------------------

    def _create_channel(self) -> Channel:
        config = self._config
        options = RtcOptions(
            channel_name=config.channel_name,
            uid=config.uid,
            role="agent",
            name=AGENT_NAME,
            token=config.room_token.get_secret_value() if config.room_token else None,
            sample_rate_hz=self._model.capabilities.output_sample_rate_hz,
            bitrate_bps=config.opus.bitrate_bps,
            complexity=config.opus.complexity,
            expected_loss_percent=config.opus.expected_loss_percent,
            dump_dir=config.rtc_pcm_dir,
            tap=self._recorder,
        )
        media = MediaOptions(network=config.media)
        return RtcEngine(config.room_url, media).create_channel(options)

    def _create_tools(self) -> ToolContext:
        config = self._config
        tools = build_toolset(config.toolset, self) if config.toolset else ToolContext()
        for declaration in config.tools:
            tools.register_client_function(declaration)
        return tools

    def _create_session(self) -> Session:
        publisher = Publisher(
            self._channel,
            agent_id=self._config.agent_id,
            agent_name=AGENT_NAME,
            on_event=self._handle_published,
            boundary=self._boundary,
        )
        self._publisher = publisher
        context = SessionContext(
            self._config, self._channel, self._model, publisher, self._log, self._boundary
        )
        if self._config.agents:
            Handoff(
                context,
                self._tools,
                self,
                main_instructions=lambda: instructions_of(self._config, self._log),
            )
        return Session(
            context,
            self._tools,
            on_model_gone=lambda: self.stop(ExitReason.PROVIDER_FAILED),
            on_client_end=lambda: self.stop(ExitReason.STOPPED),
            on_written=self._handle_written,
            on_limit=self.stop,
        )

    def _opening_config(self) -> RealtimeModelConfig:
        return opening_config(self._config, self._model.capabilities, self._tools, self._log)

    # -- starting ------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Join and connect side by side: a start takes as long as the slower of the two."""
        for name, listener in self._channel_listeners().items():
            self._channel.on(name, self._boundary.wrap(InputKind.ROOM_EVENT, name, listener))
        self._lifecycle.advance(AgentState.JOINING)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._join())
                group.create_task(self._connect())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        self._lifecycle.advance(AgentState.READY)
        self._tell_ready()

    def _channel_listeners(self) -> dict[str, Callable[..., object]]:
        return {
            "user_joined": self._handle_user_joined,
            "user_left": self._handle_user_left,
            "user_connected": self._handle_user_connected,
            "connection_state_changed": self._handle_connection_state,
        }

    async def _join(self) -> None:
        async with start_phase(self.timings_ms, "joining"):
            if self._recorder is not None:
                await self._recorder.open()
            await self._channel.connect()
        self._channel.set_muted(self._config.is_muted)
        self._lifecycle.advance(AgentState.CONNECTING)

    async def _connect(self) -> None:
        if self._mcp is not None:
            async with start_phase(self.timings_ms, "tools"):
                await self._mcp.open()
        async with start_phase(self.timings_ms, "connecting"):
            await self._model.connect(self._opening_config())

    # -- conversing ----------------------------------------------------------------------------

    async def _converse(self) -> None:
        for user in list(self._channel.remote_users.values()):
            self._handle_user_joined(user)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session.run(), name="session")
            group.create_task(self._watch_presence(), name="presence")

    async def _watch_presence(self) -> None:
        while True:
            departure = self._presence.departure()
            wait_s = None if departure is None else max(0.0, departure.at_s - time.monotonic())
            self._presence_changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._presence_changed.wait()
            except TimeoutError:
                assert departure is not None
                self.stop(departure.reason)
                return

    def _handle_written(self) -> None:
        self._presence.note_written(now_s=time.monotonic())
        self._presence_changed.set()

    def _handle_user_joined(self, user: RemoteUser) -> None:
        if user.role != "user" or self.state not in (AgentState.READY, AgentState.RUNNING):
            return
        self._presence.user_joined(user.uid)
        self._presence_changed.set()
        self._session.hearing.listen_to(user.uid)
        self._session.limits.note_user()
        if self._presence.has_user:
            self._lifecycle.advance(AgentState.RUNNING)
        self._welcome(user.uid)

    def _handle_user_left(self, user: RemoteUser, reason: str) -> None:
        self._log.info("user %d left: %s", user.uid, reason)
        self._with_media.discard(user.uid)
        self._presence.user_left(user.uid, now_s=time.monotonic())
        self._presence_changed.set()
        if self.state is AgentState.RUNNING and not self._presence.has_user:
            self._lifecycle.advance(AgentState.READY)

    def _handle_user_connected(self, uid: int) -> None:
        """Media flows, perhaps before the model is there."""
        self._tell_ready(uid)
        self._with_media.add(uid)
        self._welcome(uid)

    def _tell_ready(self, uid: int | None = None) -> None:
        self._publisher.publish(
            out.AgentReady,
            to=uid,
            has_manual_turns=self._session.hearing.is_manual,
            is_recorded=self._recorder is not None,
        )

    def _welcome(self, uid: int) -> None:
        """What is said now is heard from its first word: greet, or give a reply that is owed."""
        is_ready = self.state in (AgentState.READY, AgentState.RUNNING)
        if not is_ready or uid not in self._with_media or not self._presence.counts(uid):
            return
        if self._config.greeting and not self._has_greeted:
            self._has_greeted = True
            self.start_task(self.say(self._config.greeting), name="greet")
        if (owed := owed_reply(self._seed)) is not None:
            self._seed = ConversationSeed()
            self.start_task(self._go_on(owed), name="go on")

    async def _go_on(self, owed: OwedReply) -> None:
        """Give the reply that an earlier process of this conversation could not finish."""
        try:
            await self._model.request_owed(owed)
        except ModelDisconnectedError:
            self._log.info("nothing to go on with: the model is gone")

    def _handle_connection_state(self, state: str) -> None:
        self._log.info("room connection: %s", state)
        if state == "failed":
            self.stop(ExitReason.ROOM_LOST)

    # -- what tools may use of an agent (`toolsets.ToolServices`) --------------------------------

    async def say(self, text: str) -> None:
        """Speak `text` word for word, as soon as no other reply is in the making."""
        await self._session.owner.say(Say(text=text))

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run something for as long as the agent lives. Whatever it raises ends it alone."""
        task = self._tasks.start(self._contained(coroutine, name), name=name)
        # One that is given up before it began would stay unawaited.
        task.add_done_callback(lambda _: coroutine.close())

    async def _contained(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        with self._boundary.guard(InputKind.HOOK, name, expected=(ModelDisconnectedError,)):
            await coroutine

    def take_past_outputs(self, name: str) -> list[str]:
        """What calls of this tool returned in processes of this call that were lost; told once."""
        if self._seed.is_of_earlier_call or name in self._taken_outputs:
            return []
        self._taken_outputs.add(name)
        return past_outputs(self._seed, name)

    # -- what the agent's process asks of it -----------------------------------------------------

    def conversation(self) -> list[RememberedEntry]:
        """The recent part of what another process would need to know to go on."""
        history, position = self._session.history, self._channel.playout_position()
        return remembered(self._model.transcript, history.get, position)

    def vitals(self) -> Vitals:
        """How the call is now."""
        vitals = self._session.vital_signs.take(self._model, self._session.limits.spent)
        if self._recorder is None:
            return vitals
        return vitals.model_copy(update={"recording": self._recorder.state.value})

    async def obey(self, command: LiveCommand) -> CommandResult:
        """Carry out what the agent's owner asks.

        Raises:
            CommandRefusedError: nothing was done.
        """
        if self.state not in (AgentState.READY, AgentState.RUNNING):
            raise CommandRefusedError("not_ready", f"the agent is {self.state}")
        return await self._session.clients.obey(command)

    def renew_model(self, reason: str) -> None:
        """Give up the provider's session for a new one that is told the conversation."""
        self._model.renew(reason)

    # -- ending --------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Free everything, in reverse; nothing of it may keep the process alive."""
        if self.state is not AgentState.STARTING:
            self._publisher.publish(out.AgentEnded, reason=self._exit_reason or "")
        self._lifecycle.advance(AgentState.STOPPING)
        for what, close in (
            ("tasks", self._tasks.close()),
            ("session", self._session.close()),
            ("tools", _nothing() if self._mcp is None else self._mcp.close()),
            ("model", self._model.close()),
            ("channel", self._channel.disconnect()),
            ("recording", _nothing() if self._recorder is None else self._recorder.close()),
        ):
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await close
            except TimeoutError:
                self._log.warning("closing the %s took too long", what)
        self._lifecycle.advance(AgentState.EXITED)

    # -- telling -------------------------------------------------------------------------------

    def _handle_state(self, old: AgentState, new: AgentState) -> None:
        self._log.info("%s -> %s", old, new)
        if self._observer is not None:
            self._observer.handle_state(old, new)

    def _handle_published(self, event: ServerEvent) -> None:
        if self._observer is not None and self.state in LIVE_STATES:
            self._observer.handle_event(event)


async def _nothing() -> None:
    """Where there is nothing to close."""


def _presence_rules(config: AgentConfig) -> PresenceRules:
    return PresenceRules(
        user_wait_s=config.user_wait_s,
        rejoin_grace_s=config.rejoin_grace_s,
        user_uid=config.user_uid,
    )
