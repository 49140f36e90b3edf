"""`LiveCall`: one call of an agent that runs in the process of its application."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter

from agent import RealtimeKitAgent
from config.agent import AgentConfig
from conversation.events import server_events as out
from conversation.events.client_events import ClientEvent
from conversation.events.commands import CommandRefusedError, CommandResult, LiveCommand
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState, ExitReason
from conversation.memory import NO_KEY, MemoryAnswer, MemoryRequest
from conversation.owner_failure import OwnerFailure
from conversation.snapshot import read_state
from line.audio_tap import AudioTap
from line.participants import ChatMessage
from line.playout.buffer import PlayoutFrame, PlayoutPosition
from parley.agent import Agent
from parley.chat_room import ChatRoom
from parley.in_process.conversation_store import CallKeeper
from parley.in_process.idleness import QUIET_S, Idleness
from parley.in_process.input_pump import InputPump
from parley.in_process.line import InProcessLine
from parley.live_input import LiveInput, LiveInputQueue
from realtime.playback import PlaybackTracker
from session.model_setup import CreateModel
from untrusted.boundary import Boundary, InputKind
from utils import OwnedTasks, cancel_and_wait

USER_UID: Final = 1
DRAIN_S: Final = 30.0
"""Longest that a call goes on after the end of its input, with nothing happening in it."""

_SERVER_EVENT: Final[TypeAdapter[ServerEvent]] = TypeAdapter(ServerEvent)
# Sent to one participant only, so that the agent's observer never sees them.
_PERSONAL: Final = ('"type":"agent_error"', '"type":"agent_playout_progress"')

_log = logging.getLogger("agent")


@dataclass(frozen=True, slots=True)
class VoiceDelta:
    """A piece of the agent's voice, under the ids of its content part."""

    response_id: str
    item_id: str
    content_index: int
    pcm: bytes = field(repr=False)
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class VoiceDone:
    """No more voice comes of a content part."""

    response_id: str
    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class VoiceCleared:
    """The agent fell silent: of each content part so many milliseconds were heard."""

    heard_ms: dict[tuple[str, str, int], float]


@dataclass(frozen=True, slots=True)
class CallOver:
    """The last item of a call. failure: it never began, or broke"""

    reason: str
    failure: BaseException | None = None


CallItem = ServerEvent | VoiceDelta | VoiceDone | VoiceCleared | OwnerFailure | CallOver
OnItem = Callable[[CallItem], None]


class LiveCall:
    """Runs an agent with one user, the application. `start` once, `close` once.

    on_item: gets everything that happens, in order, on the loop; returns at once and raises nothing
    """

    def __init__(
        self,
        config: AgentConfig,
        on_item: OnItem,
        *,
        queue: LiveInputQueue,
        definition: Agent | ChatRoom | None = None,
        tracker: PlaybackTracker | None = None,
        create_model: CreateModel | None = None,
        keeper: CallKeeper | None = None,
        on_played: Callable[[PlayoutFrame], None] | None = None,
        quiet_s: float = QUIET_S,
    ) -> None:
        """
        tracker: fed by the application with what it has played; None: the clock decides
        create_model: makes the sessions of the model; None: those of the configured provider
        keeper: gets what the agent reports
        on_played: gets each frame of the agent's voice when it sounds, without a tracker
        quiet_s: without a sign of the model for so long, it has answered
        """
        self._config = config
        self._on_item = on_item
        self._tracker = tracker
        self._keeper = keeper
        seed = config.conversation_seed
        # As reported last, which is a few times a second.
        self.call_state = {} if seed is None else read_state(seed.call_state)
        self._on_played = on_played
        self._quiet_s = quiet_s
        self._boundary = Boundary(_log)
        self._tasks = OwnedTasks(_log)
        self._running: asyncio.Task[None] | None = None
        self._idleness: Idleness | None = None
        self._news = asyncio.Event()
        self._line: InProcessLine | None = None
        self.agent = RealtimeKitAgent(
            config,
            self,
            definition=definition,
            line=self._create_line,
            create_model=create_model,
        )
        self._pump = InputPump(
            queue,
            self.line,
            USER_UID,
            execute=self.execute,
            on_refused=self._refuse,
            on_input=self._note_input,
        )

    @property
    def agent_id(self) -> str:
        """Id of the agent in its events."""
        return self._config.agent_id

    @property
    def line(self) -> InProcessLine:
        """The line of the call."""
        assert self._line is not None, "the agent makes it at once"
        return self._line

    def _create_line(self, sample_rate_hz: int, *, tap: AudioTap | None) -> InProcessLine:
        self._line = InProcessLine(
            sample_rate_hz, tap=tap, outlet=self, uid=self._config.uid, tracker=self._tracker
        )
        self._line.join(USER_UID, "user")
        return self._line

    # -- a life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the call; `CallOver` is its last item.

        Raises:
            RuntimeError: Another call takes from the queue.
        """
        self._pump.open()
        now_s = asyncio.get_running_loop().time()
        self._idleness = Idleness(now_s, quiet_s=self._quiet_s)
        self._running = self._tasks.start(self._run(), name="call in-process")

    async def _run(self) -> None:
        feeding: asyncio.Task[None] | None = None
        over = CallOver(ExitReason.STOPPED)
        try:
            feeding = self._tasks.start(self._feed(), name="input of the application")
            over = CallOver(await self.agent.run())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the application gets it
            over = CallOver(ExitReason.START_FAILED, error)
        finally:
            if feeding is not None:
                await cancel_and_wait(feeding)
            self._pump.close()
            self._emit(over)

    async def _feed(self) -> None:
        """Pass the application's input on, and end the call some time after its end."""
        await self._wait_until_live()
        await self._pump.run()
        await self.wait_until_idle()
        self.line.settle_playout()
        # What the listeners of the playout do belongs to the call.
        await asyncio.sleep(0)
        self.agent.stop(ExitReason.USER_LEFT)

    async def _wait_until_live(self) -> None:
        while self.agent.state is not AgentState.RUNNING:
            self._news.clear()
            await self._news.wait()

    async def wait_until_idle(self) -> None:
        """Return when the agent has said all it has to say to what it got."""
        assert self._idleness is not None
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            if self.agent.is_choosing_speaker:
                # Quiet counts from the decision on.
                self._idleness.note_input(loop.time())
            idle_at_s = self._idleness.idle_at_s()
            wait_s = DRAIN_S if idle_at_s is None else idle_at_s - loop.time()
            if wait_s <= 0:
                return
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                if idle_at_s is None:
                    _log.warning("the call is ended %.0f s after its input, not idle yet", DRAIN_S)
                    return

    async def execute(
        self, command: LiveCommand | ClientEvent, *, uid: int | None = None
    ) -> CommandResult:
        """Carry out a command of the application, or an event of the participant `uid`.

        Raises:
            CommandRefusedError: nothing was done.
        """
        return await self.agent.execute(command, uid=uid)

    async def close(self) -> None:
        """End the call now, and free all it holds. Idempotent."""
        self.agent.stop()
        running = self._running
        if running is None or running.done():
            await self._tasks.close()
            return
        try:
            # Its own deadlines bound it: the end of an agent takes seconds at most.
            await asyncio.wait([running])
        finally:
            await self._tasks.close()

    # -- what happens ------------------------------------------------------------------------------

    def _emit(self, item: CallItem) -> None:
        with self._boundary.guard(InputKind.HOOK, "an item for the application"):
            self._on_item(item)

    def _note_input(self, item: LiveInput) -> None:
        if self._idleness is not None:
            now_s = asyncio.get_running_loop().time()
            self._idleness.note_input(now_s, is_question=item.kind in ("text", "activity_end"))

    def _refuse(self, code: str, message: str) -> None:
        self._handle(
            out.AgentError(
                agent_id=self._config.agent_id,
                agent_name=self._config.name,
                error_type="client",
                code=code,
                message=message,
            )
        )

    def _handle(self, event: ServerEvent) -> None:
        if self._idleness is not None:
            self._idleness.handle_event(event, asyncio.get_running_loop().time())
        self._news.set()
        self._emit(event)

    # -- observer of the agent ---------------------------------------------------------------------

    def handle_state(self, old: AgentState, new: AgentState) -> None:  # noqa: ARG002 - a Protocol's
        """The agent changed its state."""
        self._news.set()
        if self._keeper is not None:
            self._keeper.handle_state(new)

    def handle_event(self, event: ServerEvent) -> None:
        """The agent published an event."""
        self._handle(event)

    def handle_call_state(self, state: str, agent: str) -> None:
        """The owner's state changed."""
        self.call_state = read_state(state)
        if self._keeper is not None:
            self._keeper.handle_call_state(state, agent)

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """A function of the owner's failed: the application gets the error."""
        if self._keeper is not None:
            self._keeper.handle_owner_failure(failure)
        self._emit(failure)

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the long-term memory."""
        return NO_KEY if self._keeper is None else await self._keeper.ask_memory(request)

    # -- outlet of the line ------------------------------------------------------------------------

    def handle_audio(self, key: Hashable, pcm: bytes) -> None:
        """A piece of the agent's voice."""
        self._emit(VoiceDelta(*_ids(key), pcm, self.line.sample_rate_hz))

    def handle_audio_done(self, key: Hashable) -> None:
        """A content part has no more audio."""
        self._emit(VoiceDone(*_ids(key)))

    def handle_cleared(self, positions: list[PlayoutPosition]) -> None:
        """The agent fell silent."""
        self._emit(VoiceCleared({_ids(each.key): each.heard_ms for each in positions}))

    def handle_line_event(self, text: str, uid: int | None) -> None:
        """An event for the application alone; the observer gets those for all."""
        if uid is not None and any(mark in text for mark in _PERSONAL):
            self._handle(_SERVER_EVENT.validate_python(json.loads(text)))

    def handle_chat(self, message: ChatMessage) -> None:
        """Transcripts as chat: the application has them as events."""

    def handle_played(self, frame: PlayoutFrame) -> None:
        """A frame sounds now."""
        if self._on_played is not None:
            self._on_played(frame)


def _ids(key: Hashable) -> tuple[str, str, int]:
    """Return the ids of ours in a key of the line."""
    assert isinstance(key, tuple)
    response_id, item_id, content_index = key
    return response_id, item_id, content_index


__all__ = ["CallItem", "CommandRefusedError", "LiveCall"]
