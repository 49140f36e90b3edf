"""The conversation as it was heard: items in order, replies cut to what the listener heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from conversation.heard_text import SpeakingPace, heard_length, heard_text, pcm_ms
from utils import BoundedDict

# Bounds memory against a provider that floods.
MAX_ITEMS = 2_000


class ItemStatus(StrEnum):
    """Progress of an item."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"


@dataclass(slots=True)
class Item:
    """One entry. `text` is what was heard; of a reply in progress, what was generated so far."""

    item_id: str
    role: Literal["user", "assistant", "tool"]
    text: str = ""
    # Of a reply that was cut: the words that nobody heard.
    unheard: str = ""
    status: ItemStatus = ItemStatus.IN_PROGRESS
    response_id: str | None = None
    # Audio received so far, of all content parts together.
    received_ms: float = 0.0
    # From then on `received_ms` is the whole duration.
    is_audio_done: bool = False
    # Uid of a user, name of an agent; empty: unknown.
    speaker: str = ""


class History:
    """Items by id, oldest first; the oldest are dropped beyond `MAX_ITEMS`.

    The only place that turns played milliseconds into heard words.
    """

    def __init__(self) -> None:
        # Called with each item that reached its end; must not raise.
        self.on_update: Callable[[Item], None] | None = None
        self._items: BoundedDict[str, Item] = BoundedDict(MAX_ITEMS)
        self._pace = SpeakingPace()
        # Name of the agent that has the floor; replies get it.
        self.agent_name = ""

    @property
    def items(self) -> list[Item]:
        """All items, oldest first."""
        return list(self._items.values())

    def get(self, item_id: str) -> Item | None:
        """Return the item, or None if it never existed or was dropped."""
        return self._items.get(item_id)

    def open_user_item(self, item_id: str) -> None:
        """Reserve the place of a user turn: its transcript may come after the reply to it."""
        self._open(item_id, "user", None)

    def finish_user_item(self, item_id: str, text: str, *, speaker: str = "") -> None:
        """Set the transcript of a user turn."""
        item = self._open(item_id, "user", None)
        item.text = text
        item.speaker = speaker
        self._end(item, ItemStatus.COMPLETED)

    def drop(self, item_id: str) -> None:
        """Remove an item that turned out to be no speech."""
        self._items.pop(item_id, None)

    def append_words(self, item_id: str, response_id: str, delta: str) -> None:
        """Append words to a reply; ignored once it was cut."""
        item = self._open(item_id, "assistant", response_id)
        if item.status is not ItemStatus.INTERRUPTED:
            item.text += delta

    def finish_words(self, item_id: str, response_id: str, text: str) -> None:
        """Take the reply's complete words, of which pieces may have been missing.

        `text` may be one of several parts of the item, so that only a longer one replaces the words
        so far. Ignored once the reply was cut.
        """
        item = self._open(item_id, "assistant", response_id)
        if item.status is not ItemStatus.INTERRUPTED and len(text) > len(item.text):
            item.text = text

    def append_audio(
        self, item_id: str, response_id: str, *, pcm_bytes: int, sample_rate_hz: int
    ) -> None:
        """Count audio of a reply."""
        item = self._open(item_id, "assistant", response_id)
        item.received_ms += pcm_ms(pcm_bytes, sample_rate_hz)

    def finish_audio(self, item_id: str) -> None:
        """Mark a reply's audio as complete: from here on the duration of its words is known."""
        item = self._items.get(item_id)
        if item is not None and item.status is ItemStatus.IN_PROGRESS:
            item.is_audio_done = True
            self._pace.learn(item.text, item.received_ms)

    def end_audio_early(self, item_id: str) -> tuple[str, float]:
        """Cut a reply whose voice broke off to the words that its audio so far makes audible.

        Returns those words and the length of the audio in ms, all of which is still played.
        """
        item = self._items.get(item_id)
        if item is None:
            return "", 0.0
        if item.status is ItemStatus.IN_PROGRESS and not item.is_audio_done:
            item.text = item.text[: self.heard_length(item_id, item.received_ms)].strip()
            item.is_audio_done = True
        return item.text, item.received_ms

    def heard_length(self, item_id: str, heard_ms: float) -> int:
        """Return how many characters of the reply's words so far were heard in `heard_ms`."""
        item = self._items.get(item_id)
        if item is None or item.received_ms <= 0:
            return 0
        whole_ms = item.received_ms
        if not item.is_audio_done:
            whole_ms = self._pace.expected_ms(item.text, item.received_ms)
        return heard_length(item.text, received_ms=whole_ms, played_ms=heard_ms)

    def heard_text(self, item_id: str, heard_ms: float) -> str:
        """Return the words of the reply that were heard in `heard_ms`: all of them where it was
        heard to its end or has no voice, and what is left of it where it was cut.
        """
        item = self._items.get(item_id)
        if item is None:
            return ""
        if item.status is not ItemStatus.IN_PROGRESS or not item.received_ms:
            return item.text
        return item.text[: self.heard_length(item_id, heard_ms)].strip()

    def longest_spoken_text(self, item_id: str, played_ms: float) -> str:
        """Return the most words of the reply that may have been spoken within `played_ms`.

        For the comparison with an echo, which must not miss a word. The words so far are taken for
        as long as the voice so far; `heard_text` assumes that they run ahead of it.
        """
        item = self._items.get(item_id)
        if item is None:
            return ""
        return heard_text(item.text, received_ms=item.received_ms, played_ms=played_ms)

    def finish_reply(self, item_id: str) -> None:
        """Mark a reply as heard to its end; one that was cut stays cut."""
        item = self._items.get(item_id)
        if item is not None and item.status is ItemStatus.IN_PROGRESS:
            self._end(item, ItemStatus.COMPLETED)

    def cut_reply(self, item_id: str, response_id: str, *, played_ms: float) -> str:
        """Cut a reply to its first `played_ms`; return the words that were heard. A second cut
        changes nothing.
        """
        item = self._open(item_id, "assistant", response_id)
        if item.status is not ItemStatus.INTERRUPTED:
            length = self.heard_length(item_id, played_ms)
            item.unheard = item.text[length:].strip()
            item.text = item.text[:length].strip()
            self._end(item, ItemStatus.INTERRUPTED)
        return item.text

    def add_tool_output(self, call_id: str, output: str) -> None:
        """Add the output of a tool call."""
        item = self._open(call_id, "tool", None)
        item.text = output
        self._end(item, ItemStatus.COMPLETED)

    def _end(self, item: Item, status: ItemStatus) -> None:
        item.status = status
        if self.on_update is not None:
            self.on_update(item)

    def _open(
        self, item_id: str, role: Literal["user", "assistant", "tool"], response_id: str | None
    ) -> Item:
        item = self._items.get(item_id)
        if item is None:
            speaker = self.agent_name if role == "assistant" else ""
            item = Item(item_id, role, response_id=response_id, speaker=speaker)
            self._items[item_id] = item
        return item
