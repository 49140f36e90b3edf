"""`AdmissionGate`: keeps the figures fresh and asks the policy, so that a start waits for nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from control.admission.cpu import CpuCounter, CpuMeter, read_cpu
from control.admission.policy import AdmissionLimits, Load, refusal
from control.machine.counts import Count, read_descriptors, read_tasks
from control.machine.memory import Memory, read_memory
from control.placement import AtCapacityError
from utils import OwnedTasks

READ_INTERVAL_S: Final = 1.0

FRESH_S: Final = 5.0
"""A younger agent does not fully show in the figures yet."""

_log = logging.getLogger("control.admission")


class AdmissionGate:
    """Lets agents in as long as there is room for them."""

    def __init__(
        self,
        limits: AdmissionLimits,
        *,
        read_memory: Callable[[], Memory] = read_memory,
        read_cpu: Callable[[], Sequence[CpuCounter]] = read_cpu,
        read_tasks: Callable[[], Count | None] = read_tasks,
        read_descriptors: Callable[[], Count] = read_descriptors,
    ) -> None:
        self._limits = limits
        self._read_memory = read_memory
        self._read_cpu = read_cpu
        self._read_tasks = read_tasks
        self._read_descriptors = read_descriptors
        self._meter = CpuMeter()
        self._memory = read_memory()
        self._tasks = OwnedTasks(_log)

    def start(self) -> None:
        """Read the figures from now on, in the background."""
        self._tasks.start(self._keep_reading(), name="admission figures")

    async def _keep_reading(self) -> None:
        while True:
            try:
                if self._limits.max_cpu_share is not None:
                    self._meter.update(self._read_cpu(), now_s=time.monotonic())
                self._memory = self._read_memory()
            except OSError as error:
                # Out of descriptors, say: the figures are old for a while.
                _log.warning("the machine's figures cannot be read: %s", error)
            await asyncio.sleep(READ_INTERVAL_S)

    def require(self, *, agents: int, fresh: int) -> None:
        """Let one more agent in; `agents` live, `fresh` of them too young to show in the figures.

        Raises:
            AtCapacityError: there is no room for it now.
        """
        # What is counted is read now: it changes at once, and is read in no time.
        load = Load(
            agents,
            fresh,
            self._meter.share,
            self._meter.cores,
            self._memory,
            self._read_tasks(),
            self._read_descriptors(),
        )
        if (refused := refusal(load, self._limits)) is not None:
            _log.warning("an agent was refused: %s", refused.text)
            raise AtCapacityError(
                refused.text,
                reason=refused.reason,
                figures=refused.figures,
                retry_after_s=refused.retry_after_s,
            )

    async def close(self) -> None:
        """Read no more."""
        await self._tasks.close()
