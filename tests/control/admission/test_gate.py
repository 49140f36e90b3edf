"""The gate applies the policy to the latest readings, also when one cannot be taken."""

from __future__ import annotations

import asyncio

import pytest

from control.admission import gate as module
from control.admission.cpu import CpuCounter
from control.admission.gate import AdmissionGate
from control.admission.policy import AGENT_BYTES, AdmissionLimits
from control.machine.counts import Count
from control.machine.memory import Memory
from control.placement import AtCapacityError
from tests.processes.conftest import until


class Machine:
    """Readings as the test sets them."""

    def __init__(self) -> None:
        self.available_bytes = 100 * AGENT_BYTES
        self.is_readable = True
        self.memory_reads = 0
        self.cpu_reads = 0
        self.descriptors = Count("RLIMIT_NOFILE", 10, 1000)

    def memory(self) -> Memory:
        self.memory_reads += 1
        if not self.is_readable:
            raise OSError("no descriptor is left")
        return Memory(200 * AGENT_BYTES, self.available_bytes)

    def cpu(self) -> list[CpuCounter]:
        self.cpu_reads += 1
        return [CpuCounter("machine", 0.0, 2.0)]

    def gate(self, limits: AdmissionLimits) -> AdmissionGate:
        return AdmissionGate(
            limits,
            read_memory=self.memory,
            read_cpu=self.cpu,
            read_tasks=lambda: None,
            read_descriptors=lambda: self.descriptors,
        )


def test_a_refusal_names_reason_and_figures() -> None:
    gate = Machine().gate(AdmissionLimits(max_agents=2))
    gate.require(agents=1, fresh=0)
    with pytest.raises(AtCapacityError) as caught:
        gate.require(agents=2, fresh=0)
    assert (caught.value.reason, caught.value.figures) == ("agents", {"agents": 2, "max_agents": 2})
    assert caught.value.retry_after_s > 0


def test_counts_are_read_at_each_request() -> None:
    machine = Machine()
    gate = machine.gate(AdmissionLimits())
    gate.require(agents=0, fresh=0)
    machine.descriptors = Count("RLIMIT_NOFILE", 1000, 1000)
    with pytest.raises(AtCapacityError, match="RLIMIT_NOFILE"):
        gate.require(agents=0, fresh=0)


@pytest.mark.asyncio
async def test_memory_is_read_periodically_and_a_failed_reading_keeps_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "READ_INTERVAL_S", 0.01)
    machine = Machine()
    gate = machine.gate(AdmissionLimits())
    gate.start()
    machine.is_readable = False
    await until(lambda: "no descriptor is left" in caplog.text)
    gate.require(agents=0, fresh=0)
    machine.is_readable, machine.available_bytes = True, 0
    count = machine.memory_reads
    await until(lambda: machine.memory_reads > count + 1)
    with pytest.raises(AtCapacityError, match="memory"):
        gate.require(agents=0, fresh=0)
    await gate.close()
    count = machine.memory_reads
    await asyncio.sleep(0.05)
    assert machine.memory_reads == count
