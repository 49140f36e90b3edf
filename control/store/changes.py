"""Changes that wait in memory to be written; only the latest of each key is kept. Pure.

`size_bytes` is an estimate of a change's memory: a constant per kind, plus its texts.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from control.black_box.models import BlackBox
from control.store.records import Analysis, AnalysisKind, CallMark, CallRecord, CallTurn
from conversation.snapshot import SnapshotEntry, SnapshotText, SnapshotToolCall

MAX_PENDING: Final = 20_000
"""Limit on waiting changes; past it the oldest are given up."""

MAX_PENDING_BYTES: Final = 64 * 1024 * 1024
"""Limit on their memory; past it the oldest are given up."""

_SMALL_BYTES: Final = 1_000
_RECORD_BYTES: Final = 2_000


@dataclass(frozen=True)
class PutCall:
    """Write the current record of a call."""

    record: CallRecord

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("call", self.record.call_id)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        return _RECORD_BYTES + _text_bytes(self.record.error)


@dataclass(frozen=True)
class DropCall:
    """Delete the record, if any, of a call that never began."""

    call_id: str

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("call", self.call_id)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        return _SMALL_BYTES


@dataclass(frozen=True)
class PutEntry:
    """Write entry `number` of a conversation; None: delete it. thread_id: its name in the store"""

    thread_id: str
    number: int
    call_id: str
    at_ms: int
    entry: SnapshotEntry | None

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("entry", self.thread_id, self.number)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        match self.entry:
            case SnapshotText(text=text, unheard=unheard):
                return _SMALL_BYTES + _text_bytes(text, unheard)
            case SnapshotToolCall(arguments=arguments, output=output):
                return _SMALL_BYTES + _text_bytes(arguments, output)
            case None:
                return _SMALL_BYTES


@dataclass(frozen=True)
class PutState:
    """Write the state (JSON) that an owner keeps with a conversation, by its name in the store."""

    thread_id: str
    call_id: str
    at_ms: int
    state: str

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("state", self.thread_id)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        return _SMALL_BYTES + _text_bytes(self.state)


@dataclass(frozen=True)
class PutTurn:
    """Write the timings of a turn."""

    call_id: str
    turn: CallTurn

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("turn", self.call_id, self.turn.process, self.turn.turn)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        return _SMALL_BYTES


@dataclass(frozen=True)
class PutMark:
    """Write mark `number` of a call's timeline."""

    call_id: str
    number: int
    mark: CallMark

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("mark", self.call_id, self.number)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        return _SMALL_BYTES


@dataclass(frozen=True)
class PutBox:
    """Write the current black box of a call."""

    call_id: str
    box: BlackBox

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("box", self.call_id)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        box = self.box
        parts = sum(map(len, (box.states, box.exits, box.noticed, box.events, box.curve)))
        stacks = _text_bytes(*(one.stacks for one in box.exits))
        return _RECORD_BYTES + parts * _SMALL_BYTES + stacks


@dataclass(frozen=True)
class PutAnalysis:
    """Write that an analysis of a call is wanted.

    wanted: JSON schema of an extraction; empty for a summary
    content: `records.Summary` or `records.Extraction`, pending
    """

    call_id: str
    kind: AnalysisKind
    wanted: str
    content: Analysis

    @property
    def key(self) -> Hashable:
        """Key under which a newer change replaces this one."""
        return ("analysis", self.call_id, self.kind)

    @property
    def size_bytes(self) -> int:
        """Estimated memory; see the module's docstring."""
        return _SMALL_BYTES + _text_bytes(self.wanted)


Change = PutCall | DropCall | PutEntry | PutState | PutTurn | PutMark | PutBox | PutAnalysis


def _text_bytes(*texts: str | None) -> int:
    return sum(sys.getsizeof(text) for text in texts if text is not None)


class PendingChanges:
    """Pending changes, in the order in which their keys were first changed."""

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
        """Add a change; it replaces an older one of the same key."""
        if (older := self._changes.get(change.key)) is not None:
            self.size_bytes -= older.size_bytes
        self._changes[change.key] = change
        self.size_bytes += change.size_bytes
        self._trim()

    def take(self) -> list[Change]:
        """Remove and return all changes."""
        taken = list(self._changes.values())
        self._changes.clear()
        self.size_bytes = 0
        return taken

    def put_back(self, changes: Iterable[Change]) -> None:
        """Return changes that could not be written; newer ones of the same key win."""
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
