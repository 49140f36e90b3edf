"""`ProcessPool`: agent processes forked in advance, so that a start costs no fork.

Idle processes have everything imported and wait for `link.Start`. Taking one is a single step of
the loop, so no two starts ever get the same; one that died meanwhile is passed over.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from control.machine.memory import Memory, read_memory
from control.processes.started import ProcessSource, StartedProcess
from utils import OwnedTasks

CALM_S: Final = 0.25
"""After a process was taken the next is forked only then, to leave the start the processor; at once
when none is left."""

RESERVED_AGENTS: Final = 2
"""Agents for which the pool leaves processes when there are few: a start is worth more than an idle
process."""

_TICK_S: Final = 1.0
_MAX_PAUSE_S: Final = 16.0
_EXIT_DEADLINE_S: Final = 2.0

_log = logging.getLogger("control.pool")


@dataclass(frozen=True)
class PoolStatistics:
    """idle: ready to be taken; taken, missed: starts that found one, and none; died: while idle."""

    idle: int
    taken: int
    missed: int
    died: int


def wanted_idle(size: int, memory: Memory) -> int:
    """How many processes to keep idle: all of `size`, fewer when memory is short, then none."""
    share = memory.available_share
    if share >= 0.2:
        return size
    return size // 2 if share >= 0.1 else 0


class ProcessPool:
    """A `ProcessSource` in front of another one."""

    def __init__(
        self,
        source: ProcessSource,
        size: int,
        *,
        memory: Callable[[], Memory] = read_memory,
        room: Callable[[], int | None] = lambda: None,
    ) -> None:
        """
        size: how many to keep idle; 0: none, every start forks
        memory: asked once a second
        room: how many more agents the kernel has processes for; None: nothing is known
        """
        self._source = source
        self._size = size
        self._memory = memory
        self._room = room
        self._idle: deque[StartedProcess] = deque()
        self._taken_at_s = float("-inf")
        self._taken = self._missed = self._died = 0
        self._changed = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    @property
    def statistics(self) -> PoolStatistics:
        """Counts since the start."""
        return PoolStatistics(len(self._idle), self._taken, self._missed, self._died)

    @property
    def idle_pids(self) -> list[int]:
        """Of the processes that wait."""
        return [process.pid for process in self._idle]

    def start(self) -> None:
        """Fill the pool, and keep it filled, in the background."""
        if self._size > 0:
            self._tasks.start(self._keep_filled(), name="process pool")

    async def start_process(self) -> StartedProcess:
        """An idle process, or a fresh one when there is none; see `ProcessSource`.

        Raises:
            OSError: no process, descriptor or memory is left.
        """
        self._drop_dead()
        self._taken_at_s = asyncio.get_running_loop().time()
        self._changed.set()
        if self._idle:
            self._taken += 1
            return self._idle.popleft()
        self._missed += 1
        return await self._source.start_process()

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
                _log.warning("no process for the pool: %s", error.strerror or error)
                pause_s = min(_MAX_PAUSE_S, 2 * pause_s)
                # Whatever happens meanwhile: starts need what there is more than we do.
                await asyncio.sleep(pause_s)
            self._changed.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _fill(self) -> None:
        self._drop_dead()
        wanted = wanted_idle(self._size, self._memory())
        while len(self._idle) > wanted:
            await _end(self._idle.pop())
        # Whatever dies at once would be forked again at once: so many a round and no more.
        for _ in range(wanted - len(self._idle)):
            if (room := self._room()) is not None and room <= RESERVED_AGENTS:
                return
            await self._leave_starts_alone()
            self._idle.append(await self._source.start_process())

    async def _leave_starts_alone(self) -> None:
        """Wait out the start that took the last process; another one meanwhile is not counted."""
        left_s = self._taken_at_s + CALM_S - asyncio.get_running_loop().time()
        if self._idle and left_s > 0:
            await asyncio.sleep(left_s)

    def _drop_dead(self) -> None:
        for process in [one for one in self._idle if not one.is_alive()]:
            _log.warning("process %d died while it was idle", process.pid)
            self._died += 1
            self._idle.remove(process)
            process.sock.close()


async def _end(process: StartedProcess) -> None:
    """It ends with its link; should it hang, by SIGKILL, whose effect is awaited for a while too."""
    process.sock.close()
    for _ in range(2):
        try:
            async with asyncio.timeout(_EXIT_DEADLINE_S):
                await process.exited.wait()
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
        else:
            return
