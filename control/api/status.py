"""GET /status: what the server does at this moment, as one document."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel, Field

from control.admission.gate import AdmissionGate
from control.admission.policy import MIB, AdmissionLimits, Load, refusal
from control.api.schemas import Readiness
from control.http.bodies import respond
from control.placement import AgentStatus
from control.status.providers import ProviderHealth
from control.status.turns import TurnSummary
from control.supervisor.pool import PoolStatistics
from utils import wall_clock_ms
from version import VERSION


class AgentFigures(AgentStatus):
    """A live agent with the latency of its turns and the loss of its users' packets."""

    turns: TurnSummary
    loss_percent: float | None = Field(
        description="packets lost on the way to the agent, since its process began; null: none came"
    )

    @classmethod
    def of(cls, status: AgentStatus, turns: TurnSummary) -> AgentFigures:
        """Return the figures of an agent."""
        # Shallow: its parts are validated already.
        values = {name: getattr(status, name) for name in AgentStatus.model_fields}
        return cls.model_validate(values | {"turns": turns, "loss_percent": loss_percent(status)})


class Capacity(BaseModel):
    """Room for one more agent, by the figures that admission decides on."""

    has_room: bool
    reason: str | None = Field(
        description="why the next start would be refused: agents, cpu, memory, processes, descriptors"
    )
    text: str = Field(description="the same in words; empty while there is room")
    agents: int
    max_agents: int | None = Field(description="MAX_AGENTS; null: no limit")
    cpu_percent: float = Field(description="of all processors, averaged")
    max_cpu_percent: float | None = Field(description="MAX_CPU_PERCENT; null: no limit")
    cores: float
    free_mib: float = Field(description="memory")
    total_mib: float
    min_free_mib: float = Field(description="MIN_FREE_MEMORY_MIB")


class Pool(BaseModel):
    """Warm processes, which make a start a matter of milliseconds."""

    idle: int
    size: int = Field(description="WARM_PROCESSES")
    taken: int = Field(description="starts that found one")
    missed: int = Field(description="starts that had to fork")
    died: int = Field(description="processes that died while idle")


class WebhookFigures(BaseModel):
    """Deliveries to WEBHOOK_URL."""

    is_configured: bool
    waiting: int
    dropped: int = Field(description="given up unsent since the server's start")


class StoreFigures(BaseModel):
    """Changes on their way into the store."""

    state: str = Field(description="ready, opening or unavailable")
    waiting: int = Field(description="changes not written yet")
    given_up: int = Field(description="changes never written")


class ServerStatus(BaseModel):
    """The server now; times are Unix milliseconds."""

    version: str
    at_ms: int
    uptime_s: float
    readiness: Readiness
    capacity: Capacity
    pool: Pool
    providers: list[ProviderHealth] = Field(
        description="the default provider, its fallback, and what else was asked for a session"
    )
    store: StoreFigures
    webhooks: WebhookFigures
    agents: list[AgentFigures]


def loss_percent(status: AgentStatus) -> float | None:
    """Return the share of packets that did not arrive; None if none was expected."""
    media = None if status.vitals is None else status.vitals.media
    expected = 0 if media is None else media.packets_received + media.packets_lost
    if media is None or expected == 0:
        return None
    return round(100 * media.packets_lost / expected, 2)


def capacity_of(load: Load, limits: AdmissionLimits) -> Capacity:
    """Return what admission would say to one more agent. Pure."""
    refused = refusal(load, limits)
    share = limits.max_cpu_share
    return Capacity(
        has_room=refused is None,
        reason=None if refused is None else refused.reason,
        text="" if refused is None else refused.text,
        agents=load.agents,
        max_agents=limits.max_agents,
        cpu_percent=round(100 * load.cpu_share, 1),
        max_cpu_percent=None if share is None else round(100 * share, 1),
        cores=round(load.cores, 2),
        free_mib=round(load.memory.available_bytes / MIB),
        total_mib=round(load.memory.total_bytes / MIB),
        min_free_mib=round(limits.min_free_bytes / MIB),
    )


def pool_of(statistics: PoolStatistics, size: int) -> Pool:
    """Return the figures of the pool that shall hold `size` processes."""
    return Pool(
        idle=statistics.idle,
        size=size,
        taken=statistics.taken,
        missed=statistics.missed,
        died=statistics.died,
    )


@dataclass(frozen=True, kw_only=True)
class StatusSources:
    """The sources of the document's parts, each read when it is asked for."""

    readiness: Callable[[], Readiness]
    agents: Callable[[], Sequence[AgentStatus]]
    turns: Callable[[str], TurnSummary]
    capacity: Callable[[], Capacity]
    pool: Callable[[], Pool]
    provider_names: Callable[[], Sequence[str]]
    provider_health: Callable[[str], ProviderHealth]
    store: Callable[[], StoreFigures]
    webhooks: Callable[[], WebhookFigures]


class StatusApi:
    """Handler of the status."""

    def __init__(self, sources: StatusSources) -> None:
        self._sources = sources
        self._began_s = time.monotonic()

    async def show(self, _request: web.Request) -> web.Response:
        """GET /status"""
        return respond(self.read())

    def read(self) -> ServerStatus:
        """Return the document as of now."""
        sources = self._sources
        return ServerStatus(
            version=VERSION,
            at_ms=wall_clock_ms(),
            uptime_s=round(time.monotonic() - self._began_s, 1),
            readiness=sources.readiness(),
            capacity=sources.capacity(),
            pool=sources.pool(),
            providers=[sources.provider_health(name) for name in sources.provider_names()],
            store=sources.store(),
            webhooks=sources.webhooks(),
            agents=[AgentFigures.of(one, sources.turns(one.agent_id)) for one in sources.agents()],
        )


def capacity_now(gate: AdmissionGate, *, agents: int, fresh: int) -> Capacity:
    """Return the capacity by the gate's present readings."""
    return capacity_of(gate.load(agents=agents, fresh=fresh), gate.limits)
