"""The conversation of one session: items in order, their audio, what was heard of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from realtime import struct as wire
from speech.dialogue.context import Entry as DialogueEntry
from speech.dialogue.context import ToolCall, ToolOutput, Turn
from speech.errors import ClientError
from speech.settings import Limits

WIRE_BYTES_PER_MS = 48

_SPACED_WORD = re.compile(r"\s*\S+")

AnyItem = Any
"""One of the item classes of `realtime.struct`."""


@dataclass(slots=True)
class Kept:
    """An item with what the wire form does not carry.

    audio_ms: real length, also when `pcm` was dropped to save memory
    clauses: what the voice said, with the white space before it, each with the millisecond at
        which it ended
    heard_ms: set once the client reported how much was heard
    is_notice: said by the server itself, such as that its language model cannot be reached
    """

    item: AnyItem
    pcm: bytearray = field(default_factory=bytearray)
    audio_ms: int = 0
    clauses: list[tuple[str, int]] = field(default_factory=list)
    heard_ms: int | None = None
    is_notice: bool = False

    @property
    def heard_text(self) -> str:
        """The words that were heard; a clause cut in the middle counts by its share of words."""
        limit_ms = self.audio_ms if self.heard_ms is None else self.heard_ms
        heard: list[str] = []
        start_ms = 0
        for text, end_ms in self.clauses:
            if end_ms <= limit_ms:
                heard.append(text)
            elif limit_ms > start_ms:
                words = _SPACED_WORD.findall(text)
                share = (limit_ms - start_ms) / (end_ms - start_ms)
                heard += words[: int(share * len(words))]
            start_ms = end_ms
        return "".join(heard)

    @property
    def is_cut(self) -> bool:
        """True if less was made or heard of this item than it was to have."""
        spoken = "".join(text for text, _ in self.clauses)
        return self.item.status == "incomplete" or self.heard_text != spoken


class Conversation:
    """Ordered items by id."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: dict[str, Kept] = {}
        self._order: list[str] = []
        self._audio_bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    def add(
        self, item: AnyItem, *, after: str | None = None, pcm: bytes = b""
    ) -> tuple[Kept, str | None]:
        """Insert after the item `after` (`root`: before all; None: at the end).

        Returns what is kept and the id of the item before it.

        Raises:
            ClientError: id taken, `after` unknown, or the conversation is full.
        """
        if item.id in self._kept:
            raise ClientError(
                "item_create_duplicate_item_id",
                f"An item {item.id!r} exists already.",
                param="item.id",
            )
        if len(self._order) >= self._limits.items:
            raise ClientError(
                "conversation_full",
                f"A conversation holds at most {self._limits.items} items: delete some first.",
            )
        index = self._index_after(after)
        kept = Kept(item, bytearray(pcm), len(pcm) // WIRE_BYTES_PER_MS)
        self._order.insert(index, item.id)
        self._kept[item.id] = kept
        self._count_audio(len(pcm))
        return kept, self._order[index - 1] if index else None

    def _index_after(self, after: str | None) -> int:
        if after is None:
            return len(self._order)
        if after == "root":
            return 0
        if after not in self._kept:
            raise ClientError(
                "item_create_invalid_previous_item_id",
                f"There is no item {after!r} to insert after.",
                param="previous_item_id",
            )
        return self._order.index(after) + 1

    def get(self, item_id: str, *, verb: str = "retrieve") -> Kept:
        """The item.

        Raises:
            ClientError: `item_{verb}_invalid_item_id`.
        """
        if item_id not in self._kept:
            raise ClientError(
                f"item_{verb}_invalid_item_id",
                f"Cannot {verb} item {item_id!r}: it does not exist.",
                param="item_id",
            )
        return self._kept[item_id]

    def find(self, item_id: str) -> Kept | None:
        """The item, if it still exists."""
        return self._kept.get(item_id)

    def delete(self, item_id: str) -> None:
        """Forget an item. Raises: ClientError when there is none."""
        kept = self.get(item_id, verb="delete")
        self._audio_bytes -= len(kept.pcm)
        del self._kept[item_id]
        self._order.remove(item_id)

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Forget what was not heard of a spoken reply: audio and words alike.

        Raises:
            ClientError: not a spoken reply, no such content, or beyond its end.
        """
        kept = self.get(item_id, verb="truncate")
        if kept.item.type != "message" or kept.item.role != "assistant":
            raise ClientError(
                "item_truncate_invalid_item_id",
                "Only replies of the assistant can be truncated.",
                param="item_id",
            )
        if content_index != 0:
            raise ClientError(
                "invalid_value", "This item has one content part, number 0.", param="content_index"
            )
        if audio_end_ms > kept.audio_ms:
            raise ClientError(
                "invalid_value",
                f"Audio of {kept.audio_ms} ms is already shorter than {audio_end_ms} ms.",
                param="audio_end_ms",
            )
        kept.heard_ms = min(audio_end_ms, kept.audio_ms if kept.heard_ms is None else kept.heard_ms)
        removed = len(kept.pcm) - kept.heard_ms * WIRE_BYTES_PER_MS
        if removed > 0:
            del kept.pcm[-removed:]
            self._audio_bytes -= removed

    def set_transcript(self, item_id: str, transcript: str) -> None:
        """Set the transcript of a user's item (which may be gone by now)."""
        if (kept := self._kept.get(item_id)) is not None:
            part = wire.ContentPart(type="input_audio", transcript=transcript)
            kept.item = kept.item.model_copy(update={"content": [part]})

    def append_audio(self, kept: Kept, pcm: bytes) -> None:
        """More of a reply's voice; nothing is kept of a reply that was already truncated."""
        kept.audio_ms += len(pcm) // WIRE_BYTES_PER_MS
        if kept.heard_ms is None and self._kept.get(kept.item.id) is kept:
            kept.pcm += pcm
            self._count_audio(len(pcm))

    def _count_audio(self, added_bytes: int) -> None:
        """Drop the oldest audio beyond the bound; its item and length stay."""
        self._audio_bytes += added_bytes
        for item_id in self._order:
            if self._audio_bytes <= self._limits.kept_audio_bytes:
                return
            kept = self._kept[item_id]
            self._audio_bytes -= len(kept.pcm)
            kept.pcm = bytearray()

    def retrieve(self, item_id: str) -> AnyItem:
        """The item with its audio and the words that count. Raises: ClientError."""
        kept = self.get(item_id)
        item = kept.item
        if item.type != "message" or not kept.audio_ms or not item.content:
            return item
        changes: dict[str, Any] = {"audio": wire.encode_pcm(bytes(kept.pcm))}
        if kept.heard_ms is not None:
            changes["transcript"] = kept.heard_text
        part = item.content[0].model_copy(update=changes)
        return item.model_copy(update={"content": [part, *item.content[1:]]})

    def kept_items(self) -> list[Kept]:
        """All items in order."""
        return [self._kept[item_id] for item_id in self._order]

    def history(self) -> tuple[DialogueEntry, ...]:
        """Return the turns that the dialogue may use."""
        entries = (dialogue_entry(kept) for kept in self.kept_items())
        return tuple(entry for entry in entries if entry is not None)


def dialogue_entry(kept: Kept) -> DialogueEntry | None:
    """One item in the dialogue's words; None when it means nothing to it."""
    item = kept.item
    if kept.is_notice or (item.type == "function_call" and item.status == "incomplete"):
        return None
    match item.type:
        case "message":
            text = kept.heard_text if kept.clauses else message_text(item)
            return Turn(item.role, text, is_cut=item.role == "assistant" and kept.is_cut)
        case "function_call":
            return ToolCall(item.call_id or "", item.name, item.arguments)
        case "function_call_output":
            return ToolOutput(item.call_id, item.output)
        case _:
            return None


def message_text(item: wire.MessageItem) -> str:
    """All words of a message, written or spoken."""
    texts = [
        "[image]" if part.type == "input_image" else part.text or part.transcript or ""
        for part in item.content
    ]
    return " ".join(text for text in texts if text)
