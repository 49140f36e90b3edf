"""The real application over a real socket, with a placement that remembers what it was asked."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from bridge.adoption import Adoption
from config.agent import AgentConfig
from config.settings import Settings
from control.admission.policy import AdmissionLimits, Load
from control.api.agents import AgentsApi
from control.api.app import KeyParts, create_app
from control.api.bridge import BridgeApi
from control.api.bridge_access import BridgeAccess
from control.api.calls import CallsApi
from control.api.console import Console
from control.api.definitions import DefinitionsApi
from control.api.events import EventsApi
from control.api.keys import KeysApi
from control.api.live import LiveApi
from control.api.local_model import LocalModelApi
from control.api.memory import MemoryApi
from control.api.openapi import document_handler
from control.api.operation import Handlers
from control.api.operations import OPERATIONS
from control.api.options import OptionsApi
from control.api.providers import ProvidersApi
from control.api.schemas import Readiness
from control.api.starts import AgentConfigurator
from control.api.status import (
    StatusApi,
    StatusSources,
    StoreFigures,
    WebhookFigures,
    capacity_of,
    pool_of,
)
from control.app_catalog import AppCatalog
from control.drain import Drain
from control.event_stream.streams import Streams
from control.http.auth import ApiKeys
from control.keys.audit_log import AuditLog
from control.keys.named_keys import NamedKeys
from control.keys.usage import KeyUsage
from control.machine.memory import Memory
from control.metrics.figures import Figures
from control.metrics.page import MetricsPage
from control.placement import (
    AgentStatus,
    AlreadyRunningError,
    ExitRecord,
    NotRunningError,
    PlacementError,
    Preparation,
)
from control.provider_check.runner import ProviderProbes
from control.server import BACKLOG, create_site
from control.status.providers import ProviderFigures
from control.status.turns import TurnSummary
from control.store.archive import Archive
from control.store.database import database_url
from control.store.recordings import Recordings
from control.supervisor.pool import PoolStatistics
from conversation.events.commands import CommandResult, LiveCommand
from conversation.lifecycle import AgentState, ExitReason
from http_server.origins import OriginCheck
from rtc.room_server.server import RoomServer, RoomServerOptions

SECRET = "0123456789abcdef0123456789abcdef"


class FakePlacement:
    """Agents that exist in name only; `failure` is raised instead of starting or stopping."""

    def __init__(self) -> None:
        self.configs: dict[str, AgentConfig] = {}
        self.commands: list[LiveCommand] = []
        self.adoptions: list[Adoption] = []
        self.failure: PlacementError | Exception | None = None
        self.is_draining = False
        self.drains: list[tuple[float, ExitReason]] = []

    async def start(
        self, config: AgentConfig, *, prepare: Preparation | None = None, should_wait: bool = True
    ) -> AgentStatus:
        if self.failure is not None:
            raise self.failure
        if config.channel_name in self.configs:
            raise AlreadyRunningError(config.channel_name)
        self.configs[config.channel_name] = config
        return self.status(config.channel_name)

    async def stop(self, channel_name: str, reason: ExitReason = ExitReason.STOPPED) -> ExitRecord:
        if self.failure is not None:
            raise self.failure
        if channel_name not in self.configs:
            raise NotRunningError
        config = self.configs.pop(channel_name)
        return ExitRecord(
            agent_id=config.agent_id,
            channel_name=channel_name,
            uid=config.uid,
            pid=77,
            exit_reason=reason,
            exit_code=0,
            stopped_by="ask",
            uptime_s=1.0,
            ended_at_ms=1,
        )

    def status(self, channel_name: str) -> AgentStatus:
        if channel_name not in self.configs:
            raise NotRunningError
        config = self.configs[channel_name]
        return AgentStatus(
            agent_id=config.agent_id,
            channel_name=channel_name,
            uid=config.uid,
            name=config.name,
            definition=config.definition,
            team=config.team,
            key=config.key,
            state=AgentState.READY,
            pid=77,
            provider=config.provider.name,
            model=config.provider.model,
            uptime_s=1.0,
            timings_ms={"joining": 3.5},
            loop_lag_ms=None,
            private_bytes=None,
            heartbeat_age_s=None,
        )

    async def command(self, channel_name: str, command: LiveCommand) -> CommandResult:
        if channel_name not in self.configs:
            raise NotRunningError
        if self.failure is not None:
            raise self.failure
        self.commands.append(command)
        return CommandResult(was_speaking=True)

    async def adopt(self, channel_name: str, descriptor: int, adoption: Adoption) -> None:
        if channel_name not in self.configs:
            raise NotRunningError
        if self.failure is not None:
            raise self.failure
        self.adoptions.append(adoption)

    def list(self) -> list[AgentStatus]:
        return [self.status(name) for name in self.configs]

    def refuse_starts(self) -> None:
        self.is_draining = True

    async def drain(self, deadline_s: float = 0.0, reason: ExitReason = ExitReason.STOPPED) -> None:
        self.drains.append((deadline_s, reason))
        self.configs.clear()


def _status_sources(placement: FakePlacement, readiness: Callable[[], Readiness]) -> StatusSources:
    load = Load(0, 0, 0.1, 2.0, Memory(8 * 1024**3, 4 * 1024**3))
    return StatusSources(
        readiness=readiness,
        agents=placement.list,
        turns=lambda _agent_id: TurnSummary(),
        capacity=lambda: capacity_of(load, AdmissionLimits(max_agents=5)),
        pool=lambda: pool_of(PoolStatistics(2, 0, 0, 0), 2),
        provider_names=lambda: ["local"],
        provider_health=ProviderFigures().of,
        store=lambda: StoreFigures(state="ready", waiting=0, given_up=0),
        webhooks=lambda: WebhookFigures(is_configured=False, waiting=0, dropped=0),
    )


class SiteServer(TestServer):
    """Serves as the control server does: connections are counted."""

    def __init__(self, app: web.Application, settings: Settings) -> None:
        super().__init__(app, host="127.0.0.1")
        self._settings = settings

    async def start_server(self, loop: Any = None, **_options: Any) -> None:
        if self.runner is not None:
            return
        self.runner = runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        listener = socket.create_server((self.host, 0), backlog=BACKLOG)
        self.port = listener.getsockname()[1]
        self.scheme = "http"
        self._root = URL(f"http://{self.host}:{self.port}")
        await create_site(runner, listener, self._settings).start()


class Api(TestClient):
    """A client of the application, and the placement behind it."""

    placement: FakePlacement
    readiness: Readiness
    handlers: Handlers
    streams: Streams
    keys: KeyParts


@asynccontextmanager
async def serve_api(
    settings: Settings | None = None,
    streams: Streams | None = None,
    archive: Archive | None = None,
    catalog: AppCatalog | None = None,
) -> AsyncIterator[Api]:
    settings = settings or Settings(local_model_uri="ws://127.0.0.1:9")
    placement = FakePlacement()
    secret = settings.room_token_secret
    readiness = Readiness(
        status="ready", agents=0, local_model="external", local_model_uri=None, problems=[]
    )
    # One that is never started stores nothing.
    archive = archive or Archive(database_url(Path("/nowhere"), None), "this server")
    named, usage = NamedKeys(archive.keys), KeyUsage()
    audit = AuditLog(archive.audit, settings.audit_retention_days)
    keys = ApiKeys([key.get_secret_value() for key in settings.api_keys], named)
    drain = Drain(placement, settings.drain_deadline_s, _nothing)
    configurator = AgentConfigurator(settings, "http://127.0.0.1:8080", None, None, catalog)
    rooms = RoomServer(
        settings.room_secrets or ("a secret of this run, of 32 bytes",),
        options=RoomServerOptions(
            allowed_origins=frozenset(settings.allowed_origins),
            are_users_free=not settings.room_secrets,
            is_key_revoked=named.is_revoked,
        ),
    )
    agents = AgentsApi(
        placement,
        configurator,
        lambda: api.readiness,
        secret,
        archive,
        drain.begin,
        rooms.tokens,
        rooms.team_of,
        usage,
    )
    streams = streams or Streams()
    metrics = MetricsPage(Figures())
    handlers = Handlers(
        agents=agents,
        definitions=DefinitionsApi(catalog),
        local_model=LocalModelApi(settings, lambda: "external"),
        live=LiveApi(placement),
        events=EventsApi(streams, keys),
        bridge=BridgeApi(
            placement,
            agents,
            BridgeAccess(keys, rooms.tokens),
            OriginCheck(settings.allowed_origins),
        ),
        calls=CallsApi(archive, Recordings(settings.recordings_dir)),
        memory=MemoryApi(archive.memories),
        status=StatusApi(_status_sources(placement, lambda: api.readiness)),
        options=OptionsApi(
            settings,
            lambda: configurator.local_model,
            lambda: catalog.definitions if catalog else (),
            configurator.skills,
        ),
        providers=ProvidersApi(
            settings, lambda: configurator.local_model, _nothing, ProviderProbes()
        ),
        keys=KeysApi(named, usage, audit),
        console=Console(),
        metrics=metrics,
        openapi=document_handler(OPERATIONS),
    )
    parts = KeyParts(keys=keys, named=named, usage=usage, audit=audit)
    app = create_app(settings, handlers, rooms, metrics.figures, parts)
    api = Api(SiteServer(app, settings))
    api.placement = placement
    api.readiness = readiness
    api.handlers, api.streams = handlers, streams
    api.keys = parts
    async with api:
        yield api
    await drain.close()


async def _nothing() -> None:
    pass
