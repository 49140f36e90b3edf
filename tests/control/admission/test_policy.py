from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.admission.cpu import (
    LEARNING_S,
    SMOOTHING_S,
    AgentsMeter,
    CpuCounter,
    CpuMeter,
    read_cpu,
)
from control.admission.gate import AdmissionGate
from control.admission.policy import (
    AGENT_BYTES,
    AGENT_CORES,
    AGENT_DESCRIPTORS,
    AGENT_TASKS,
    MIB,
    UNDISPUTED,
    AdmissionLimits,
    Load,
    refusal,
)
from control.machine.counts import Count
from control.machine.memory import Memory
from control.placement import AtCapacityError

CALM = Load(agents=0, fresh=0, cpu_share=0.0, cores=2.0, memory=Memory(4096 * MIB, 2048 * MIB))


def test_without_limits_there_is_room_as_long_as_memory_is_left() -> None:
    assert refusal(replace(CALM, agents=5_000, cpu_share=1.0), AdmissionLimits()) is None
    refused = refusal(replace(CALM, memory=Memory(4096 * MIB, 0)), AdmissionLimits())
    assert refused is not None
    assert refused.reason == "memory"


def test_the_last_place_is_given_and_no_further_one() -> None:
    limits = AdmissionLimits(max_agents=3)
    assert refusal(replace(CALM, agents=2), limits) is None
    refused = refusal(replace(CALM, agents=3), limits)
    assert refused is not None
    assert (refused.reason, refused.retry_after_s) == ("agents", 10)
    assert refused.text == "3 agents are live, the limit is 3"
    assert refused.figures == {"agents": 3, "max_agents": 3}


def test_memory_is_reserved_for_agents_that_start() -> None:
    limits = AdmissionLimits(min_free_bytes=100 * MIB)
    memory = Memory(4096 * MIB, 100 * MIB + 3 * AGENT_BYTES)
    assert refusal(replace(CALM, memory=memory, fresh=2), limits) is None
    refused = refusal(replace(CALM, memory=memory, fresh=3), limits)
    assert refused is not None
    assert refused.reason == "memory"
    assert refused.figures == {
        "available_mib": 244,
        "reserved_mib": 192,
        "min_free_mib": 100,
        "starting": 3,
    }
    assert "244 MiB" in refused.text


def test_processors_are_reserved_for_all_agents_to_talk() -> None:
    limits = AdmissionLimits(max_cpu_share=0.8)
    # So many agents need 1.6 of two cores when they talk; 0.16 are in use, by them alone.
    most = int(1.6 / AGENT_CORES)
    quiet = replace(CALM, agent_cores=0.16, cpu_share=0.08)
    assert refusal(replace(quiet, agents=most - 1), limits) is None
    refused = refusal(replace(quiet, agents=most), limits)
    assert refused is not None
    assert (refused.reason, refused.retry_after_s) == ("cpu", 5)
    assert refused.figures == {
        "cpu_percent": 8,
        "reserved_percent": round(50 * ((most + 1) * AGENT_CORES - 0.16), 1),
        "max_cpu_percent": 80,
        "cores": 2,
        "agents": most,
    }


def test_what_agents_use_already_is_not_reserved_again() -> None:
    limits = AdmissionLimits(max_cpu_share=0.8)
    talking = replace(CALM, agents=30, agent_cores=30 * AGENT_CORES, cpu_share=0.75)
    assert refusal(talking, limits) is None
    assert refusal(replace(talking, cpu_share=0.79), limits) is not None


def test_the_first_agents_are_let_in_however_busy_the_machine_is() -> None:
    limits = AdmissionLimits(max_cpu_share=0.8)
    busy = replace(CALM, cpu_share=1.0)
    most = int(0.8 * UNDISPUTED * CALM.cores / AGENT_CORES)
    assert most >= 1
    for agents in range(most):
        assert refusal(replace(busy, agents=agents), limits) is None
    refused = refusal(replace(busy, agents=most), limits)
    assert refused is not None
    assert refused.reason == "cpu"
    assert "100 % of 2 cores are in use" in refused.text


def test_agents_that_take_more_have_fewer_places() -> None:
    limits = AdmissionLimits(max_cpu_share=0.8)
    load = replace(CALM, agents=20, cpu_share=0.1)
    assert refusal(load, limits) is None
    assert refusal(replace(load, cores_each=2 * AGENT_CORES), limits) is not None


@given(
    agents=st.integers(0, 100),
    fresh=st.integers(0, 100),
    cpu_share=st.floats(0, 1),
    agent_cores=st.floats(0, 4),
    available=st.integers(0, 8192 * MIB),
)
def test_an_admitted_agent_keeps_every_limit(
    agents: int, fresh: int, cpu_share: float, agent_cores: float, available: int
) -> None:
    limits = AdmissionLimits(max_agents=50, max_cpu_share=0.9, min_free_bytes=64 * MIB)
    memory = Memory(8192 * MIB, available)
    load = Load(agents, fresh, cpu_share, 4.0, memory, agent_cores=agent_cores)
    needed = (agents + 1) * AGENT_CORES
    is_kept = (
        agents + 1 <= 50
        and available - (fresh + 1) * AGENT_BYTES >= 64 * MIB
        and (
            needed / 4.0 <= 0.9 * UNDISPUTED
            or cpu_share + max(0.0, needed - agent_cores) / 4.0 <= 0.9
        )
    )
    assert (refusal(load, limits) is None) == is_kept


# -- processors ---------------------------------------------------------------------------------


def read(tmp_path: Path, cgroup: str, files: dict[str, str]) -> list[CpuCounter]:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "stat").write_text(
        "cpu  999 0 0 0 0 0 0 0 0 0\ncpu0 60 0 40 500 50 0 0 20 0 0\ncpu1 40 0 60 200 0 0 0 30 0 0\n"
        "cpu2 700 0 0 0 0 0 0 0 0 0\nintr 5\n"
    )
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_cpu(proc, cgroups, {0, 1})


def test_without_a_quota_the_machine_counts(tmp_path: Path) -> None:
    (machine,) = read(tmp_path, "0::/a\n", {"a/cpu.max": "max 100000\n", "a/cpu.stat": "usage 1\n"})
    assert (machine.key, machine.cores) == ("machine", 2)
    assert machine.used_s == pytest.approx(250 / 100)


def test_what_processes_of_low_priority_take_counts_as_free(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "stat").write_text("cpu0 100 900 50 500 50 0 0 20 0 0\n")
    (machine,) = read_cpu(tmp_path, tmp_path, {0})
    assert machine.used_s == pytest.approx(170 / 100)


def test_a_groups_quota_counts_as_its_processors(tmp_path: Path) -> None:
    files = {"a/cpu.max": "150000 100000\n", "a/cpu.stat": "usage_usec 2500000\nuser_usec 1\n"}
    machine, group = read(tmp_path, "0::/a/b\n", files)
    assert machine.key == "machine"
    assert (group.used_s, group.cores) == (2.5, 1.5)


def test_the_old_kind_of_quota_counts_too(tmp_path: Path) -> None:
    files = {
        "cpu/c/cpu.cfs_quota_us": "50000",
        "cpu/c/cpu.cfs_period_us": "100000",
        "cpu/c/cpuacct.usage": "3000000000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "cpu/cpuacct.usage": "1",
    }
    machine, group = read(tmp_path, "4:cpu,cpuacct:/c\n", files)
    assert machine.key == "machine"
    assert (group.used_s, group.cores) == (3.0, 0.5)


def counters(machine_s: float, group_s: float) -> list[CpuCounter]:
    return [CpuCounter("machine", machine_s, 8), CpuCounter("group", group_s, 2)]


def test_the_busiest_counts_and_one_peak_does_not() -> None:
    meter = CpuMeter()
    meter.update(counters(0, 0), now_s=10)
    assert meter.share == 0
    meter.update(counters(1, 2), now_s=11)
    # All of the group's two cores for a second: far from full on average yet.
    assert 0.2 < meter.share < 0.25
    assert meter.cores == 2
    for second in range(1, 31):
        meter.update(counters(1, 2 + 2 * second), now_s=11 + second)
    assert meter.share > 0.99
    meter.update(counters(1, 62), now_s=41 + SMOOTHING_S)
    assert 0.3 < meter.share < 0.4


def test_the_counter_with_the_fewest_idle_cores_counts() -> None:
    meter = CpuMeter()
    for second in range(40):
        # Seven of eight cores in use by all, none of the two that this group may use.
        meter.update(counters(7 * second, 0), now_s=second)
    assert meter.share == pytest.approx(7 / 8, abs=0.01)
    assert meter.cores == 8
    meter = CpuMeter()
    for second in range(40):
        meter.update(counters(5 * second, 0), now_s=second)
    assert (meter.share, meter.cores) == (0, 2)


def test_what_agents_take_is_averaged_and_learned_slowly() -> None:
    meter = AgentsMeter()
    assert (meter.cores, meter.cores_each) == (0.0, AGENT_CORES)
    for second in range(30):
        meter.update({7: 10 + 0.02 * second, 8: 0.02 * second}, now_s=second)
    assert meter.cores == pytest.approx(0.04, rel=0.01)
    assert 0.9 * AGENT_CORES < meter.cores_each < AGENT_CORES
    for second in range(30, int(10 * LEARNING_S)):
        meter.update({7: 10 + 0.02 * second, 8: 0.02 * second}, now_s=second)
    assert meter.cores_each == pytest.approx(0.02, rel=0.01)


def test_an_agent_that_comes_or_goes_is_no_time_spent_and_the_estimate_has_bounds() -> None:
    meter = AgentsMeter()
    meter.update({7: 100.0}, now_s=0)
    meter.update({8: 500.0}, now_s=1)
    assert meter.cores == 0
    for second in range(1, int(10 * LEARNING_S)):
        meter.update({8: 500.0}, now_s=second)
    assert meter.cores_each == AGENT_CORES / 4
    for second in range(1, 3000):
        meter.update({8: 500.0 + 2 * second}, now_s=5_000 + second)
    assert meter.cores_each == AGENT_CORES * 4
    assert meter.cores == pytest.approx(2)


def test_this_machine_can_be_read() -> None:
    assert all(one.used_s > 0 and one.cores > 0 for one in read_cpu())


# -- the gate -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_gate_asks_with_fresh_figures_and_survives_when_there_are_none() -> None:
    memory = [Memory(4096 * MIB, 0), Memory(4096 * MIB, 2048 * MIB)]

    def read_memory() -> Memory:
        if not memory:
            raise OSError("too many open files")
        return memory.pop(0)

    gate = AdmissionGate(AdmissionLimits(), read_memory=read_memory, read_cpu=list)
    with pytest.raises(AtCapacityError) as caught:
        gate.require(agents=0, fresh=0)
    assert (caught.value.reason, caught.value.retry_after_s) == ("memory", 5)
    gate.start()
    async with asyncio.timeout(5):
        while memory:  # noqa: ASYNC110
            await asyncio.sleep(0)
    gate.require(agents=0, fresh=0)
    await gate.close()


@pytest.mark.asyncio
async def test_the_gate_reserves_what_its_agents_do_not_use_yet() -> None:
    readings: list[float] = []

    def read_cpu() -> list[CpuCounter]:
        readings.append(10.0)
        return [CpuCounter("machine", 10.0, 1)]

    gate = AdmissionGate(AdmissionLimits(max_cpu_share=0.85), read_cpu=read_cpu)
    # Agents on an idle processor, of which none has said a word: their talk has its place.
    gate.start(lambda: dict.fromkeys(range(20), 1.0))
    async with asyncio.timeout(5):
        while len(readings) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    most = int(0.85 / AGENT_CORES)
    gate.require(agents=most - 1, fresh=0)
    with pytest.raises(AtCapacityError) as caught:
        gate.require(agents=most, fresh=0)
    assert caught.value.reason == "cpu"
    assert caught.value.figures["cpu_percent"] == 0
    await gate.close()


@pytest.mark.parametrize(
    ("kind", "name", "reserved"),
    [("tasks", "processes", AGENT_TASKS), ("descriptors", "descriptors", AGENT_DESCRIPTORS)],
)
def test_what_the_kernel_counts_is_refused_with_its_figure(
    kind: str, name: str, reserved: int
) -> None:
    def with_count(count: Count, fresh: int = 0) -> Load:
        load = replace(CALM, fresh=fresh)
        return replace(load, tasks=count) if kind == "tasks" else replace(load, descriptors=count)

    last = Count("RLIMIT_X", used=100 - reserved, limit=100)
    assert refusal(with_count(last), AdmissionLimits()) is None
    for full in (
        replace(last, used=last.used + 1),
        replace(last, used=100),
        replace(last, used=120),
    ):
        refused = refusal(with_count(full), AdmissionLimits())
        assert refused is not None
        assert refused.reason == name
        assert refused.figures == {name: full.used, "reserved": reserved, f"max_{name}": 100}
        assert f"{full.used} " in refused.text
        assert "the limit is 100 (RLIMIT_X)" in refused.text
    # Agents that start take theirs too.
    assert refusal(with_count(last, fresh=1), AdmissionLimits()) is not None


def test_the_gate_counts_anew_at_each_start() -> None:
    counts = [Count("pids.max", used=10, limit=20)]
    descriptors = [Count("RLIMIT_NOFILE", used=10, limit=1024)]
    gate = AdmissionGate(
        AdmissionLimits(),
        read_tasks=lambda: counts[-1],
        read_descriptors=lambda: descriptors[-1],
    )
    gate.require(agents=0, fresh=0)
    counts.append(Count("pids.max", used=19, limit=20))
    with pytest.raises(AtCapacityError) as caught:
        gate.require(agents=0, fresh=0)
    assert caught.value.reason == "processes"
    counts.pop()
    descriptors.append(Count("RLIMIT_NOFILE", used=1020, limit=1024))
    with pytest.raises(AtCapacityError) as caught:
        gate.require(agents=0, fresh=0)
    assert caught.value.reason == "descriptors"
