"""What is to be written, kept in memory until it is: of each thing only its latest. Pure.

`size_bytes` is about what a change takes in memory: so much for what all of its kind have, and its
texts.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from control.black_box.models import BlackBox
from control.store.records import CallRecord, CallTurn
from conversation.remembered import RememberedCall, RememberedEntry, RememberedText

MAX_PENDING: Final = 20_000
"""Changes that wait for a store that cannot be written; of more, the oldest are given up."""

MAX_PENDING_BYTES: Final = 64 * 1024 * 1024
"""What they may take; of more, the oldest are given up."""

_SMALL_BYTES: Final = 1_000
_RECORD_BYTES: Final = 2_000


@dataclass(frozen=True)
class PutCall:
    """The record of a call as it is now."""

    record: CallRecord

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("call", self.record.call_id)

    @property
    def size_bytes(self) -> int:
        """See above."""
        return _RECORD_BYTES + _text_bytes(self.record.error)


@dataclass(frozen=True)
class DropCall:
    """The call never began: its record, if there is one, goes."""

    call_id: str

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("call", self.call_id)

    @property
    def size_bytes(self) -> int:
        """See above."""
        return _SMALL_BYTES


@dataclass(frozen=True)
class PutEntry:
    """An entry of a conversation, at its place `number`; None: it was taken back."""

    thread_id: str
    number: int
    call_id: str
    at_ms: int
    entry: RememberedEntry | None

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("entry", self.thread_id, self.number)

    @property
    def size_bytes(self) -> int:
        """See above."""
        match self.entry:
            case RememberedText(text=text):
                return _SMALL_BYTES + _text_bytes(text)
            case RememberedCall(arguments=arguments, output=output):
                return _SMALL_BYTES + _text_bytes(arguments, output)
            case None:
                return _SMALL_BYTES


@dataclass(frozen=True)
class PutTurn:
    """How long the steps of a turn took."""

    call_id: str
    turn: CallTurn

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("turn", self.call_id, self.turn.process, self.turn.turn)

    @property
    def size_bytes(self) -> int:
        """See above."""
        return _SMALL_BYTES


@dataclass(frozen=True)
class PutBox:
    """The black box of a call as it is now."""

    call_id: str
    box: BlackBox

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("box", self.call_id)

    @property
    def size_bytes(self) -> int:
        """See above."""
        box = self.box
        parts = sum(map(len, (box.states, box.exits, box.noticed, box.events, box.curve)))
        stacks = _text_bytes(*(one.stacks for one in box.exits))
        return _RECORD_BYTES + parts * _SMALL_BYTES + stacks


Change = PutCall | DropCall | PutEntry | PutTurn | PutBox


def _text_bytes(*texts: str | None) -> int:
    return sum(sys.getsizeof(text) for text in texts if text is not None)


class PendingChanges:
    """Changes in the order in which their things first changed."""

    def __init__(self, limit: int = MAX_PENDING, limit_bytes: int = MAX_PENDING_BYTES) -> None:
        self.given_up = 0
        self.size_bytes = 0
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._changes: dict[Hashable, Change] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes.values())

    def put(self, change: Change) -> None:
        """To be written; an older change of the same thing need not be any more."""
        if (older := self._changes.get(change.key)) is not None:
            self.size_bytes -= older.size_bytes
        self._changes[change.key] = change
        self.size_bytes += change.size_bytes
        self._trim()

    def take(self) -> list[Change]:
        """All of them; none is left."""
        taken = list(self._changes.values())
        self._changes.clear()
        self.size_bytes = 0
        return taken

    def put_back(self, changes: Iterable[Change]) -> None:
        """They could not be written; what came meanwhile is newer."""
        older = {change.key: change for change in changes}
        self._changes = {key: self._changes.get(key, old) for key, old in older.items()} | {
            key: new for key, new in self._changes.items() if key not in older
        }
        self.size_bytes = sum(change.size_bytes for change in self._changes.values())
        self._trim()

    def _trim(self) -> None:
        while len(self._changes) > self._limit or self.size_bytes > self._limit_bytes:
            oldest = self._changes.pop(next(iter(self._changes)))
            self.size_bytes -= oldest.size_bytes
            self.given_up += 1
