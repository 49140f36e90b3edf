"""The decision: figures in, a refusal with its reason and figures out, or none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control.machine.counts import Count
from control.machine.memory import Memory

MIB: Final = 1024 * 1024

AGENT_BYTES: Final = 48 * MIB
"""What a new agent takes: twice its private memory when it is well."""

AGENT_CORES: Final = 0.05
"""What a new agent takes of the processors while it speaks."""

AGENT_TASKS: Final = 3
"""Processes and threads of a new agent, and for a moment of its fork: itself, its log, one more."""

AGENT_DESCRIPTORS: Final = 10
"""What a new agent takes in the server: its link, stacks and process, sockets of its people."""

_FRESH_TASKS: Final = 1
_FRESH_DESCRIPTORS: Final = 4
_RETRY_AGENTS_S: Final = 10
_RETRY_LOAD_S: Final = 5


@dataclass(frozen=True)
class AdmissionLimits:
    """What must hold with one more agent. None: no such limit.

    max_agents: live agents, those that are starting included
    max_cpu_share: from 0 to 1, of the processors that we may use
    min_free_bytes: memory that must be left
    """

    max_agents: int | None = None
    max_cpu_share: float | None = None
    min_free_bytes: int = 0


@dataclass(frozen=True)
class Load:
    """What there is now.

    fresh: agents that are starting, or so young that the other figures do not show them yet
    cpu_share: in use, from 0 to 1, averaged over seconds; cores: how many 1 stands for
    tasks: processes with their threads; descriptors: of the server; None: nothing is known of them
    """

    agents: int
    fresh: int
    cpu_share: float
    cores: float
    memory: Memory
    tasks: Count | None = None
    descriptors: Count | None = None


@dataclass(frozen=True)
class Refusal:
    """Why not now. reason: `agents`, `cpu`, `memory`, `processes` or `descriptors`; figures: names carry their units."""

    reason: str
    text: str
    figures: Mapping[str, float]
    retry_after_s: int


def refusal(load: Load, limits: AdmissionLimits) -> Refusal | None:
    """What speaks against one more agent; None: it may come."""
    return (
        _by_count(load, limits)
        or _by_memory(load, limits)
        or _by_cpu(load, limits)
        or _by_tasks(load)
        or _by_descriptors(load)
    )


def tasks_left(tasks: Count | None) -> int | None:
    """How many agents there are processes and threads for; None: nothing is known."""
    return None if tasks is None else max(0, tasks.left // AGENT_TASKS)


def _by_count(load: Load, limits: AdmissionLimits) -> Refusal | None:
    if limits.max_agents is None or load.agents < limits.max_agents:
        return None
    text = f"{load.agents} agents run here, {limits.max_agents} may"
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
    text = "{available_mib:g} MiB of memory are free, {reserved_mib:g} are reserved for agents that start"
    text += ", and {min_free_mib:g} must stay free"
    return Refusal("memory", text.format(**figures), figures, _RETRY_LOAD_S)


def _by_cpu(load: Load, limits: AdmissionLimits) -> Refusal | None:
    if limits.max_cpu_share is None:
        return None
    reserved_share = (load.fresh + 1) * AGENT_CORES / load.cores
    if load.cpu_share + reserved_share <= limits.max_cpu_share:
        return None
    figures = {
        "cpu_percent": _percent(load.cpu_share),
        "reserved_percent": _percent(reserved_share),
        "max_cpu_percent": _percent(limits.max_cpu_share),
        "cores": round(load.cores, 2),
        "starting": load.fresh,
    }
    text = (
        "{cpu_percent:g} % of {cores:g} cores are in use, {reserved_percent:g} % are reserved for "
    )
    text += "agents that start, and {max_cpu_percent:g} % may be"
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
    text = f"{count.used} {things} are in use, {reserved} are reserved for agents that start, and "
    text += f"{count.limit} may be ({count.name})"
    return Refusal(reason, text, figures, _RETRY_LOAD_S)


def _mib(size_bytes: int) -> float:
    return round(size_bytes / MIB, 1)


def _percent(share: float) -> float:
    return round(100 * share, 1)
