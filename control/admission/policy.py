"""Admission policy: decide from the present load whether one more agent is admitted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control.machine.counts import Count
from control.machine.memory import Memory

MIB: Final = 1024 * 1024

AGENT_BYTES: Final = 48 * MIB
"""Memory reserved for a new agent: twice the private memory of a healthy one."""

AGENT_CORES: Final = 0.035
"""Cores that an agent uses in a conversation, the server's part included, as measured by `bench crowd`;
the initial value of the estimate that each machine learns."""

UNDISPUTED: Final = 0.25
"""Agents that need at most this share of the limit are admitted whatever the machine's load: the
kernel's scheduler favours processes that mostly sleep over those that never do."""

AGENT_TASKS: Final = 3
"""Tasks reserved for a new agent: its process, its log thread, and briefly the intermediate fork."""

AGENT_DESCRIPTORS: Final = 10
"""Descriptors of the server reserved for a new agent: link, stack file, pidfd, its users' sockets."""

# Still to come of an agent that is already starting.
_FRESH_TASKS: Final = 1
_FRESH_DESCRIPTORS: Final = 4
# `Retry-After` of refusals: calls end slowly, load changes quickly.
_RETRY_AGENTS_S: Final = 10
_RETRY_LOAD_S: Final = 5


@dataclass(frozen=True)
class AdmissionLimits:
    """Limits that must hold with one more agent. None: no such limit.

    max_agents: live agents, those that are starting included.
    max_cpu_share: from 0 to 1, of the processors that this process may use; all programs count.
    min_free_bytes: memory that must stay available.
    """

    max_agents: int | None = None
    max_cpu_share: float | None = None
    min_free_bytes: int = 0


@dataclass(frozen=True)
class Load:
    """Present load.

    agents: live agents, those that are starting included.
    fresh: agents that are starting, or too young to show in the averaged load.
    cpu_share: averaged load from 0 to 1; cores: the cores that 1 stands for.
    agent_cores: cores used by agents; cores_each: cores that one of them uses in a conversation.
    tasks: processes and threads; descriptors: of the server. None: unknown.
    """

    agents: int
    fresh: int
    cpu_share: float
    cores: float
    memory: Memory
    tasks: Count | None = None
    descriptors: Count | None = None
    agent_cores: float = 0.0
    cores_each: float = AGENT_CORES


@dataclass(frozen=True)
class Refusal:
    """Refusal of a start.

    reason: `agents`, `cpu`, `memory`, `processes` or `descriptors`.
    figures: measurements and their limits; names carry units.
    """

    reason: str
    text: str
    figures: Mapping[str, float]
    retry_after_s: int


def refusal(load: Load, limits: AdmissionLimits) -> Refusal | None:
    """Return why one more agent is refused; None if it is admitted."""
    return (
        _by_count(load, limits)
        or _by_memory(load, limits)
        or _by_cpu(load, limits)
        or _by_tasks(load)
        or _by_descriptors(load)
    )


def tasks_left(tasks: Count | None) -> int | None:
    """Return for how many agents there are tasks left; None if unknown."""
    return None if tasks is None else max(0, tasks.left // AGENT_TASKS)


def _by_count(load: Load, limits: AdmissionLimits) -> Refusal | None:
    if limits.max_agents is None or load.agents < limits.max_agents:
        return None
    text = f"{load.agents} agents are live, the limit is {limits.max_agents}"
    figures = {"agents": load.agents, "max_agents": limits.max_agents}
    return Refusal("agents", text, figures, _RETRY_AGENTS_S)


def _by_memory(load: Load, limits: AdmissionLimits) -> Refusal | None:
    reserved_bytes = (load.fresh + 1) * AGENT_BYTES
    left_bytes = load.memory.available_bytes - reserved_bytes
    if left_bytes >= limits.min_free_bytes:
        return None
    figures = {
        "available_mib": _mib(load.memory.available_bytes),
        "reserved_mib": _mib(reserved_bytes),
        "min_free_mib": _mib(limits.min_free_bytes),
        "starting": load.fresh,
    }
    text = "{available_mib:g} MiB of memory are free, {reserved_mib:g} are reserved for starting agents"
    text += ", and {min_free_mib:g} must stay free"
    return Refusal("memory", text.format(**figures), figures, _RETRY_LOAD_S)


def _by_cpu(load: Load, limits: AdmissionLimits) -> Refusal | None:
    if limits.max_cpu_share is None:
        return None
    # All agents may speak at once, however quiet they are now.
    needed_cores = (load.agents + 1) * load.cores_each
    if needed_cores / load.cores <= limits.max_cpu_share * UNDISPUTED:
        return None
    reserved_share = max(0.0, needed_cores - load.agent_cores) / load.cores
    if load.cpu_share + reserved_share <= limits.max_cpu_share:
        return None
    figures = {
        "cpu_percent": _percent(load.cpu_share),
        "reserved_percent": _percent(reserved_share),
        "max_cpu_percent": _percent(limits.max_cpu_share),
        "cores": round(load.cores, 2),
        "agents": load.agents,
    }
    text = (
        "{cpu_percent:g} % of {cores:g} cores are in use, {reserved_percent:g} % are reserved for "
    )
    text += "this agent and {agents:g} others to talk, and the limit is {max_cpu_percent:g} %"
    return Refusal("cpu", text.format(**figures), figures, _RETRY_LOAD_S)


def _by_tasks(load: Load) -> Refusal | None:
    reserved = AGENT_TASKS + load.fresh * _FRESH_TASKS
    return _by_kernel("processes", "processes and threads", load.tasks, reserved)


def _by_descriptors(load: Load) -> Refusal | None:
    reserved = AGENT_DESCRIPTORS + load.fresh * _FRESH_DESCRIPTORS
    return _by_kernel("descriptors", "descriptors", load.descriptors, reserved)


def _by_kernel(reason: str, things: str, count: Count | None, reserved: int) -> Refusal | None:
    if count is None or count.left >= reserved:
        return None
    figures = {reason: count.used, "reserved": reserved, f"max_{reason}": count.limit}
    text = f"{count.used} {things} are in use, {reserved} are reserved for starting agents, and "
    text += f"the limit is {count.limit} ({count.name})"
    return Refusal(reason, text, figures, _RETRY_LOAD_S)


def _mib(size_bytes: int) -> float:
    return round(size_bytes / MIB, 1)


def _percent(share: float) -> float:
    return round(100 * share, 1)
