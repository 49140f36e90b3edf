"""What is to be written, kept in memory until it is: of each thing only its latest. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from control.black_box.models import BlackBox
from control.store.records import CallRecord, CallTurn
from conversation.remembered import RememberedEntry

MAX_PENDING: Final = 20_000
"""Changes that wait for a store that cannot be written; of more, the oldest are given up."""


@dataclass(frozen=True)
class PutCall:
    """The record of a call as it is now."""

    record: CallRecord

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("call", self.record.call_id)


@dataclass(frozen=True)
class DropCall:
    """The call never began: its record, if there is one, goes."""

    call_id: str

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("call", self.call_id)


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


@dataclass(frozen=True)
class PutTurn:
    """How long the steps of a turn took."""

    call_id: str
    turn: CallTurn

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("turn", self.call_id, self.turn.process, self.turn.turn)


@dataclass(frozen=True)
class PutBox:
    """The black box of a call as it is now."""

    call_id: str
    box: BlackBox

    @property
    def key(self) -> Hashable:
        """A newer change of this key takes its place."""
        return ("box", self.call_id)


Change = PutCall | DropCall | PutEntry | PutTurn | PutBox


class PendingChanges:
    """Changes in the order in which their things first changed."""

    def __init__(self, limit: int = MAX_PENDING) -> None:
        self.given_up = 0
        self._limit = limit
        self._changes: dict[Hashable, Change] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def put(self, change: Change) -> None:
        """To be written; an older change of the same thing need not be any more."""
        self._changes[change.key] = change
        self._trim()

    def take(self) -> list[Change]:
        """All of them; none is left."""
        taken = list(self._changes.values())
        self._changes.clear()
        return taken

    def put_back(self, changes: Iterable[Change]) -> None:
        """They could not be written; what came meanwhile is newer."""
        older = {change.key: change for change in changes}
        self._changes = {key: self._changes.get(key, old) for key, old in older.items()} | {
            key: new for key, new in self._changes.items() if key not in older
        }
        self._trim()

    def _trim(self) -> None:
        while len(self._changes) > self._limit:
            del self._changes[next(iter(self._changes))]
            self.given_up += 1
