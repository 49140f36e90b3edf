"""`KeyUsage`: what all keys use, from the calls of this server; starts are refused beyond a key's limits."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from config.agent import AgentConfig
from control.ipc.link import ChildMessage, Pong
from control.keys.access import Access
from control.keys.limits import DAY_MS, Allowance, KeyUse
from control.observers import CallObserver
from control.placement import ExitRecord
from control.store.archive import Archive
from control.store.call_filter import CallFilter
from control.store.errors import ArchiveError
from control.store.store import Cursor
from utils import wall_clock_ms

_RETRY_S: Final = 2.0
_PAGE: Final = 200

_log = logging.getLogger("control.keys")


class KeyUsage(CallObserver):
    """Use by the name of the key. Unlimited keys are counted too, for the metrics."""

    def __init__(self, *, wall_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._wall_ms = wall_ms
        self._uses: dict[str, KeyUse] = {}
        self._keys_of_calls: dict[str, str] = {}
        self.requests: Counter[str] = Counter()

    def admit(self, access: Access, call_id: str) -> Allowance:
        """Count a start, unless a limit of its key refuses it; `give_up` if it comes to nothing.

        Raises:
            KeyLimitError: a limit is reached.
        """
        if not access.key:
            return Allowance()
        use = self._uses.setdefault(access.key, KeyUse())
        allowance = use.admit(access.key, call_id, access.limits, now_ms=self._wall_ms())
        self._keys_of_calls[call_id] = access.key
        return allowance

    def give_up(self, call_id: str) -> None:
        """Forget a call that never began. Idempotent."""
        if (key := self._keys_of_calls.pop(call_id, None)) is not None:
            self._uses[key].give_up(call_id)

    # -- observer --------------------------------------------------------------------------------

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Note the cost of the call so far."""
        if isinstance(message, Pong) and (key := self._keys_of_calls.get(config.agent_id)):
            self._uses[key].handle_cost(config.agent_id, message.vitals.cost)

    def handle_exit(self, record: ExitRecord) -> None:
        """Count the call, unless another process continues it."""
        if record.is_restarted:
            return
        if (key := self._keys_of_calls.pop(record.agent_id, None)) is not None:
            self._uses[key].end(record.agent_id, now_ms=self._wall_ms())

    # -- the day so far --------------------------------------------------------------------------

    async def read(self, archive: Archive) -> None:
        """Count the calls of today that the store has from before this server's start."""
        began_ms = self._wall_ms()
        while True:
            try:
                await self._read(archive, began_ms)
            except ArchiveError:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _read(self, archive: Archive, began_ms: int) -> None:
        after: Cursor | None = None
        # Calls that began yesterday may have ended today.
        since_ms = began_ms - began_ms % DAY_MS - DAY_MS
        wanted = CallFilter(since_ms=since_ms, until_ms=began_ms, is_live=False)
        ended = []
        while True:
            page = await archive.calls(limit=_PAGE, wanted=wanted, after=after)
            ended += [one for one in page.calls if one.key and (one.ended_at_ms or 0) < began_ms]
            if page.next is None:
                break
            after = Cursor.parse(page.next)
        for call in ended:
            self._uses.setdefault(call.key, KeyUse()).count(
                began_ms=call.started_at_ms,
                ended_ms=call.ended_at_ms or call.started_at_ms,
                cost=call.usage.cost,
                now_ms=self._wall_ms(),
            )

    # -- figures ---------------------------------------------------------------------------------

    def of(self, key: str) -> KeyUse:
        """Return the use of a key so far."""
        return self._uses.get(key, KeyUse())

    def by_key(self, figure: Callable[[KeyUse], float]) -> dict[str, float]:
        """Return one figure of each key that was used."""
        return {key: figure(use) for key, use in self._uses.items()}

    @property
    def now_ms(self) -> int:
        """The time by which uses are counted."""
        return self._wall_ms()
