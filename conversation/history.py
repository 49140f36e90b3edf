"""The conversation as it was heard: items in order, replies cut to what the listener got."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from conversation.heard import SpeakingPace, heard_length, pcm_ms

MAX_ITEMS = 2_000


class ItemStatus(StrEnum):
    """How far an item got."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"


@dataclass(slots=True)
class Item:
    """One entry. `text` is what was heard, for a reply in progress what was generated so far."""

    item_id: str
    role: Literal["user", "assistant", "tool"]
    text: str = ""
    status: ItemStatus = ItemStatus.IN_PROGRESS
    response_id: str | None = None
    received_ms: float = 0.0
    is_audio_done: bool = False


class History:
    """Items by id, oldest first; the oldest are dropped beyond `MAX_ITEMS`."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._pace = SpeakingPace()

    @property
    def items(self) -> list[Item]:
        """All items, oldest first."""
        return list(self._items.values())

    def get(self, item_id: str) -> Item | None:
        """The item, or None when it never existed or was dropped."""
        return self._items.get(item_id)

    def open_user_item(self, item_id: str) -> None:
        """Keep the place of what the user says: its words may come after the reply to them."""
        self._open(item_id, "user", None)

    def finish_user_item(self, item_id: str, text: str) -> None:
        """The user's words are known."""
        item = self._open(item_id, "user", None)
        item.text = text
        item.status = ItemStatus.COMPLETED

    def drop(self, item_id: str) -> None:
        """It was nothing anybody said."""
        self._items.pop(item_id, None)

    def append_words(self, item_id: str, response_id: str, delta: str) -> None:
        """The reply goes on with these words; ignored once it was cut."""
        item = self._open(item_id, "assistant", response_id)
        if item.status is ItemStatus.IN_PROGRESS:
            item.text += delta

    def append_audio(
        self, item_id: str, response_id: str, *, pcm_bytes: int, sample_rate_hz: int
    ) -> None:
        """The reply goes on with this much voice."""
        item = self._open(item_id, "assistant", response_id)
        item.received_ms += pcm_ms(pcm_bytes, sample_rate_hz)

    def finish_audio(self, item_id: str) -> None:
        """All of the reply's voice is here, so how long its words take is known."""
        item = self._items.get(item_id)
        if item is not None and item.status is ItemStatus.IN_PROGRESS:
            item.is_audio_done = True
            self._pace.learn(item.text, item.received_ms)

    def heard_length(self, item_id: str, heard_ms: float) -> int:
        """How many characters of the reply's words so far were heard in `heard_ms`."""
        item = self._items.get(item_id)
        if item is None or item.received_ms <= 0:
            return 0
        whole_ms = item.received_ms
        if not item.is_audio_done:
            whole_ms = self._pace.expected_ms(item.text, item.received_ms)
        return heard_length(item.text, received_ms=whole_ms, played_ms=heard_ms)

    def finish_reply(self, item_id: str) -> None:
        """The reply was heard to its end; one that was cut stays cut."""
        item = self._items.get(item_id)
        if item is not None and item.status is ItemStatus.IN_PROGRESS:
            item.status = ItemStatus.COMPLETED

    def cut_reply(self, item_id: str, response_id: str, *, played_ms: float) -> str:
        """The reply was interrupted after `played_ms`; returns the words that were heard."""
        item = self._open(item_id, "assistant", response_id)
        if item.status is not ItemStatus.INTERRUPTED:
            item.text = item.text[: self.heard_length(item_id, played_ms)].strip()
            item.status = ItemStatus.INTERRUPTED
        return item.text

    def add_tool_output(self, call_id: str, output: str) -> None:
        """A tool answered."""
        item = self._open(call_id, "tool", None)
        item.text = output
        item.status = ItemStatus.COMPLETED

    def _open(
        self, item_id: str, role: Literal["user", "assistant", "tool"], response_id: str | None
    ) -> Item:
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = Item(item_id, role, response_id=response_id)
            if len(self._items) > MAX_ITEMS:
                del self._items[next(iter(self._items))]
        return item
