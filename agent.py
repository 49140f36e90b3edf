"""`RealtimeKitAgent`: the life of one agent in a call, from joining a room to leaving it."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, runtime_checkable

from config.agent import AgentConfig
from conversation.events import server_events as out
from conversation.events.client_events import ClientEvent
from conversation.events.commands import CommandRefusedError, CommandResult, LiveCommand, Say
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import LIVE_STATES, AgentState, ExitReason, Lifecycle
from conversation.memory import NO_KEY, MemoryAnswer, MemoryRequest
from conversation.moderation import RoomView
from conversation.owner_failure import OwnerFailure
from conversation.phrases import IDLE_GOODBYE, spoken_request
from conversation.presence import Presence, PresenceRules
from conversation.prompt import skill_part
from conversation.snapshot import ResumeState, SnapshotEntry
from conversation.vitals import Vitals
from line.line import CreateLine, Line
from line.participants import RemoteUser
from parley.agent import Agent
from parley.call import Call, CallError
from parley.chat_room import ChatRoom
from parley.handoffs import handoff_targets
from realtime.events import AddText, UpdateSettings
from realtime.group.model import GroupModel
from realtime.model import (
    ModelDisconnectedError,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.playback import RealtimePlaybackTracker
from realtime.resilience.response_tracker import PendingReply
from session.call_record import call_record
from session.call_tools import CallTools
from session.channel_setup import create_channel
from session.context import SessionContext
from session.conversation_snapshot import (
    heard_entries,
    past_outputs,
    past_skills,
    pending_reply,
    snapshot_entries,
    transcript_entries,
)
from session.definition import definitions_of, find_in_app, with_own_keys
from session.definition_handoff import DefinitionHandoff
from session.goodbye import REASONS
from session.handoff import Handoff
from session.idle_prompter import idle_prompts_of
from session.instructions import instructions_of
from session.model_setup import (
    CreateModel,
    create_models,
    opening_config,
    opening_configs,
)
from session.owner import Owner
from session.publisher import Publisher
from session.recording.recorder import recorder_of
from session.session import Session
from session.start_phase import start_phase
from session.turn_policy import TurnPolicy
from toolsets.http_calls import HttpCalls
from toolsets.http_hosts import HttpHosts
from untrusted.boundary import Boundary, InputKind
from utils import OwnedTasks, run_unless, wall_clock_ms

__all__ = ["AgentObserver", "RealtimeKitAgent"]

# For each resource that is closed.
_CLOSE_TIMEOUT_S = 3.0


class AgentObserver(Protocol):
    """Observer of an agent; its methods must return at once and not raise."""

    def handle_state(self, old: AgentState, new: AgentState) -> None:
        """The agent changed from `old` to `new`."""
        ...

    def handle_event(self, event: ServerEvent) -> None:
        """The agent published an event."""
        ...

    def handle_call_state(self, state: str, agent: str) -> None:
        """The owner's state (JSON), or the definition that has the floor, has changed."""
        ...

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """A function of the agent's owner failed; the call goes on."""
        ...


@runtime_checkable
class MemoryKeeper(Protocol):
    """An observer that keeps long-term memory, too."""

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the memory of this call's key."""
        ...


class RealtimeKitAgent:
    """Joins a line, opens a model session, talks, and leaves. Runs once."""

    def __init__(
        self,
        config: AgentConfig,
        observer: AgentObserver | None = None,
        *,
        definition: Agent | ChatRoom | None = None,
        line: CreateLine | None = None,
        create_model: CreateModel | None = None,
    ) -> None:
        """
        definition: the owner's agent that begins, whose code runs in this call; None: the one of
            this process's app that `config` names
        line: makes what the agent talks through; None: the room of its channel
        create_model: makes sessions of the model; None: those of the configured provider

        Raises:
            AgentStartError: the app does not have the named agent.
        """
        self.timings_ms: dict[str, float] = {}
        self._definitions = definitions_of(config, definition)
        self._config = config = with_own_keys(config, self._definitions)
        self._observer = observer
        self._log = logging.getLogger("agent")
        self._boundary = Boundary(self._log)
        self._lifecycle = Lifecycle(self._handle_state)
        # Set by the first call of `stop`, which may come before the loop runs.
        self._exit_reason: ExitReason | None = None
        self._ended: asyncio.Future[ExitReason] | None = None
        self._create_model = create_model
        self._model = create_models(config, create_model)
        self._seed = config.conversation_seed or ResumeState()
        self._model.restore(transcript_entries(self._seed))
        self._recorder = recorder_of(config, self._model, self._log)
        create_line = line or functools.partial(create_channel, config)
        sample_rate_hz = self._model.capabilities.output_sample_rate_hz
        self._line: Line = create_line(sample_rate_hz, tap=self._recorder)
        self._tasks = OwnedTasks(self._log)
        # Tools that have got their outputs of earlier processes.
        self._taken_outputs: set[str] = set()
        self._owner: Owner | None = None
        first = self._definitions.first
        if first is not None:
            self._owner = Owner(first, config, self, boundary=self._boundary, log=self._log)
        self._is_hanging_up = False
        self._started_at_ms = wall_clock_ms()
        self._http = HttpCalls(HttpHosts(config.http_tool_hosts))
        call = None if self._owner is None else self._owner.call
        self._call_tools = CallTools(config, self._definitions, self, call=call, http=self._http)
        self._tools = self._call_tools.context
        self._session = self._create_session()
        rules = PresenceRules(config.user_wait_s, config.rejoin_grace_s, config.user_uid)
        self._presence = Presence(rules, now_s=time.monotonic())
        self._presence_changed = asyncio.Event()
        # Users whose media connection is up: what is said now is heard by them.
        self._with_media: set[int] = set()
        self._has_greeted = bool(self._seed.entries) and not self._seed.is_of_earlier_call

    @property
    def state(self) -> AgentState:
        """State of the agent."""
        return self._lifecycle.state

    @property
    def call(self) -> Call | None:
        """The call as the owner's tools get it; None without a definition."""
        return None if self._owner is None else self._owner.call

    @property
    def playback_tracker(self) -> RealtimePlaybackTracker:
        """Position in the current reply that all listeners have heard."""
        return self._session.parts.playout_tracking.tracker

    @property
    def is_choosing_speaker(self) -> bool:
        """True while several agents wait for the decision which of them speaks next."""
        room = self._session.parts.chat_room
        return room is not None and room.is_deciding

    def stop(self, reason: ExitReason = ExitReason.STOPPED) -> None:
        """Request a graceful end. The first reason counts; a second call ends a goodbye."""
        is_first = self._exit_reason is None
        self._exit_reason = self._exit_reason or reason
        if self._ended is None or self._ended.done():
            return
        goodbye = self._goodbye_request(reason)
        if is_first and goodbye and self._should_say_goodbye(reason):
            self._lifecycle.advance(AgentState.DRAINING)
            self.start_task(self._say_goodbye(goodbye, reason), name="goodbye")
        else:
            self._ended.set_result(self._exit_reason)

    def _should_say_goodbye(self, reason: ExitReason) -> bool:
        has_listener = any(self._presence.counts(uid) for uid in self._with_media)
        return reason in REASONS and self.state is AgentState.RUNNING and has_listener

    def _goodbye_request(self, reason: ExitReason) -> str | None:
        """Return what the model is asked to say before this end; None: nothing."""
        idle, text = idle_prompts_of(self._config), self._config.goodbye
        if idle is not None and reason is ExitReason.IDLE and (idle.goodbye or not text):
            return spoken_request(idle.goodbye, IDLE_GOODBYE, self._config.language)
        return f"Say exactly: {text}" if text else None

    async def _say_goodbye(self, request: str, reason: ExitReason) -> None:
        try:
            await self._session.parts.goodbye.say(request, reason)
        finally:
            self.stop(reason)

    async def run(self) -> ExitReason:
        """Run until the end of the call; return its reason.

        Raises:
            AgentStartError: the line or the model could not be reached.
        """
        self._ended = asyncio.get_running_loop().create_future()
        if self._exit_reason is not None:
            self._ended.set_result(self._exit_reason)
        try:
            if self._owner is not None:
                self._owner.open(self._session)
            await run_unless(self._ended, self._start())
            if not self._ended.done():
                await run_unless(self._ended, self._converse())
            return await self._ended
        finally:
            await self._leave()

    # -- building ----------------------------------------------------------------------------------

    def _create_session(self) -> Session:
        publisher = Publisher(
            self._line,
            agent_id=self._config.agent_id,
            agent_name=self._config.name,
            on_event=self._handle_published,
            boundary=self._boundary,
        )
        self._publisher = publisher
        context = SessionContext(
            self._config,
            self._line,
            self._model,
            publisher,
            self._log,
            self._boundary,
            owner=self._owner,
        )
        if self._owner is not None:
            self._owner.handoff = self._create_handoff(context, self._owner)
        elif self._config.agents:
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
            moderator=self._moderate if self._definitions.moderator is not None else None,
        )

    def _create_handoff(self, context: SessionContext, owner: Owner) -> DefinitionHandoff | None:
        agents = handoff_targets(owner.definition, find_in_app)
        if len(agents) < 2 or isinstance(self._model, GroupModel):
            return None
        assert not isinstance(self._create_model, Mapping)
        return DefinitionHandoff(
            context,
            owner,
            self._model,
            self._tools,
            self,
            self._http,
            agents=agents,
            create=self._create_model,
        )

    async def _moderate(self, view: RoomView) -> str | None:
        """Ask the owner's function for the agent that speaks next.

        Raises:
            ModeratorFailedError: it failed, or named none of them.
        """
        function = self._definitions.moderator
        assert function is not None
        assert self._owner is not None
        return await self._owner.moderate(function, view)

    def _opening_config(self) -> RealtimeModelConfig:
        loaded = past_skills(self.take_past_outputs("set_skill"), self._config.loadable_skills)
        config = self._config.model_copy(update={"skills": self._config.skills | loaded})
        room = config.chat_room
        if room is not None and isinstance(self._model, GroupModel):
            self._model.configs = opening_configs(
                config, room, self._model, self._call_tools.of_member, self._log
            )
        return opening_config(config, self._model.capabilities, self._tools, self._log)

    # -- starting ----------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Join and connect concurrently: a start takes as long as the slower of the two."""
        for name, listener in self._line_listeners().items():
            self._line.on(name, self._boundary.wrap(InputKind.ROOM_EVENT, name, listener))
        self._lifecycle.advance(AgentState.JOINING)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._join())
                group.create_task(self._connect())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        self._lifecycle.advance(AgentState.READY)
        self._publish_ready()
        if self._owner is not None:
            self._owner.note_started(is_restart=self._seed.is_of_lost_process)

    def _line_listeners(self) -> dict[str, Callable[..., object]]:
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
            await self._line.connect()
        self._line.set_muted(self._config.is_muted)
        self._lifecycle.advance(AgentState.CONNECTING)

    async def _connect(self) -> None:
        if self._call_tools.has_servers:
            async with start_phase(self.timings_ms, "tools"):
                await self._call_tools.open()
        if self._owner is not None:
            async with start_phase(self.timings_ms, "definition"):
                await self._use_definition(self._owner)
        async with start_phase(self.timings_ms, "connecting"):
            opening = self._opening_config()
            await self._model.connect(opening)
        if self._owner is not None and (handoff := self._owner.handoff) is not None:
            handoff.begin(self._config, opening.settings)
            await handoff.resume(self._seed.agent)

    async def _use_definition(self, owner: Owner) -> None:
        """Take the definition's instructions, unless the start has its own.

        Raises:
            AgentStartError: the owner's code failed, or needs what this model does not do.
        """
        capabilities = self._model.capabilities
        owner.require_model(
            TurnPolicy.of(self._config, capabilities), capabilities, owner.definition
        )
        if owner.handoff is not None:
            owner.handoff.require_models()
        if self._config.system_message is None:
            found = await owner.instructions(owner.definition)
            self._config = self._config.model_copy(update={"system_message": found})
        room = self._config.chat_room
        for member in () if room is None else room.members:
            if member.system_message is None:
                found = await owner.instructions(self._definitions.members[member.definition])
                changes = {"system_message": found}
                self._config = self._config.updated(changes, agent=member.definition)

    # -- conversing --------------------------------------------------------------------------------

    async def _converse(self) -> None:
        for user in list(self._line.remote_users.values()):
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
        if self._owner is not None:
            self._owner.note_joined(user.uid, user.name)
        self._presence_changed.set()
        self._session.parts.audio_input.listen_to(user.uid)
        self._session.parts.limit_enforcer.note_user()
        if self._presence.has_user:
            self._lifecycle.advance(AgentState.RUNNING)
        self._greet_or_resume(user.uid)

    def _handle_user_left(self, user: RemoteUser, reason: str) -> None:
        self._log.info("user %d left: %s", user.uid, reason)
        self._with_media.discard(user.uid)
        if self._owner is not None and user.role == "user":
            self._owner.note_left(user.uid, reason)
        self._presence.user_left(user.uid, now_s=time.monotonic())
        self._presence_changed.set()
        if self.state is AgentState.RUNNING and not self._presence.has_user:
            self._lifecycle.advance(AgentState.READY)

    def _handle_user_connected(self, uid: int) -> None:
        """Media flows, perhaps before the model is connected."""
        self._publish_ready(uid)
        self._with_media.add(uid)
        self._greet_or_resume(uid)

    def _publish_ready(self, uid: int | None = None) -> None:
        self._publisher.publish(
            out.AgentReady,
            to=uid,
            has_manual_turns=self._session.parts.audio_input.is_manual,
            has_image_input=self._model.capabilities.has_image_input,
            is_recorded=self._recorder is not None,
        )

    def _greet_or_resume(self, uid: int) -> None:
        """Greet, or give a pending reply, once a user's media lets the first word be heard."""
        is_ready = self.state in (AgentState.READY, AgentState.RUNNING)
        if not is_ready or uid not in self._with_media or not self._presence.counts(uid):
            return
        if self._config.greeting and not self._has_greeted:
            self._has_greeted = True
            self.start_task(self.say(self._config.greeting), name="greet")
        if (pending := pending_reply(self._seed)) is not None:
            self._seed = ResumeState()
            self.start_task(self._resume_reply(pending), name="go on")

    async def _resume_reply(self, pending: PendingReply) -> None:
        """Give the reply that an earlier process of this conversation could not finish."""
        try:
            await self._model.request_pending(pending)
        except ModelDisconnectedError:
            self._log.info("no pending reply: the model is gone")

    def _handle_connection_state(self, state: str) -> None:
        self._log.info("room connection: %s", state)
        if state == "failed":
            self.stop(ExitReason.ROOM_LOST)

    # -- services for tools (`toolsets.ToolServices`) ----------------------------------------------

    async def say(self, text: str) -> None:
        """Speak `text` verbatim, once no other reply is being generated."""
        await self._session.parts.api_commands.say(Say(text=text))

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run a coroutine for as long as the agent lives. An exception ends that task alone."""
        task = self._tasks.start(self._contained(coroutine, name), name=name)
        # A coroutine whose task is cancelled before its first step would stay unawaited.
        task.add_done_callback(lambda _: coroutine.close())

    async def _contained(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        with self._boundary.guard(InputKind.HOOK, name, expected=(ModelDisconnectedError,)):
            await coroutine

    def take_past_outputs(self, name: str) -> list[str]:
        """Return the outputs of this tool in lost processes of this call; only once per tool."""
        if self._seed.is_of_earlier_call or name in self._taken_outputs:
            return []
        self._taken_outputs.add(name)
        return past_outputs(self._seed, name)

    # -- services for the owner's code (`session.owner.OwnedAgent`) ---------------------------------

    def heard_entries(self) -> list[tuple[SnapshotEntry, str]]:
        """Return the conversation as heard, each entry with its speaker, where known."""
        position = self._line.playout_position()
        return heard_entries(self._model.transcript, self._session.history, position)

    def hang_up(self, *, after_reply: bool, say: str | None) -> None:
        """End the call, the first time it is called; returns at once."""
        if self._exit_reason is None and not self._is_hanging_up:
            self._is_hanging_up = True
            self.start_task(self._hang_up(after_reply, say), name="hang up")

    async def _hang_up(self, after_reply: bool, text: str | None) -> None:
        goodbye, runner = self._session.parts.goodbye, self._session.parts.tool_runner
        try:
            if after_reply:
                await goodbye.finish_reply(lambda: runner.is_busy or self._model.is_reply_due)
            if text and self.state is AgentState.RUNNING:
                self._lifecycle.advance(AgentState.DRAINING)
                await goodbye.say(f"Say exactly: {text}", ExitReason.HUNG_UP)
        finally:
            self.stop(ExitReason.HUNG_UP)

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the long-term memory."""
        if isinstance(self._observer, MemoryKeeper):
            return await self._observer.ask_memory(request)
        return NO_KEY

    async def load_skill(self, name: str) -> None:
        """Add a skill to the model's instructions, or to the conversation where these are fixed.

        Raises:
            CallError: there is no such skill, or no room for it.
        """
        loadable = self._config.loadable_skills
        if name not in loadable:
            known = ", ".join(loadable) or "none"
            raise CallError("unknown_skill", f"there is no skill {name}; known are: {known}")
        instructions = self._model.instructions
        if (skill := skill_part(name, loadable[name])) in instructions:
            return
        try:
            changes = {"instructions": f"{instructions}\n\n{skill}"}
            await self._model.send(UpdateSettings(changes))
        except UnsupportedCommandError:
            await self._model.send(AddText(skill, "system"))

    def remember_call(self, state: str, agent: str) -> None:
        """Have the owner's state and the agent that has the floor survive this process."""
        if self._observer is not None:
            self._observer.handle_call_state(state, agent)

    def report_failure(self, failure: OwnerFailure) -> None:
        """Have a failure of the owner's code join the call's record."""
        if self._observer is not None:
            self._observer.handle_owner_failure(failure)

    # -- for the agent's process -------------------------------------------------------------------

    def conversation(self) -> list[SnapshotEntry]:
        """Return the recent entries of the conversation, for a process that resumes it."""
        history, position = self._session.history, self._line.playout_position()
        return snapshot_entries(self._model.transcript, history, position)

    def vitals(self) -> Vitals:
        """Return the vitals of the call at this moment."""
        parts = self._session.parts
        vitals = parts.vitals_reporter.take(self._model, parts.limit_enforcer.limits)
        changes: dict[str, object] = {"is_saving_work": parts.audio_input.is_saving_work}
        if self._recorder is not None:
            changes["recording"] = self._recorder.state.value
        return vitals.model_copy(update=changes)

    def save_work(self, *, is_wanted: bool) -> None:
        """Do with less processor time while that is wanted."""
        self._session.parts.audio_input.save_work(is_wanted=is_wanted)

    async def execute(
        self, command: LiveCommand | ClientEvent, *, uid: int | None = None
    ) -> CommandResult:
        """Execute a command of the API, or an event of the participant `uid`.

        Raises:
            CommandRefusedError: nothing was done.
        """
        if self.state not in (AgentState.READY, AgentState.RUNNING):
            raise CommandRefusedError("not_ready", f"the agent is {self.state}")
        return await self._session.requests.execute(command, uid=uid)

    def renew_model(self, reason: str) -> None:
        """Replace the provider's session by a new one with the same conversation."""
        self._model.renew(reason)

    # -- ending ------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Free all resources in reverse order; none of them may keep the process alive."""
        if self.state is not AgentState.STARTING:
            self._publisher.publish(out.AgentEnded, reason=self._exit_reason or "")
        if self._owner is not None:
            self._owner.freeze()
        self._lifecycle.advance(AgentState.STOPPING)
        for what, close in (
            ("tasks", self._tasks.close()),
            ("session", self._session.close()),
            ("tools", self._close_tools()),
            ("HTTP tools", self._http.close()),
            ("model", self._model.close()),
            ("line", self._line.disconnect()),
            ("recording", _nothing() if self._recorder is None else self._recorder.close()),
        ):
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await close
            except TimeoutError:
                self._log.warning("closing the %s took too long", what)
        if self._owner is not None:
            await self._owner.close(self._exit_reason or "", self._record)
        self._lifecycle.advance(AgentState.EXITED)

    def _record(self) -> dict[str, Any]:
        assert self._owner is not None
        limits = self._session.parts.limit_enforcer.limits
        return call_record(
            self._config,
            self._owner,
            limits,
            started_at_ms=self._started_at_ms,
            exit_reason=self._exit_reason,
        )

    async def _close_tools(self) -> None:
        await self._call_tools.close()
        if self._owner is not None and self._owner.handoff is not None:
            await self._owner.handoff.close()

    # -- reporting ---------------------------------------------------------------------------------

    def _handle_state(self, old: AgentState, new: AgentState) -> None:
        self._log.info("%s -> %s", old, new)
        if self._observer is not None:
            self._observer.handle_state(old, new)

    def _handle_published(self, event: ServerEvent) -> None:
        if self.state not in LIVE_STATES:
            return
        if self._observer is not None:
            self._observer.handle_event(event)
        if self._owner is not None:
            self._owner.handle_event(event)


async def _nothing() -> None:
    """Do nothing, where there is nothing to close."""
