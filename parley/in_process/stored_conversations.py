"""Conversations of calls in-process, in the database of a server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path

from config.agent import AgentConfig
from config.settings import ConfigError
from control.child.conversation_sync import Changes
from control.ipc.link import Event, Forget, OwnerFailed, Remember, RememberCall
from control.placement import ExitRecord
from control.store.archive import Archive
from control.store.data_folder import DataFolder, DataFolderTakenError
from control.store.errors import ArchiveError
from control.store.opening import checked_url
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState, ExitReason
from conversation.memory import MemoryAnswer, MemoryRequest
from conversation.owner_failure import OwnerFailure
from conversation.snapshot import SnapshotEntry
from parley.in_process.conversation_store import ConversationStoreError
from utils import wall_clock_ms


def open_database(place: str) -> DatabaseConversations:
    """Open the database in a folder, or at a URL.

    Raises:
        ConversationStoreError: the folder is in use or cannot be written, or the URL is none.
    """
    is_url = "://" in place
    folder: DataFolder | None = None
    try:
        url = checked_url(Path() if is_url else Path(place), place if is_url else None)
        folder = None if is_url else DataFolder(Path(place))
    except DataFolderTakenError as error:
        text = f"{place} is used by a running server or another store: share one ConversationStore"
        raise ConversationStoreError(text) from error
    except (OSError, ConfigError) as error:
        raise ConversationStoreError(f"{place}: {error}") from error
    server_id = secrets.token_hex(16) if folder is None else folder.server_id
    return DatabaseConversations(Archive(url, server_id, folder=folder, is_shared=is_url))


class DatabaseConversations:
    """Calls as a server records them. Its tasks end with `close`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._is_started = False

    async def begin(self, config: AgentConfig) -> tuple[AgentConfig, StoredCall]:
        """See `parley.in_process.conversation_store.Conversations.begin`."""
        if not self._is_started:
            self._is_started = True
            self._archive.start(list)
        try:
            config = await self._archive.open_call(config)
        except ArchiveError as error:
            raise ConversationStoreError(str(error)) from error
        return config, StoredCall(self._archive, config)

    async def close(self) -> None:
        """Write all that waits and close the database."""
        await self._archive.close()


class StoredCall:
    """A call that is recorded as those of agent processes are."""

    def __init__(self, archive: Archive, config: AgentConfig) -> None:
        self._archive = archive
        self._config = config
        self._changes = Changes(config.conversation_seed)
        self._begun_s = asyncio.get_running_loop().time()
        archive.recorder.handle_start(config, restarts=0)

    def handle_state(self, state: AgentState) -> None:
        """Record the state."""
        self._archive.recorder.handle_state(self._config, state, at_ms=wall_clock_ms())

    def handle_event(self, event: ServerEvent) -> None:
        """Record what the event holds of turns, and for the black box."""
        self._archive.recorder.handle_message(self._config, Event(event=event))

    def handle_call_state(self, state: str, agent: str) -> None:
        """Record the owner's state."""
        message = RememberCall(state=state, agent=agent)
        self._archive.recorder.handle_message(self._config, message)

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """Record a failure of the owner's code."""
        self._archive.recorder.handle_message(self._config, OwnerFailed(failure=failure))

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the memory of the call's key."""
        return await self._archive.memories.answer(self._config.memory_key, request)

    def save(self, conversation: Sequence[SnapshotEntry]) -> None:
        """Record what has changed."""
        for message in self._changes.since_last(conversation):
            if isinstance(message, Remember | Forget):
                self._archive.recorder.handle_message(self._config, message)

    async def end(self, reason: ExitReason, error: str | None) -> None:
        """Complete the record and have it written."""
        config = self._config
        self._archive.recorder.handle_exit(
            ExitRecord(
                agent_id=config.agent_id,
                channel_name=config.channel_name,
                uid=config.uid,
                pid=None,
                exit_reason=reason,
                exit_code=None,
                stopped_by=None,
                uptime_s=asyncio.get_running_loop().time() - self._begun_s,
                ended_at_ms=wall_clock_ms(),
                error=error,
            )
        )
        await self._archive.settle()
