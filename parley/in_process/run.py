"""Runs an agent in the process of its application: no server, no room, no WebRTC."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable
from typing import Any, Final, TypeVar, Unpack

from config.environment import read_environment
from config.local_model import LocalModelAddress
from config.settings import Settings
from conversation.events import server_events as out
from conversation.lifecycle import AgentState, ExitReason
from conversation.memory import MemoryAnswer, MemoryRequest
from conversation.owner_failure import OwnerFailure
from line.playout.buffer import PlayoutFrame
from parley.agent import Agent
from parley.chat_room import ChatRoom
from parley.in_process.config import agents_of, live_config, with_state
from parley.in_process.conversation_store import IN_MEMORY, CallRecord, ConversationStore
from parley.in_process.event_backlog import EventBacklog
from parley.in_process.idleness import QUIET_S
from parley.in_process.live_call import (
    CallItem,
    CallOver,
    LiveCall,
    VoiceCleared,
    VoiceDelta,
    VoiceDone,
)
from parley.in_process.local_model import started_local_model
from parley.in_process.translation import Translator
from parley.live_events import AudioDeltaEvent, AudioDoneEvent, ErrorEvent, RealtimeEvent
from parley.live_input import LiveInputQueue
from parley.live_options import LiveOptions
from session.model_setup import CreateModel
from utils import cancel_and_wait

T = TypeVar("T")

_BOUNDARIES: Final = (
    out.AgentInputTranscriptionDone,
    out.AgentResponseDone,
    out.AgentPlayoutDone,
    out.AgentInterrupted,
    out.AgentResponseToolUseDone,
    out.AgentResponseToolResult,
)
"""Events after which the stored conversation is brought up to date."""

_FATAL: Final = {
    ExitReason.PROVIDER_FAILED: "the model is gone, and no new session could be opened",
    ExitReason.MAX_DURATION: "the call has reached its longest duration",
    ExitReason.IDLE: "no word was said for too long",
    ExitReason.BUDGET_SPENT: "the call has spent its budget",
}
"""Ends of a call that its application did not ask for."""


async def arealtime(
    definition: Agent | ChatRoom,
    queue: LiveInputQueue,
    *,
    create_model: CreateModel | None = None,
    **options: Unpack[LiveOptions],
) -> AsyncGenerator[RealtimeEvent, None]:
    """Run a call and yield its events; see `Agent.arealtime`.

    create_model: makes the sessions of the model; None: those of the configured provider
    """
    outlet = EventOutlet()
    async with open_call(
        definition, queue, outlet.handle, create_model=create_model, **options
    ) as call:
        call.start()
        while (event := await outlet.backlog.get()) is not None:
            yield event
    if outlet.failure is not None:
        raise outlet.failure


class EventOutlet:
    """Items of a call as events that wait for the application."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.backlog: EventBacklog[RealtimeEvent] = EventBacklog(_audio_s)
        self._translator = Translator()

    def handle(self, item: CallItem) -> None:
        """Take the next item."""
        match item:
            case VoiceDelta():
                ids = (item.response_id, item.item_id, item.content_index)
                self.backlog.put(AudioDeltaEvent(item.pcm, item.sample_rate_hz, *ids))
            case VoiceDone():
                self.backlog.put(AudioDoneEvent(item.response_id, item.item_id, item.content_index))
            case VoiceCleared():
                self.backlog.drop(
                    lambda event: (
                        isinstance(event, AudioDeltaEvent)
                        and (event.response_id, event.item_id, event.content_index) in item.heard_ms
                    )
                )
            case OwnerFailure():
                text = f"{item.source} {item.name}: {item.message} {item.place}".strip()
                self.backlog.put(ErrorEvent(text, code="owner_code"))
            case CallOver():
                self.failure = item.failure
                if (message := _FATAL.get(ExitReason(item.reason))) is not None:
                    self.backlog.put(ErrorEvent(message, code=item.reason, fatal=True))
                self.backlog.finish()
            case _:
                for event in self._translator.translate(item):
                    self.backlog.put(event)


def _audio_s(event: RealtimeEvent) -> float:
    if isinstance(event, AudioDeltaEvent):
        return len(event.data) / 2 / event.sample_rate
    return 0.0


@contextlib.asynccontextmanager
async def open_call(
    definition: Agent | ChatRoom,
    queue: LiveInputQueue,
    on_item: Callable[[CallItem], None],
    *,
    create_model: CreateModel | None = None,
    on_played: Callable[[PlayoutFrame], None] | None = None,
    quiet_s: float = QUIET_S,
    **options: Unpack[LiveOptions],
) -> AsyncIterator[LiveCall]:
    """Make a call, not yet started; at the end it is closed and nothing of it is left.

    Raises:
        ConfigError: a setting is missing or wrong.
        AgentStartError: the local model cannot be started.
        ConversationStoreError: the conversation cannot be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        settings = _settings(options)
        brings_model = create_model is not None
        agents = agents_of(definition)
        local = (
            LocalModelAddress()
            if brings_model
            else await _local_model(stack, agents, settings, options)
        )
        config = live_config(
            settings, definition, options, local_model=local, brings_model=brings_model
        )
        store = await _store_of(stack, options)
        config, record = await store.begin(config)
        config = with_state(config, options.get("state", {}))
        keeper = _Keeper(record, on_item)
        stack.push_async_callback(keeper.close)
        call = LiveCall(
            config,
            keeper.handle_item,
            queue=queue,
            definition=definition,
            tracker=options.get("playback_tracker"),
            create_model=create_model,
            keeper=keeper,
            on_played=on_played,
            quiet_s=quiet_s,
        )
        keeper.follow(call)
        stack.push_async_callback(call.close)
        yield call


def _settings(options: LiveOptions) -> Settings:
    found = read_environment(os.environ)
    variables = {**found.variables, **options.get("settings", {})}
    return Settings.from_env(variables, problems=found.problems, places=found.places)


async def _local_model(
    stack: contextlib.AsyncExitStack,
    agents: Iterable[Agent],
    settings: Settings,
    options: LiveOptions,
) -> LocalModelAddress:
    """Return the address of the local model if this call needs it, which may start it."""
    wanted = [options.get("start", {}).get("provider") or one.provider for one in agents]
    names = {*(each or settings.model_provider for each in wanted), settings.fallback_provider}
    if "local" not in names:
        return LocalModelAddress()
    if settings.local_model_uri is not None:
        return LocalModelAddress(settings.local_model_uri, settings.local_model_api_key)
    return await stack.enter_async_context(started_local_model(settings))


async def _store_of(stack: contextlib.AsyncExitStack, options: LiveOptions) -> ConversationStore:
    match options.get("store"):
        case ConversationStore() as store:
            return store
        case str() as place:
            return await stack.enter_async_context(ConversationStore(place))
        case _:
            return IN_MEMORY


class _Keeper:
    """Keeps the record of a call in step with it, and passes its items on."""

    def __init__(self, record: CallRecord, on_item: Callable[[CallItem], None]) -> None:
        self._record = record
        self._on_item = on_item
        self._call: LiveCall | None = None
        self._over = CallOver(ExitReason.STOPPED)
        self._changed = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None

    def follow(self, call: LiveCall) -> None:
        """Save the conversation of this call at its turn boundaries."""
        self._call = call
        self._saving = asyncio.get_running_loop().create_task(self._save_changes())

    async def _save_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._save()

    def _save(self) -> None:
        if self._call is not None:
            self._record.save(self._call.agent.conversation())

    def handle_state(self, state: AgentState) -> None:
        """Note a state; the last look at the conversation is the one before its playout stops."""
        self._record.handle_state(state)
        if state is AgentState.STOPPING:
            self._save()
            self._call = None

    def handle_call_state(self, state: str, agent: str) -> None:
        """Note the owner's state."""
        self._record.handle_call_state(state, agent)

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """Note a failure of the owner's code."""
        self._record.handle_owner_failure(failure)

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the memory of the call's key."""
        return await self._record.ask_memory(request)

    def handle_item(self, item: CallItem) -> None:
        """Note an item and pass it on."""
        if isinstance(item, CallOver):
            self._over = item
        elif not isinstance(item, VoiceDelta | VoiceDone | VoiceCleared | OwnerFailure):
            self._record.handle_event(item)
            if isinstance(item, _BOUNDARIES):
                self._changed.set()
        self._on_item(item)

    async def close(self) -> None:
        """Complete the record."""
        if self._saving is not None:
            await cancel_and_wait(self._saving)
        failure = self._over.failure
        reason = ExitReason(self._over.reason)
        await self._record.end(reason, None if failure is None else str(failure))


# -- the synchronous twin ------------------------------------------------------------------------------


def realtime(
    definition: Agent | ChatRoom,
    queue: LiveInputQueue,
    *,
    create_model: CreateModel | None = None,
    **options: Unpack[LiveOptions],
) -> Generator[RealtimeEvent, None, None]:
    """Run a call in a thread of its own and yield its events; see `Agent.realtime`.

    Raises:
        RuntimeError: An event loop runs in this thread, which this would block.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _iterate(lambda: arealtime(definition, queue, create_model=create_model, **options))
    raise RuntimeError("an event loop runs here: use arealtime, which does not block it")


def _iterate(
    create: Callable[[], AsyncGenerator[RealtimeEvent, None]],
) -> Generator[RealtimeEvent, None, None]:
    with _LoopThread() as thread:
        events = create()
        try:
            while (event := thread.run(_next(events))) is not None:
                yield event
        finally:
            thread.run(_close(events))


async def _next(events: AsyncGenerator[RealtimeEvent, None]) -> RealtimeEvent | None:
    return await anext(events, None)


async def _close(events: AsyncGenerator[RealtimeEvent, None]) -> None:
    await events.aclose()


class _LoopThread:
    """An event loop in a thread, so that a call goes on while its events are handled."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="call", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def __enter__(self) -> _LoopThread:
        self._thread.start()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for its result. Interrupted, it is cancelled."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def __exit__(self, *_: object) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
