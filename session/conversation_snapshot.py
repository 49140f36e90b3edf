"""Converts the live conversation to snapshot entries, and entries back to a transcript."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from conversation.history import History, ItemStatus
from conversation.snapshot import (
    MAX_ENTRY_CHARACTERS,
    ResumeState,
    SnapshotEntry,
    SnapshotText,
    SnapshotToolCall,
)
from line.playout.buffer import PlayoutPosition
from realtime.resilience.response_tracker import PendingReply
from realtime.resilience.transcript import Entry, ImageEntry, TextEntry, ToolCallEntry, Transcript
from untrusted.json_reader import InvalidJsonError, read_object

RECENT_ENTRIES: Final = 48
"""Older entries no longer change."""

# Marks a text that was shortened.
_CUT: Final = "…"
_PICTURE: Final = "[a picture]"


def snapshot_entries(
    transcript: Transcript, history: History, position: PlayoutPosition | None
) -> list[SnapshotEntry]:
    """Return the last `RECENT_ENTRIES` of the conversation, replies as far as they were heard.

    position: of the playout at this moment
    """
    return [
        _snapshot_entry(entry, history, position)
        for entry in transcript.since(transcript.count - RECENT_ENTRIES)
    ]


def heard_entries(
    transcript: Transcript, history: History, position: PlayoutPosition | None
) -> list[tuple[SnapshotEntry, str]]:
    """Return the whole conversation as heard, each entry with its speaker, where known."""
    found = []
    for entry in transcript.since(0):
        item = history.get(entry.item_id)
        speaker = "" if item is None else item.speaker
        found.append((_snapshot_entry(entry, history, position), speaker))
    return found


def _snapshot_entry(
    entry: Entry, history: History, position: PlayoutPosition | None
) -> SnapshotEntry:
    match entry:
        case TextEntry():
            return _snapshot_text(entry, history, position)
        case ImageEntry():
            return SnapshotText(number=entry.number, role="user", text=_PICTURE)
        case ToolCallEntry():
            is_long = len(entry.arguments) > MAX_ENTRY_CHARACTERS
            return SnapshotToolCall(
                number=entry.number,
                call_id=entry.call_id,
                name=entry.name,
                # A cut JSON object would be refused; the output still holds the result.
                arguments="{}" if is_long else entry.arguments,
                output=None if entry.output is None else _cut(entry.output),
            )


def _snapshot_text(
    said: TextEntry, history: History, position: PlayoutPosition | None
) -> SnapshotText:
    text, is_open = said.text, False
    item = history.get(said.item_id) if said.role == "assistant" else None
    if item is not None and item.status is ItemStatus.IN_PROGRESS:
        is_open = True
        text = history.heard_text(item.item_id, _heard_ms(item.item_id, position))
    return SnapshotText(
        number=said.number,
        role=said.role,
        text=_cut(text),
        is_cut=said.is_cut,
        is_open=is_open,
        unheard="" if item is None else _cut(item.unheard),
        speaker=said.speaker,
    )


def _heard_ms(item_id: str, position: PlayoutPosition | None) -> float:
    """Return how much of the item was heard: nothing while it waits, since items are played in
    order.
    """
    if position is None or not isinstance(position.key, tuple) or position.key[1] != item_id:
        return 0.0
    return position.heard_ms


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ENTRY_CHARACTERS else text[:MAX_ENTRY_CHARACTERS] + _CUT


def transcript_entries(seed: ResumeState) -> Iterator[Entry]:
    """Return the entries with which the transcript of a resumed conversation starts."""
    for entry in seed.entries:
        item_id = f"restored_{entry.number}"
        match entry:
            case SnapshotText():
                yield TextEntry(
                    entry.number,
                    item_id,
                    entry.role,
                    entry.text,
                    is_cut=entry.is_cut,
                    speaker=entry.speaker,
                )
            case SnapshotToolCall():
                yield ToolCallEntry(
                    entry.number, item_id, entry.call_id, entry.name, entry.arguments, entry.output
                )


def pending_reply(seed: ResumeState) -> PendingReply | None:
    """Return the reply that the user still waits for, if any."""
    return PendingReply(heard=seed.heard) if seed.is_reply_owed else None


def past_skills(outputs: Iterable[str], loadable: Mapping[str, str]) -> dict[str, str]:
    """Return the skills that these outputs of the tool `set_skill` say are loaded."""
    loaded: dict[str, str] = {}
    for output in outputs:
        with contextlib.suppress(InvalidJsonError):
            name = str(read_object(output).get("loaded"))
            if name in loadable:
                loaded[name] = loadable[name]
    return loaded


def past_outputs(seed: ResumeState, tool: str) -> list[str]:
    """Return the outputs of finished calls of `tool`, oldest first."""
    return [
        entry.output
        for entry in seed.entries
        if isinstance(entry, SnapshotToolCall) and entry.name == tool and entry.output is not None
    ]
