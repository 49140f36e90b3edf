"""`ProcessPool`: agent processes forked in advance, so that a start needs no fork.

Idle processes have everything imported and wait for `link.Start`. Taking one is a single step of
the loop, so no two starts ever get the same one; one that died meanwhile is skipped.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from control.forkserver.started_process import ProcessSource, StartedProcess
from control.machine.memory import Memory, read_memory
from utils import OwnedTasks

REFILL_DELAY_S: Final = 0.25
"""Pause before the next fork after a process was taken, so that the start has the processor; none
if the pool is empty."""

RESERVED_AGENTS: Final = 2
"""Agents for which the pool leaves kernel processes free: a start has priority over an idle process."""

# Between two checks of an idle pool; after a failed fork the pause doubles up to the maximum.
_TICK_S: Final = 1.0
_MAX_PAUSE_S: Final = 16.0
_EXIT_DEADLINE_S: Final = 2.0

_log = logging.getLogger("control.pool")


@dataclass(frozen=True)
class PoolStatistics:
    """Counts of a pool.

    idle: processes that are ready now.
    taken, missed: starts that found an idle process, and that did not.
    died: processes that died while idle.
    """

    idle: int
    taken: int
    missed: int
    died: int


def target_idle(size: int, memory: Memory) -> int:
    """Return how many processes to keep idle: `size`, half of it or none when memory is short."""
    share = memory.available_share
    if share >= 0.2:
        return size
    return size // 2 if share >= 0.1 else 0


class ProcessPool:
    """`ProcessSource` that keeps processes of another source idle in advance."""

    def __init__(
        self,
        source: ProcessSource,
        size: int,
        *,
        memory: Callable[[], Memory] = read_memory,
        room: Callable[[], int | None] = lambda: None,
    ) -> None:
        """
        Args:
            size: processes to keep idle; 0: every start forks.
            memory: read once a second.
            room: agents for which the kernel still has processes; None: unknown.
        """
        self._source = source
        self._size = size
        self._memory = memory
        self._room = room
        self._idle: deque[StartedProcess] = deque()
        # Loop time of the last start, for `REFILL_DELAY_S`.
        self._taken_at_s = float("-inf")
        self._taken = self._missed = self._died = 0
        # Counts calls of `renew`: what was forked before the last one is of an old version.
        self._version = 0
        # Set when a process was taken: the pool needs filling.
        self._changed = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    @property
    def statistics(self) -> PoolStatistics:
        """Counts since the start."""
        return PoolStatistics(len(self._idle), self._taken, self._missed, self._died)

    @property
    def idle_pids(self) -> list[int]:
        """Pids of the idle processes."""
        return [process.pid for process in self._idle]

    def start(self) -> None:
        """Fill the pool, and keep it filled, in the background."""
        if self._size > 0:
            self._tasks.start(self._keep_filled(), name="process pool")

    async def start_process(self) -> StartedProcess:
        """Return an idle process, or a new one if there is none; see `ProcessSource`.

        Raises:
            OSError: no process, descriptor or memory is left.
        """
        self._remove_dead()
        self._taken_at_s = asyncio.get_running_loop().time()
        self._changed.set()
        if self._idle:
            self._taken += 1
            return self._idle.popleft()
        self._missed += 1
        return await self._source.start_process()

    def renew(self) -> None:
        """Replace the idle processes: the source gives others now. Running agents go on."""
        self._version += 1
        idle, self._idle = list(self._idle), deque()
        for process in idle:
            self._tasks.start(_end(process), name="end of an idle process")
        self._changed.set()

    async def close(self) -> None:
        """End the idle processes. Idempotent."""
        await self._tasks.close()
        idle, self._idle = list(self._idle), deque()
        await asyncio.gather(*(_end(process) for process in idle))

    # -- filling ---------------------------------------------------------------------------------

    async def _keep_filled(self) -> None:
        pause_s = _TICK_S
        while True:
            try:
                await self._fill()
                pause_s = _TICK_S
            except OSError as error:
                _log.warning("cannot fork a process for the pool: %s", error.strerror or error)
                pause_s = min(_MAX_PAUSE_S, 2 * pause_s)
                # Not cut short by `_changed`: starts need the resources more than the pool does.
                await asyncio.sleep(pause_s)
            self._changed.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _fill(self) -> None:
        self._remove_dead()
        target = target_idle(self._size, self._memory())
        while len(self._idle) > target:
            await _end(self._idle.pop())
        # Bounded per round: a process that dies at once would otherwise be forked in a busy loop.
        for _ in range(target - len(self._idle)):
            if (room := self._room()) is not None and room <= RESERVED_AGENTS:
                return
            await self._wait_refill_delay()
            version = self._version
            process = await self._source.start_process()
            if version == self._version:
                self._idle.append(process)
            else:
                await _end(process)

    async def _wait_refill_delay(self) -> None:
        """Wait until `REFILL_DELAY_S` after the last start; a start during the wait does not extend it."""
        left_s = self._taken_at_s + REFILL_DELAY_S - asyncio.get_running_loop().time()
        if self._idle and left_s > 0:
            await asyncio.sleep(left_s)

    def _remove_dead(self) -> None:
        for process in [one for one in self._idle if not one.is_alive()]:
            _log.warning("process %d died while it was idle", process.pid)
            self._died += 1
            self._idle.remove(process)
            process.sock.close()


async def _end(process: StartedProcess) -> None:
    """Close the link, which ends the process; send SIGKILL if it is still there after a deadline."""
    process.sock.close()
    for _ in range(2):
        try:
            async with asyncio.timeout(_EXIT_DEADLINE_S):
                await process.exited.wait()
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
        else:
            return
