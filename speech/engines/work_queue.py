"""`WorkQueue`: a fair share of an engine for each session, what listeners wait for first."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

from speech.engines.load import EngineLoad, LoadFigures


class Urgency(IntEnum):
    """Order in which work is begun.

    FIRST: someone waits in silence: the transcription of a finished turn, a reply's first clause
    LATER: a further clause, while an earlier one is played
    SPECULATIVE: may turn out not to be needed
    """

    FIRST = 0
    LATER = 1
    SPECULATIVE = 2


@dataclass(eq=False, slots=True)
class _Ticket:
    """A piece of work that waits for its turn; the urgency may rise."""

    turn: asyncio.Future[None]
    urgency: Urgency
    since_s: float


class _Waiting:
    """Those who wait at one urgency: a line per owner, and the owners in turn."""

    def __init__(self) -> None:
        self._lines: OrderedDict[object, deque[_Ticket]] = OrderedDict()

    def add(self, owner: object, ticket: _Ticket) -> None:
        self._lines.setdefault(owner, deque()).append(ticket)

    def next(self) -> _Ticket | None:
        """Take the oldest of the owner whose turn it is; its further ones queue up behind others'."""
        while self._lines:
            owner, line = self._lines.popitem(last=False)
            ticket = line.popleft()
            if line:
                self._lines[owner] = line
            if not ticket.turn.done():
                return ticket
        return None

    def take(self, owner: object) -> deque[_Ticket]:
        """Take all of one owner."""
        return self._lines.pop(owner, deque())

    @property
    def since_s(self) -> float | None:
        """Since when the oldest waits; None: none does."""
        tickets = [ticket for line in self._lines.values() for ticket in line]
        return min((each.since_s for each in tickets if not each.turn.done()), default=None)

    def __len__(self) -> int:
        return sum(not ticket.turn.done() for line in self._lines.values() for ticket in line)


class WorkQueue:
    """`slots` pieces of work at a time; the more urgent first, and sessions in turn."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting = {urgency: _Waiting() for urgency in Urgency}
        self._load = EngineLoad(slots)

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for a slot."""
        return sum(len(line) for line in self._waiting.values())

    def load(self) -> LoadFigures:
        """Return how well the engine kept up lately."""
        return self._load.figures(time.monotonic(), self._waiting[Urgency.FIRST].since_s)

    @asynccontextmanager
    async def slot(self, owner: object, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a turn; the slot is free again at the end of the block."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket = _Ticket(turn, urgency, time.monotonic())
        await self._wait(owner, ticket)
        now_s = time.monotonic()
        is_urgent = ticket.urgency is Urgency.FIRST
        self._load.begin(ticket, now_s, now_s - ticket.since_s if is_urgent else None)
        try:
            yield
        finally:
            self._load.end(ticket, time.monotonic())
            self._release()

    async def _wait(self, owner: object, ticket: _Ticket) -> None:
        if self._free:
            self._free -= 1
            return
        self._waiting[ticket.urgency].add(owner, ticket)
        try:
            await ticket.turn
        except asyncio.CancelledError:
            if ticket.turn.done() and not ticket.turn.cancelled():
                self._release()  # its turn had come just before
            raise

    def _release(self) -> None:
        for urgency in Urgency:
            ticket = self._waiting[urgency].next()
            if ticket is not None:
                ticket.turn.set_result(None)
                return
        self._free += 1

    def hurry(self, owner: object) -> None:
        """Give what `owner` asked for speculatively the urgency FIRST from now on."""
        for ticket in self._waiting[Urgency.SPECULATIVE].take(owner):
            ticket.urgency, ticket.since_s = Urgency.FIRST, time.monotonic()
            self._waiting[Urgency.FIRST].add(owner, ticket)
