"""Who holds how many connections, and which one must go for a newcomer. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

RESERVE: Final = 32
"""Beyond the total, for programs of this machine: they ask whether the server lives."""

C = TypeVar("C")


@dataclass(frozen=True)
class ConnectionLimits:
    """How many may be open, in all and of one address, and how long one may be of no use.

    head_timeout_s: from a connection, or the first byte of its next request, to a whole head
    idle_timeout_s: between two requests
    """

    total: int = 4_000
    per_address: int = 500
    head_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0


@dataclass(frozen=True)
class Asker:
    """Whom a connection comes from. is_limited: its connections count also while they are used;
    not so for programs of this machine and trusted proxies, which speak for many.
    """

    name: str
    is_limited: bool = True


@dataclass
class _Crowd(Generic[C]):
    count: int = 0
    # Those without a request now, longest first.
    waiting: OrderedDict[C, None] = field(default_factory=OrderedDict)


class Connections(Generic[C]):
    """A connection waits while it has no whole request, and is in use until that is answered.

    There is a place for a newcomer as long as anybody waits: who has waited longest makes room, of
    the same address if possible. So a crowd of connections that ask for nothing keeps nobody out.
    """

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._askers: dict[C, Asker] = {}
        self._crowds: dict[str, _Crowd[C]] = {}
        self._waiting: OrderedDict[C, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._askers)

    @property
    def waiting(self) -> int:
        """How many have no request now."""
        return len(self._waiting)

    def make_room(self, asker: Asker) -> tuple[bool, C | None]:
        """Whether `asker` may have one more connection, and which one must be ended for it."""
        crowd = self._crowds.get(asker.name) or _Crowd()
        held = crowd.count if asker.is_limited else len(crowd.waiting)
        if held >= self._per_address:
            victim = next(iter(crowd.waiting), None)
            return victim is not None, victim
        if len(self) < self._total:
            return True, None
        victim = next(iter(crowd.waiting), None)
        if victim is None:
            victim = self.oldest_waiting()
        is_in_reserve = not asker.is_limited and len(self) < self._total + RESERVE
        return victim is not None or is_in_reserve, victim

    def oldest_waiting(self) -> C | None:
        """Who has waited longest."""
        return next(iter(self._waiting), None)

    def enter(self, connection: C, asker: Asker) -> None:
        """A new one, which waits."""
        self._askers[connection] = asker
        self._crowds.setdefault(asker.name, _Crowd()).count += 1
        self.rest(connection)

    def use(self, connection: C) -> None:
        """It has a whole request."""
        if connection in self._askers:
            self._waiting.pop(connection, None)
            self._crowds[self._askers[connection].name].waiting.pop(connection, None)

    def rest(self, connection: C) -> None:
        """Its request is answered."""
        if connection in self._askers:
            self._waiting[connection] = None
            self._crowds[self._askers[connection].name].waiting[connection] = None

    def leave(self, connection: C) -> None:
        """It is over. Idempotent."""
        if connection not in self._askers:
            return
        self.use(connection)
        name = self._askers.pop(connection).name
        crowd = self._crowds[name]
        crowd.count -= 1
        if crowd.count == 0:
            del self._crowds[name]
