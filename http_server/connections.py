"""Connection limits per client and in total, and eviction of idle connections. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

RESERVE: Final = 32
"""Places beyond the total for programs of this machine, such as liveness probes."""

C = TypeVar("C")


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits on open connections, in total and per address, and on their idle times.

    head_timeout_s: from the connection, or the first byte of its next request, to a complete head
    idle_timeout_s: between two requests
    """

    total: int = 4_000
    per_address: int = 500
    head_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0


@dataclass(frozen=True)
class Asker:
    """The client of a connection. is_limited: connections in use count too; false for programs of
    this machine and for trusted proxies, which stand for many clients.
    """

    name: str
    is_limited: bool = True


@dataclass
class _Crowd(Generic[C]):
    count: int = 0
    # Connections without a request, idle longest first.
    waiting: OrderedDict[C, None] = field(default_factory=OrderedDict)


class Connections(Generic[C]):
    """Tracks open connections: waiting until a request is complete, then in use until its answer.

    A new connection is accepted as long as another one waits: the one idle longest is evicted, of
    the same address if possible. So idle connections cannot exhaust the limit.
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
        """Number of connections without a request."""
        return len(self._waiting)

    def make_room(self, asker: Asker) -> tuple[bool, C | None]:
        """Return true if `asker` may open a connection, and the connection to evict for it, if any."""
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
        """Return the connection idle longest; None if none waits."""
        return next(iter(self._waiting), None)

    def enter(self, connection: C, asker: Asker) -> None:
        """Add a new, waiting connection."""
        self._askers[connection] = asker
        self._crowds.setdefault(asker.name, _Crowd()).count += 1
        self.rest(connection)

    def use(self, connection: C) -> None:
        """Mark the connection as in use: its request is complete."""
        if connection in self._askers:
            self._waiting.pop(connection, None)
            self._crowds[self._askers[connection].name].waiting.pop(connection, None)

    def rest(self, connection: C) -> None:
        """Mark the connection as waiting: its request is answered."""
        if connection in self._askers:
            self._waiting[connection] = None
            self._crowds[self._askers[connection].name].waiting[connection] = None

    def leave(self, connection: C) -> None:
        """Remove the connection. Idempotent."""
        if connection not in self._askers:
            return
        self.use(connection)
        name = self._askers.pop(connection).name
        crowd = self._crowds[name]
        crowd.count -= 1
        if crowd.count == 0:
            del self._crowds[name]
