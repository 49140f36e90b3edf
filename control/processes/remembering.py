"""Tells the supervisor the conversation as it grows, so that the next process could go on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import BaseModel

from control.processes.link import Forget, Remember
from conversation import server_events as out
from conversation.remembered import ConversationSeed, RememberedEntry
from conversation.server_events import ServerEvent

INTERVAL_S: Final = 0.5
"""How old the supervisor's knowledge of what was heard may be."""

_PAUSE_S: Final = 0.05

# Somebody said something, something was heard, or a tool was called or answered.
_TURN_BOUNDARIES: Final = (
    out.AgentInputTranscriptionDone,
    out.AgentResponseDone,
    out.AgentPlayoutDone,
    out.AgentInterrupted,
    out.AgentResponseToolUseDone,
    out.AgentResponseToolResult,
)


class Changes:
    """What of a conversation the supervisor does not know yet. Pure."""

    def __init__(self, seed: ConversationSeed | None) -> None:
        """seed: what the supervisor told us"""
        self._told = {entry.number: entry for entry in (seed.entries if seed else ())}

    def since_last(self, conversation: Sequence[RememberedEntry]) -> list[BaseModel]:
        """Messages that bring the supervisor up to date, oldest entry first."""
        now = {entry.number: entry for entry in conversation}
        # Entries before the oldest are not taken back, only too old to be repeated.
        gone = [number for number in self._told if now and number not in now and number > min(now)]
        messages: list[BaseModel] = [Forget(number=number) for number in gone]
        messages += [
            Remember(entry=entry) for entry in now.values() if self._told.get(entry.number) != entry
        ]
        self._told = now
        return messages


class Remembering:
    """Looks at turn boundaries, and now and then while a reply is heard."""

    def __init__(self, seed: ConversationSeed | None, send: Callable[[BaseModel], None]) -> None:
        self._changes = Changes(seed)
        self._send = send
        self._boundary = asyncio.Event()
        self._is_finished = False

    def handle_event(self, event: ServerEvent) -> None:
        """The agent told its room something."""
        if isinstance(event, _TURN_BOUNDARIES):
            self._boundary.set()

    async def run(self, conversation: Callable[[], Sequence[RememberedEntry]]) -> None:
        """Tell what has changed, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(INTERVAL_S):
                    await self._boundary.wait()
            except TimeoutError:
                pass
            self._boundary.clear()
            if self._is_finished:
                return
            self._tell(conversation())
            # Boundaries come in bunches.
            await asyncio.sleep(_PAUSE_S)

    def finish(self, conversation: Sequence[RememberedEntry]) -> None:
        """Tell the last of it now: what is being played will soon be no more."""
        self._tell(conversation)
        self._is_finished = True

    def _tell(self, conversation: Sequence[RememberedEntry]) -> None:
        for message in self._changes.since_last(conversation):
            self._send(message)
