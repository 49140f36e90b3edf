"""`ControlServer`: assembles all parts of a server, and takes them apart again."""

from __future__ import annotations

import logging
import secrets
import socket
from typing import Final

from aiohttp import web

from config import Settings
from control.access.addresses import Addresses
from control.admission.gate import AdmissionGate
from control.admission.policy import (
    AGENT_BYTES,
    AGENT_DESCRIPTORS,
    MIB,
    AdmissionLimits,
    tasks_left,
)
from control.api.app import create_app
from control.api.console import Console
from control.api.routes import ControlApi
from control.api.schemas import Readiness
from control.api.starts import AgentConfigurator
from control.drain import Drain
from control.insight import Insight
from control.live.routes import LiveApi
from control.live.sse import EventsApi
from control.live.streams import Streams
from control.machine.counts import raise_descriptor_limit, read_tasks
from control.machine.memory import read_memory
from control.metrics.now import Reading
from control.processes.child import DEFAULT_ENTRY
from control.processes.forkserver import Forkserver, ForkserverState
from control.processes.ladder import DEFAULT_DEADLINES, Deadlines
from control.processes.orphans import Orphans
from control.processes.pool import ProcessPool
from control.processes.started import watched_pids
from control.processes.watch import WatchLimits
from control.readiness import Surroundings, missing_provider
from control.store.opening import create_archive
from control.store.recordings import Recordings
from control.store.routes import CallsApi
from control.supervision.model_server import ModelServer, ModelState
from control.supervision.supervisor import Supervisor
from control.webhooks.sender import Webhooks
from httpd.connections import ConnectionLimits
from httpd.site import ConnectionSite
from logs import lost_lines
from rtc.room_server import RoomServer, RoomServerOptions
from rtc.turn import IceServers

BACKLOG: Final = 512
"""Connections that may wait to be accepted."""

_OWN_DESCRIPTORS: Final = 128
"""What the server has open without agents and connections, and what it opens for moments."""

_log = logging.getLogger("control.server")

_HTTP_SHUTDOWN_S: Final = 2.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ServerError(Exception):
    """The server cannot run; the text is one line for people."""


class ControlServer:
    """All parts of one server, from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        *,
        agent_entry: str = DEFAULT_ENTRY,
        deadlines: Deadlines = DEFAULT_DEADLINES,
    ) -> None:
        """agent_entry: `module:name` of the agent's class, from code only, never from a request.

        Raises:
            ConfigError: a setting asks for packages that are not installed, or for a folder or a
                database that cannot be had.
            ServerError: the local model's port is taken.
        """
        self.url = _url_of(listener)
        self._settings = settings
        self._listener = listener
        self._forkserver = Forkserver(agent_entry, should_merge_pages=settings.merge_pages)
        self._pool = ProcessPool(
            self._forkserver, settings.warm_processes, room=lambda: tasks_left(read_tasks())
        )
        self._orphans = Orphans(self._own_children)
        self._admission = AdmissionGate(_admission_limits(settings))
        self._insight = Insight(settings)
        self.webhooks = _create_webhooks(settings)
        # After what can be refused: it holds its folder from here on.
        self._archive = create_archive(settings)
        streams = Streams()
        self.supervisor = self._create_supervisor(deadlines, streams)
        self._insight.watch(
            self.supervisor,
            lambda: self._pool.statistics,
            lambda: self.readiness().status == "ready",
            self._readings,
        )
        self._drain = Drain(self.supervisor, settings.drain_deadline_s, self._pool.close)
        self.model = _create_model_server(settings)
        self._rooms = _create_rooms(settings)
        self._configurator = AgentConfigurator(settings, self.url, self.model, self._rooms.tokens)
        self._surroundings = Surroundings(settings)
        self._missing_provider = missing_provider(settings)
        app = create_app(
            settings, self._create_apis(streams), Console(), self._rooms, self._insight.page
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_HTTP_SHUTDOWN_S)
        self._site: ConnectionSite | None = None

    def _create_supervisor(self, deadlines: Deadlines, streams: Streams) -> Supervisor:
        return Supervisor(
            self._pool,
            deadlines,
            limits=WatchLimits.of(self._settings, read_memory()),
            admission=self._admission,
            observers=[
                *self._insight.observers,
                self._archive.recorder,
                streams,
                *([self.webhooks] if self.webhooks else ()),
            ],
        )

    def _create_apis(self, streams: Streams) -> list[object]:
        api = ControlApi(
            self.supervisor,
            self._configurator,
            self.readiness,
            self._settings.room_token_secret,
            self._archive,
            self._drain.begin,
            self._rooms.tokens,
        )
        # The supervisor tells all who observe, event streams and webhooks among them.
        self._archive.share_deletions(
            [self.supervisor, api],
            self.supervisor.forget_words,
            lambda: self.supervisor.ended_calls,
        )
        calls = CallsApi(self._archive, Recordings(self._settings.recordings_dir))
        return [api, LiveApi(self.supervisor), EventsApi(streams), calls]

    async def start(self) -> None:
        """Serve; returns when agents can be started. The local model may still be loading: starts
        that need it wait for it.

        Raises:
            ServerError: no processes can be started here.
        """
        _allow_descriptors(self._settings)
        if self.model is not None and self._settings.model_provider == "local":
            self.model.start()
        try:
            await self._forkserver.start()
        except OSError as error:
            raise ServerError(str(error)) from error
        self._orphans.start()
        self._pool.start()
        self._admission.start()
        self._archive.start(self.supervisor.list)
        self._surroundings.start()
        if self.webhooks is not None:
            self.webhooks.start()
        await self._runner.setup()
        self._site = create_site(self._runner, self._listener, self._settings)
        await self._site.start()

    def _own_children(self) -> frozenset[int]:
        model_pid = None if self.model is None else self.model.pid
        return watched_pids() | ({model_pid} if model_pid is not None else frozenset())

    def _readings(self) -> list[Reading]:
        is_model_ready = self.model is not None and self.model.state is ModelState.READY
        dropped = 0 if self.webhooks is None else self.webhooks.dropped
        forks = self._forkserver.statistics
        return [
            Reading(
                "forkserver_restarts",
                "Forkservers that followed a lost one",
                forks.restarts,
                is_count=True,
            ),
            Reading(
                "forks_refused",
                "Agent processes that could not be forked",
                forks.refusals,
                is_count=True,
                label="errno",
            ),
            Reading("local_model_ready", "Whether our local model runs", float(is_model_ready)),
            Reading("store_waiting", "Changes that are only in memory", self._archive.waiting),
            Reading(
                "store_given_up", "Changes never written", self._archive.given_up, is_count=True
            ),
            Reading("webhooks_dropped", "Deliveries never sent", dropped, is_count=True),
            Reading("log_lines_lost", "Lines nobody took", lost_lines(), is_count=True),
            *(_connection_readings(self._site) if self._site is not None else ()),
        ]

    def _warnings(self) -> list[str]:
        lost = lost_lines()
        told = [f"log: {lost} lines were lost, look at what reads it"] if lost else []
        return [*self._archive.warnings(), *self._surroundings.warnings(), *told]

    def readiness(self) -> Readiness:
        """Whether a start with the server's settings would be taken now, and if not, why."""
        checks = (
            self._model_problem(),
            self._configurator.problem,
            self._missing_provider,
            self._forkserver_problem(),
            "draining: no more agents are started" if self.supervisor.is_draining else None,
        )
        problems = [problem for problem in checks if problem is not None]
        return Readiness(
            status="not_ready" if problems else "ready",
            agents=len(self.supervisor.list()),
            is_draining=self.supervisor.is_draining,
            local_model=self.model.state if self.model else "external",
            local_model_uri=self._configurator.local_model_uri,
            problems=problems,
            store=self._archive.state,
            warnings=self._warnings(),
        )

    def _model_problem(self) -> str | None:
        is_needed = self._settings.model_provider == "local"
        if self.model is None or not is_needed or self.model.state is ModelState.READY:
            return None
        return f"local model {self.model.state} {self.model.problem}".strip()

    def _forkserver_problem(self) -> str | None:
        state, problem = self._forkserver.state, self._forkserver.problem
        if state is ForkserverState.READY:
            # It lives, and the kernel may have no process for it to fork.
            return f"forkserver: {problem}" if problem else None
        return f"forkserver {state} {problem}".strip()

    @property
    def is_loading(self) -> bool:
        """Whether nothing but the local model is waited for, which will be there."""
        is_coming = self.model is not None and self.model.state in (
            *(ModelState.STARTING, ModelState.BACKOFF),
        )
        return is_coming and self.readiness().problems == [self._model_problem()]

    async def stop(self, *, is_patient: bool) -> None:
        """End agents first, while their rooms still work; then rooms, pages and the model.

        is_patient: calls may go on until the drain deadline
        """
        if is_patient:
            await self._drain.run()
        await self.supervisor.drain()
        await self._drain.close()
        await self._admission.close()
        await self._rooms.close()
        await self._runner.cleanup()
        await self._surroundings.close()
        await self._archive.close()
        if self.model is not None:
            await self.model.stop()
        await self._pool.close()
        await self._forkserver.stop()
        await self._orphans.close()
        await self._insight.close()
        if self.webhooks is not None:
            await self.webhooks.close()


def create_site(
    runner: web.AppRunner, listener: socket.socket, settings: Settings
) -> ConnectionSite:
    """The site that accepts the server's connections."""
    limits = ConnectionLimits(
        total=settings.max_connections,
        per_address=settings.max_connections_per_address,
        head_timeout_s=settings.head_timeout_s,
    )
    return ConnectionSite(runner, listener, limits, Addresses(settings.trusted_proxies).peer)


def _connection_readings(site: ConnectionSite) -> list[Reading]:
    return [
        Reading("connections", "Open connections, with or without a request", site.open),
        Reading(
            "connections_ended",
            "Ended for a newcomer while they asked for nothing",
            site.evicted,
            is_count=True,
        ),
        Reading("connections_refused", "For which there was no place", site.refused, is_count=True),
        Reading(
            "connections_malformed", "Which sent what is no HTTP", site.malformed, is_count=True
        ),
    ]


def _allow_descriptors(settings: Settings) -> None:
    """Take as many as the settings may need, or say that they are too few."""
    agents = settings.max_agents
    if agents is None:
        agents = read_memory().total_bytes // AGENT_BYTES
    needed = _OWN_DESCRIPTORS + settings.max_connections + agents * AGENT_DESCRIPTORS
    if (allowed := raise_descriptor_limit(needed)) < needed:
        _log.warning(
            "%d descriptors may be open, %d agents and %d connections may need %d: raise the hard"
            " limit (ulimit -Hn, LimitNOFILE=)",
            *(allowed, agents, settings.max_connections, needed),
        )


def _admission_limits(settings: Settings) -> AdmissionLimits:
    max_percent = settings.max_cpu_percent
    return AdmissionLimits(
        settings.max_agents,
        None if max_percent is None else max_percent / 100,
        settings.min_free_memory_mib * MIB,
    )


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    name = _ANY_ADDRESS.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _create_rooms(settings: Settings) -> RoomServer:
    # Without a configured one, a secret of this run: people need no token then, but nobody may
    # say that it is an agent unless the server let it start.
    room_secrets = settings.room_secrets
    options = RoomServerOptions(
        allowed_origins=frozenset(settings.allowed_origins), are_users_free=not room_secrets
    )
    agents_alone = (secrets.token_hex(32),)
    return RoomServer(room_secrets or agents_alone, _create_ice_servers(settings), options)


def _create_ice_servers(settings: Settings) -> IceServers:
    secret = settings.turn_secret
    return IceServers(
        stun_urls=settings.stun_urls,
        turn_urls=settings.turn_urls,
        turn_secret=secret.get_secret_value() if secret else "",
        turn_ttl_s=settings.turn_credential_ttl_s,
        is_relay_only=settings.media_relay_only,
    )


def _create_webhooks(settings: Settings) -> Webhooks | None:
    if settings.webhook_url is None:
        return None
    assert settings.webhook_secret is not None
    return Webhooks(settings.webhook_url, settings.webhook_secret)


def _create_model_server(settings: Settings) -> ModelServer | None:
    if settings.local_model_uri is not None:
        return None
    try:
        return ModelServer(settings.local_model_port)
    except OSError as error:
        port = settings.local_model_port
        raise ServerError(f"LOCAL_MODEL_PORT {port} cannot be had: {error.strerror}") from error
