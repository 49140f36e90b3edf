"""Transcripts as chat messages of the room, for participants without a data channel."""

from __future__ import annotations

import asyncio
import json
from typing import Final, Literal

from line.errors import LineError
from line.participants import ChatMessage
from session.context import SessionContext
from utils import OwnedTasks

Role = Literal["user", "agent"]

DELTA_INTERVAL_S: Final = 0.2
"""Words of one item are gathered for so long: a model sends them far faster than a chat shows them,
and rooms limit the messages of a member."""


class TranscriptChat:
    """Posts finished transcripts and, where the start says so, their growing words before.

    Never waits for the room: a message that it does not take is lost.
    """

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._posts_deltas = context.config.posts_deltas
        self._tasks = OwnedTasks(context.log)
        # Words not posted yet, by item id, with their role.
        self._words: dict[str, tuple[Role, str]] = {}

    def add_words(self, role: Role, item_id: str, delta: str) -> None:
        """Post further words of an item, together with those of the next moment."""
        if not self._posts_deltas:
            return
        if not self._words:
            self._tasks.start(self._flush_later(), name="transcript deltas")
        _, before = self._words.get(item_id, (role, ""))
        self._words[item_id] = (role, before + delta)

    def finish(self, role: Role, item_id: str, text: str) -> None:
        """Post the whole transcript of an item, after the words that still wait."""
        self._flush()
        self._post("transcript", role, item_id, text)

    async def _flush_later(self) -> None:
        await asyncio.sleep(DELTA_INTERVAL_S)
        self._flush()

    def _flush(self) -> None:
        words, self._words = self._words, {}
        for item_id, (role, text) in words.items():
            self._post("transcript_delta", role, item_id, text)

    def _post(self, kind: str, role: Role, item_id: str, text: str) -> None:
        message = json.dumps({"kind": kind, "role": role, "text": text})
        self._tasks.start(self._send(ChatMessage(message, item_id)), name="transcript")

    async def _send(self, message: ChatMessage) -> None:
        try:
            await self._context.line.send_chat(message)
        except (LineError, ValueError) as error:
            self._context.log.debug("a transcript did not reach the chat: %s", error)

    async def close(self) -> None:
        """Drop transcripts that are not sent yet."""
        await self._tasks.close()
