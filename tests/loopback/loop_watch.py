"""How much of a test's own clock can be believed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from utils import cancel_and_wait

_STEP_S = 0.005
_LONG_S = 0.1


class LoopWatch:
    """How long this process could not run: that much no time in it can be trusted.

    long_stalls: how often that was for over 0.1 s at once
    """

    def __init__(self) -> None:
        self.held_up_s = 0.0
        self.long_stalls = 0

    @property
    def held_up_ms(self) -> float:
        return self.held_up_s * 1000

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(_STEP_S)
            late_s = time.monotonic() - began_s - 2 * _STEP_S
            self.held_up_s += max(0.0, late_s)
            self.long_stalls += late_s > _LONG_S


@asynccontextmanager
async def watching_loop() -> AsyncIterator[LoopWatch]:
    """A watch that runs meanwhile."""
    watch = LoopWatch()
    task = asyncio.get_running_loop().create_task(watch.run())
    try:
        yield watch
    finally:
        await cancel_and_wait(task)
