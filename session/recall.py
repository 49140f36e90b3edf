"""A conversation out of this process and back: what to remember of it, and how to begin with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from conversation.heard import heard_text
from conversation.history import Item, ItemStatus
from conversation.remembered import (
    MAX_ENTRY_CHARACTERS,
    ConversationSeed,
    RememberedCall,
    RememberedEntry,
    RememberedText,
)
from realtime.lasting.reply_watch import OwedReply
from realtime.lasting.transcript import Called, Entry, Said, Shown, Transcript
from rtc.playout import PlayoutPosition

HistoryLookup = Callable[[str], Item | None]

RECENT_ENTRIES: Final = 48
"""Older ones do not change any more."""

_CUT: Final = "…"
_PICTURE: Final = "[a picture]"


def remembered(
    transcript: Transcript, find: HistoryLookup, position: PlayoutPosition | None
) -> list[RememberedEntry]:
    """The last `RECENT_ENTRIES` of the conversation as they stand, replies as far as heard.

    find: the history's item of an id; position: what is being played
    """
    return [
        _remember(entry, find(entry.item_id), position)
        for entry in transcript.since(transcript.count - RECENT_ENTRIES)
    ]


def _remember(entry: Entry, item: Item | None, position: PlayoutPosition | None) -> RememberedEntry:
    match entry:
        case Said():
            return _remember_words(entry, item, position)
        case Shown():
            return RememberedText(number=entry.number, role="user", text=_PICTURE)
        case Called():
            is_long = len(entry.arguments) > MAX_ENTRY_CHARACTERS
            return RememberedCall(
                number=entry.number,
                call_id=entry.call_id,
                name=entry.name,
                # Half a JSON object would be refused; the output still tells what was found.
                arguments="{}" if is_long else entry.arguments,
                output=None if entry.output is None else _cut(entry.output),
            )


def _remember_words(
    said: Said, item: Item | None, position: PlayoutPosition | None
) -> RememberedText:
    text, is_open = said.text, False
    if said.role == "assistant" and item is not None and item.status is ItemStatus.IN_PROGRESS:
        is_open = True
        if item.received_ms:
            played_ms = _played_ms(item, position)
            text = heard_text(text, received_ms=item.received_ms, played_ms=played_ms)
    return RememberedText(
        number=said.number, role=said.role, text=_cut(text), is_cut=said.is_cut, is_open=is_open
    )


def _played_ms(item: Item, position: PlayoutPosition | None) -> float:
    """Nothing while it only waits: items are played one after the other."""
    if position is None or not isinstance(position.key, tuple) or position.key[1] != item.item_id:
        return 0.0
    return position.played_ms


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ENTRY_CHARACTERS else text[:MAX_ENTRY_CHARACTERS] + _CUT


def restored(seed: ConversationSeed) -> Iterator[Entry]:
    """The entries of a transcript that goes on where this one was lost."""
    for entry in seed.entries:
        item_id = f"restored_{entry.number}"
        match entry:
            case RememberedText():
                yield Said(entry.number, item_id, entry.role, entry.text, is_cut=entry.is_cut)
            case RememberedCall():
                yield Called(
                    entry.number, item_id, entry.call_id, entry.name, entry.arguments, entry.output
                )


def owed_reply(seed: ConversationSeed) -> OwedReply | None:
    """The reply that people still wait for."""
    return OwedReply(heard=seed.heard) if seed.is_reply_owed else None


def past_outputs(seed: ConversationSeed, tool: str) -> list[str]:
    """What finished calls of `tool` returned, oldest first."""
    return [
        entry.output
        for entry in seed.entries
        if isinstance(entry, RememberedCall) and entry.name == tool and entry.output is not None
    ]
