"""`AdmissionGate`: read the machine's load periodically and apply the policy without waiting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from control.admission.cpu import AgentsMeter, CpuCounter, CpuMeter, read_cpu
from control.admission.policy import AdmissionLimits, Load, refusal
from control.admission.pressure import PressureSignal
from control.machine.counts import Count, read_descriptors, read_tasks
from control.machine.memory import Memory, read_memory
from control.placement import AtCapacityError
from utils import OwnedTasks

READ_INTERVAL_S: Final = 1.0

FRESH_S: Final = 5.0
"""Age below which an agent does not fully show in the averaged load."""

_log = logging.getLogger("control.admission")


class AdmissionGate:
    """Admit agents as long as there is capacity for them."""

    def __init__(
        self,
        limits: AdmissionLimits,
        *,
        read_memory: Callable[[], Memory] = read_memory,
        read_cpu: Callable[[], Sequence[CpuCounter]] = read_cpu,
        read_tasks: Callable[[], Count | None] = read_tasks,
        read_descriptors: Callable[[], Count] = read_descriptors,
    ) -> None:
        self.limits = limits
        self._read_memory = read_memory
        self._read_cpu = read_cpu
        self._read_tasks = read_tasks
        self._read_descriptors = read_descriptors
        self._meter = CpuMeter()
        self._agents_meter = AgentsMeter()
        self._pressure = PressureSignal()
        self._memory = read_memory()
        self._tasks = OwnedTasks(_log)

    def start(self, read_agents_cpu: Callable[[], Mapping[int, float]] = dict) -> None:
        """Read the load periodically, in the background.

        read_agents_cpu: processor seconds that each agent process has used so far, by its pid.
        """
        self._tasks.start(self._keep_reading(read_agents_cpu), name="admission figures")

    async def _keep_reading(self, read_agents_cpu: Callable[[], Mapping[int, float]]) -> None:
        while True:
            try:
                now_s = time.monotonic()
                self._meter.update(self._read_cpu(), now_s=now_s)
                self._agents_meter.update(read_agents_cpu(), now_s=now_s)
                self._pressure.update(self._meter.share)
                self._memory = self._read_memory()
            except OSError as error:
                # For example no descriptor left: the last readings stay in use.
                _log.warning("cannot read the machine's load: %s", error)
            await asyncio.sleep(READ_INTERVAL_S)

    @property
    def is_under_pressure(self) -> bool:
        """True if agents should save work because the processors are nearly used up."""
        return self._pressure.is_high

    def require(self, *, agents: int, fresh: int) -> None:
        """Admit one more agent.

        Args:
            agents: live agents, those that are starting included.
            fresh: those of them that are too young to show in the averaged load.

        Raises:
            AtCapacityError: there is no capacity for it now.
        """
        if (refused := refusal(self.load(agents=agents, fresh=fresh), self.limits)) is not None:
            _log.warning("start refused: %s", refused.text)
            raise AtCapacityError(
                refused.text,
                reason=refused.reason,
                figures=refused.figures,
                retry_after_s=refused.retry_after_s,
            )

    def load(self, *, agents: int, fresh: int) -> Load:
        """Return the present load; arguments as those of `require`."""
        # Counts are read here, not periodically: they change at once and are cheap to read.
        return Load(
            agents,
            fresh,
            self._meter.share,
            self._meter.cores,
            self._memory,
            self._read_tasks(),
            self._read_descriptors(),
            agent_cores=self._agents_meter.cores,
            cores_each=self._agents_meter.cores_each,
        )

    async def close(self) -> None:
        """Stop reading."""
        await self._tasks.close()
