"""`ConversationSync`: send the growing conversation to the supervisor, for a replacement process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import BaseModel

from control.ipc.link import Forget, Remember
from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from conversation.snapshot import ResumeState, SnapshotEntry
from shared_ticks import until_tick_s

INTERVAL_S: Final = 0.5
"""Longest age of the supervisor's copy of the heard text."""

# Between two looks: turn boundaries come in bunches.
_PAUSE_S: Final = 0.05

# Events after which an entry of the conversation is new or complete.
_TURN_BOUNDARIES: Final = (
    out.AgentInputTranscriptionDone,
    out.AgentResponseDone,
    out.AgentPlayoutDone,
    out.AgentInterrupted,
    out.AgentResponseToolUseDone,
    out.AgentResponseToolResult,
)


class Changes:
    """Difference between a conversation and the supervisor's copy of it. Pure."""

    def __init__(self, seed: ResumeState | None) -> None:
        """seed: conversation that the supervisor sent with the start."""
        self._sent = {entry.number: entry for entry in (seed.entries if seed else ())}

    def since_last(self, conversation: Sequence[SnapshotEntry]) -> list[BaseModel]:
        """Return the messages that update the supervisor's copy, oldest entry first."""
        now = {entry.number: entry for entry in conversation}
        # Entries before the oldest have not been removed, only dropped from the recent part.
        gone = [number for number in self._sent if now and number not in now and number > min(now)]
        messages: list[BaseModel] = [Forget(number=number) for number in gone]
        messages += [
            Remember(entry=entry) for entry in now.values() if self._sent.get(entry.number) != entry
        ]
        self._sent = now
        return messages


class ConversationSync:
    """Send changes at turn boundaries, and every `INTERVAL_S` while a reply is playing."""

    def __init__(self, seed: ResumeState | None, send: Callable[[BaseModel], None]) -> None:
        self._changes = Changes(seed)
        self._send = send
        # Set by a turn boundary: changes are sent without waiting for the interval.
        self._boundary = asyncio.Event()
        # True after `finish`: later changes are not sent.
        self._is_finished = False

    def handle_event(self, event: ServerEvent) -> None:
        """Check soon if the event is a turn boundary."""
        if isinstance(event, _TURN_BOUNDARIES):
            self._boundary.set()

    async def run(self, conversation: Callable[[], Sequence[SnapshotEntry]]) -> None:
        """Send what has changed, until cancelled."""
        while True:
            is_boundary = True
            try:
                async with asyncio.timeout(until_tick_s(INTERVAL_S)):
                    await self._boundary.wait()
            except TimeoutError:
                is_boundary = False
            self._boundary.clear()
            if self._is_finished:
                return
            self._send_changes(conversation())
            if is_boundary:
                await asyncio.sleep(_PAUSE_S)

    def finish(self, conversation: Sequence[SnapshotEntry]) -> None:
        """Send the last changes now, before the playout is stopped."""
        self._send_changes(conversation)
        self._is_finished = True

    def _send_changes(self, conversation: Sequence[SnapshotEntry]) -> None:
        for message in self._changes.since_last(conversation):
            self._send(message)
