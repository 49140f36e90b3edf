"""Conversations by `thread_id`, kept between calls that run in-process: in memory or in a database.

The database is that of a server (docs/store.md): a folder or a URL, so that a conversation that began
in a room may go on in-process, and its calls are among the records of `GET /calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from config.agent import AgentConfig
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState, ExitReason
from conversation.memory import NO_KEY, MemoryAnswer, MemoryRequest, MemoryText, answer
from conversation.owner_failure import OwnerFailure
from conversation.snapshot import ConversationSnapshot, SnapshotEntry, continued
from utils import BoundedDict, wall_clock_ms

AnswerMemory = Callable[[MemoryRequest], MemoryAnswer]

MAX_CONVERSATIONS: Final = 1_000
"""Conversations in memory; of more, the one that was not used for longest is forgotten."""


class ConversationStoreError(RuntimeError):
    """The store cannot be used, or another call has the conversation; the text says why."""


class CallKeeper(Protocol):
    """Keeps what an agent reports. Its methods return at once and do not raise."""

    def handle_state(self, state: AgentState) -> None:
        """The agent has this state now."""
        ...

    def handle_call_state(self, state: str, agent: str) -> None:
        """The owner's state (JSON) is this now, and this definition has the floor."""
        ...

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """A function of the owner's failed."""
        ...

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the memory of the call's key."""
        ...


class CallRecord(CallKeeper, Protocol):
    """Keeps one call."""

    def handle_event(self, event: ServerEvent) -> None:
        """The agent published an event."""
        ...

    def save(self, conversation: Sequence[SnapshotEntry]) -> None:
        """The recent part of the conversation is this now."""
        ...

    async def end(self, reason: ExitReason, error: str | None) -> None:
        """The call is over; returns when all of it is kept, or cannot be."""
        ...


class Conversations(Protocol):
    """A place for conversations."""

    async def begin(self, config: AgentConfig) -> tuple[AgentConfig, CallRecord]:
        """Return `config` with the conversation that it continues, held by this call until its end.

        Raises:
            ConversationStoreError: another live call has it, or it cannot be read.
        """
        ...

    async def close(self) -> None:
        """Write all that waits, and free all. Idempotent."""
        ...


class ConversationStore:
    """`async with ConversationStore("parley-data") as store`, for any number of calls.

    place: the folder of a server that does not run at the same time, or `sqlite:///FILE` or
        `postgresql://...`, which several processes may share; None: memory, as long as this object
    """

    def __init__(self, place: str | None = None) -> None:
        self.place = place
        self._conversations: Conversations | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def begin(self, config: AgentConfig) -> tuple[AgentConfig, CallRecord]:
        """See `Conversations.begin`."""
        if self._conversations is None:
            self._conversations = self._open()
        return await self._conversations.begin(config)

    async def close(self) -> None:
        """Write all that waits and close the database. Idempotent; it opens again when needed."""
        conversations = self._conversations
        if conversations is not None and not isinstance(conversations, _InMemory):
            self._conversations = None
            await conversations.close()

    def _open(self) -> Conversations:
        if self.place is None:
            return _InMemory()
        from parley.in_process.stored_conversations import open_database

        return open_database(self.place)


class _InMemory:
    """Conversations of this process."""

    def __init__(self) -> None:
        self._kept: BoundedDict[str, ConversationSnapshot] = BoundedDict(MAX_CONVERSATIONS)
        self._held: set[str] = set()
        self._memories: BoundedDict[str, list[MemoryText]] = BoundedDict(MAX_CONVERSATIONS)

    async def begin(self, config: AgentConfig) -> tuple[AgentConfig, CallRecord]:
        """See `Conversations.begin`."""
        thread_id = config.thread_id
        if not thread_id:
            return config, _Forgotten(self._memory_of(config))
        if thread_id in self._held:
            raise ConversationStoreError(f"thread_id {thread_id!r}: another live call has it")
        self._held.add(thread_id)
        seed = continued(())
        if (kept := self._kept.get(thread_id)) is not None:
            self._kept.move_to_end(thread_id)
            seed = continued(kept.seed().entries, kept.call_state)
        self._kept[thread_id] = conversation = ConversationSnapshot(seed)
        record = _Remembered(
            conversation, lambda: self._held.discard(thread_id), self._memory_of(config)
        )
        return config.model_copy(update={"conversation_seed": seed}), record

    async def close(self) -> None:
        """See `Conversations.close`."""
        self._kept.clear()
        self._memories.clear()

    def _memory_of(self, config: AgentConfig) -> AnswerMemory | None:
        if not (key := config.memory_key):
            return None

        def ask(request: MemoryRequest) -> MemoryAnswer:
            made, texts = answer(request, self._memories.get(key, ()), now_ms=wall_clock_ms())
            self._memories[key] = texts
            self._memories.move_to_end(key)
            return made

        return ask


class _Forgotten:
    """A call without a `thread_id`: nothing of it is kept but its long-term memory."""

    def __init__(self, answer_memory: AnswerMemory | None) -> None:
        """answer_memory: answers requests to the memory of the call's key"""
        self._answer_memory = answer_memory

    def handle_state(self, state: AgentState) -> None:
        """States are not kept."""

    def handle_event(self, event: ServerEvent) -> None:
        """Events are not kept."""

    def handle_call_state(self, state: str, agent: str) -> None:
        """Nothing is kept."""

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """Failures are not kept."""

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the memory of the call's key."""
        return NO_KEY if self._answer_memory is None else self._answer_memory(request)

    def save(self, conversation: Sequence[SnapshotEntry]) -> None:
        """Nothing is kept."""

    async def end(self, reason: ExitReason, error: str | None) -> None:
        """Nothing is kept."""


class _Remembered(_Forgotten):
    """A call whose conversation stays in memory."""

    def __init__(
        self,
        conversation: ConversationSnapshot,
        on_end: Callable[[], None],
        answer_memory: AnswerMemory | None,
    ) -> None:
        super().__init__(answer_memory)
        self._conversation = conversation
        self._on_end = on_end
        self._numbers: set[int] = set()

    def handle_call_state(self, state: str, agent: str) -> None:  # noqa: ARG002
        """Keep the state."""
        self._conversation.call_state = state

    def save(self, conversation: Sequence[SnapshotEntry]) -> None:
        """Keep what is new or changed, and forget what was taken back."""
        now = {entry.number for entry in conversation}
        for number in self._numbers - now:
            if now and number > min(now):
                self._conversation.forget(number)
        for entry in conversation:
            self._conversation.update(entry)
        self._numbers |= now

    async def end(self, reason: ExitReason, error: str | None) -> None:  # noqa: ARG002
        """Let another call have the conversation."""
        self._on_end()


IN_MEMORY: Final = ConversationStore()
"""Keeps the conversations of calls that name no store, as long as the process lives."""
