"""The real application over a real socket, with a placement that remembers what it was asked."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from config import AgentConfig, Settings
from control.api.app import create_app
from control.api.console import Console
from control.api.routes import ControlApi
from control.api.schemas import Readiness
from control.api.starts import AgentConfigurator
from control.drain import Drain
from control.live.routes import LiveApi
from control.live.sse import EventsApi
from control.live.streams import Streams
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
from control.server import BACKLOG, create_site
from control.store.archive import Archive
from control.store.database import database_url
from control.store.recordings import Recordings
from control.store.routes import CallsApi
from conversation.lifecycle import AgentState, ExitReason
from conversation.live_commands import CommandResult, LiveCommand
from rtc.room_server import RoomServer, RoomServerOptions

SECRET = "0123456789abcdef0123456789abcdef"


class FakePlacement:
    """Agents that exist in name only; `failure` is raised instead of starting or stopping."""

    def __init__(self) -> None:
        self.configs: dict[str, AgentConfig] = {}
        self.commands: list[LiveCommand] = []
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

    def list(self) -> list[AgentStatus]:
        return [self.status(name) for name in self.configs]

    def refuse_starts(self) -> None:
        self.is_draining = True

    async def drain(self, deadline_s: float = 0.0, reason: ExitReason = ExitReason.STOPPED) -> None:
        self.drains.append((deadline_s, reason))
        self.configs.clear()


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
    apis: list[object]
    streams: Streams


@asynccontextmanager
async def serve_api(
    settings: Settings | None = None,
    streams: Streams | None = None,
    archive: Archive | None = None,
) -> AsyncIterator[Api]:
    settings = settings or Settings(local_model_uri="ws://127.0.0.1:9")
    placement = FakePlacement()
    secret = settings.room_token_secret
    readiness = Readiness(
        status="ready", agents=0, local_model="external", local_model_uri=None, problems=[]
    )
    drain = Drain(placement, settings.drain_deadline_s, _nothing)
    configurator = AgentConfigurator(settings, "http://127.0.0.1:8080", None)
    # One that is never started stores nothing.
    archive = archive or Archive(database_url(Path("/nowhere"), None), "this server")
    rooms = RoomServer(
        settings.room_secrets or ("a secret of this run, of 32 bytes",),
        options=RoomServerOptions(
            allowed_origins=frozenset(settings.allowed_origins),
            are_users_free=not settings.room_secrets,
        ),
    )
    control = ControlApi(
        placement, configurator, lambda: api.readiness, secret, archive, drain.begin, rooms.tokens
    )
    streams = streams or Streams()
    apis: list[object] = [
        *(control, LiveApi(placement), EventsApi(streams)),
        CallsApi(archive, Recordings(settings.recordings_dir)),
    ]
    app = create_app(settings, apis, Console(), rooms, MetricsPage(Figures()))
    api = Api(SiteServer(app, settings))
    api.placement = placement
    api.readiness = readiness
    api.apis, api.streams = apis, streams
    async with api:
        yield api
    await drain.close()


async def _nothing() -> None:
    pass
