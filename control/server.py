"""`ControlServer`: the parts of a server, assembled, started and stopped."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web
from pydantic import SecretStr

from config.settings import Settings
from config.sound_files import sound_folders
from control.admission.gate import AdmissionGate
from control.admission.policy import (
    AGENT_BYTES,
    AGENT_DESCRIPTORS,
    MIB,
    AdmissionLimits,
    tasks_left,
)
from control.after_call.analyst import Analyst
from control.after_call.runner import AfterCall
from control.api.agents import AgentsApi
from control.api.app import KeyParts, create_app
from control.api.bridge import BridgeApi
from control.api.bridge_access import BridgeAccess
from control.api.calls import CallsApi
from control.api.console import Console
from control.api.definition_check import check_definition
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
from control.api.starts import MODEL_DEADLINE_S, AgentConfigurator
from control.api.status import (
    StatusApi,
    StatusSources,
    StoreFigures,
    WebhookFigures,
    capacity_now,
    pool_of,
)
from control.app_catalog import AppCatalog
from control.app_watcher import AppWatcher
from control.child.entry import DEFAULT_ENTRY
from control.drain import Drain
from control.event_stream.streams import Streams
from control.forkserver.app_source import AppSource
from control.forkserver.forkserver import Forkserver, ForkserverState
from control.forkserver.started_process import watched_pids
from control.health.rules import HealthLimits
from control.http.addresses import Addresses
from control.http.auth import ApiKeys
from control.keys.audit_log import AuditLog
from control.keys.named_keys import NamedKeys
from control.keys.usage import KeyUsage
from control.machine.counts import raise_descriptor_limit, read_tasks
from control.machine.memory import read_memory
from control.metrics.current import Reading
from control.provider_check.runner import ProviderProbes
from control.readiness import ReadinessChecks, missing_provider
from control.status.providers import ProviderFigures
from control.status.turns import TurnFigures
from control.store.opening import create_archive
from control.store.recordings import Recordings
from control.supervisor.local_model import LocalModel
from control.supervisor.loopback_server import ServerState
from control.supervisor.orphans import Orphans
from control.supervisor.pool import ProcessPool
from control.supervisor.stop_sequence import DEFAULT_DEADLINES, Deadlines
from control.supervisor.supervisor import Supervisor
from control.telemetry import Telemetry, server_readings
from control.webhooks.sender import Webhooks
from http_server.connections import ConnectionLimits
from http_server.origins import OriginCheck
from http_server.site import ConnectionSite
from logs import lost_lines
from rtc.room_server.ice_servers import IceServers
from rtc.room_server.server import RoomServer, RoomServerOptions
from rtc.room_server.tokens import RoomTokens
from speech.options import SessionOptions
from utils import OwnedTasks

BACKLOG: Final = 512
"""Connections that may wait in the listen queue."""

_OWN_DESCRIPTORS: Final = 128
"""Descriptors the server needs apart from agents and connections, short-lived ones included."""

_log = logging.getLogger("control.server")

# For requests in progress when the server stops.
_HTTP_SHUTDOWN_S: Final = 2.0
# Addresses to connect to when the server listens on all interfaces.
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ServerError(Exception):
    """The server cannot run; the text is one line for the terminal."""


class AppFailedError(ServerError):
    """The owner's app cannot be loaded; the text names its problems."""


class ControlServer:
    """All parts of one server, from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        *,
        agent_entry: str = DEFAULT_ENTRY,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        should_reload: bool = False,
    ) -> None:
        """
        Args:
            agent_entry: `module:name` of the agent's class, from code only, never from a request.
            should_reload: load the owner's app again when its files change.

        Raises:
            ConfigError: a setting needs packages that are not installed, or a folder or database that
                cannot be used.
            ServerError: the local model's port is taken.
        """
        self.url = _url_of(listener)
        self._settings = settings
        self._listener = listener
        self._catalog = self._create_catalog(should_reload=should_reload)
        self._forkserver = Forkserver(
            agent_entry,
            should_merge_pages=settings.merge_pages,
            app=self._catalog,
            sound_folders=sound_folders(settings),
        )
        self._pool = ProcessPool(
            self._forkserver, settings.warm_processes, room=lambda: tasks_left(read_tasks())
        )
        self._watcher = AppWatcher(self._catalog, self._reload_app) if should_reload else None
        self._orphans = Orphans(self._own_children)
        self._admission = AdmissionGate(_admission_limits(settings))
        self._telemetry = Telemetry(settings)
        self._turn_figures, self._provider_figures = TurnFigures(), ProviderFigures()
        self._probes = ProviderProbes()
        self._rooms = _create_rooms(settings, self._is_key_revoked)
        self.webhooks = _create_webhooks(settings, self._rooms.tokens)
        # After everything that may raise: from here on it holds a lock on its folder.
        self._recordings = Recordings(settings.recordings_dir)
        self._archive = create_archive(settings, self._recordings)
        self._after_call = self._create_after_call()
        self._named_keys = NamedKeys(self._archive.keys)
        self._key_usage = KeyUsage()
        self._audit = AuditLog(self._archive.audit, settings.audit_retention_days)
        self._api_keys = ApiKeys(
            [key.get_secret_value() for key in settings.api_keys], self._named_keys
        )
        streams = Streams()
        self.supervisor = self._create_supervisor(deadlines, streams)
        self._telemetry.register_sources(
            self.supervisor,
            lambda: self._pool.statistics,
            lambda: self.readiness().status == "ready",
            self._readings,
        )
        self._drain = Drain(self.supervisor, settings.drain_deadline_s, self._pool.close)
        self.model = _create_local_model(settings)
        self._configurator = AgentConfigurator(
            settings, self.url, self.model, self._rooms.tokens, self._catalog
        )
        self._readiness_checks = ReadinessChecks(settings)
        self._missing_provider = missing_provider(settings)
        app = create_app(
            settings,
            self._create_handlers(streams),
            self._rooms,
            self._telemetry.page.figures,
            KeyParts(
                keys=self._api_keys,
                named=self._named_keys,
                usage=self._key_usage,
                audit=self._audit,
            ),
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_HTTP_SHUTDOWN_S)
        self._site: ConnectionSite | None = None
        self._tasks = OwnedTasks(_log)

    def _create_catalog(self, *, should_reload: bool) -> AppCatalog | None:
        if self._settings.app is None:
            return None
        return AppCatalog(
            AppSource(self._settings.app, self._settings.app_environment),
            lambda one: check_definition(one, self._configurator.agent_config),
            is_watched=should_reload,
        )

    async def _reload_app(self) -> None:
        """Load the app again; warm processes of the version before are replaced."""
        if await self._forkserver.reload():
            self._pool.renew()

    def _create_supervisor(self, deadlines: Deadlines, streams: Streams) -> Supervisor:
        return Supervisor(
            self._pool,
            deadlines,
            limits=HealthLimits.of(self._settings, read_memory()),
            admission=self._admission,
            observers=[
                *self._telemetry.observers,
                self._turn_figures,
                self._provider_figures,
                self._archive.recorder,
                streams,
                self._key_usage,
                *([self.webhooks] if self.webhooks else ()),
                self._after_call,
            ],
            answer_memory=self._archive.memories.answer,
        )

    def _is_key_revoked(self, name: str) -> bool:
        # Rooms are made before the keys, whose archive holds a lock on its folder.
        return self._named_keys.is_revoked(name)

    def _create_after_call(self) -> AfterCall:
        analyst = Analyst(self._language_model_options)
        if self.webhooks is None:
            return AfterCall(self._archive, self._recordings, analyst)
        return AfterCall(
            self._archive,
            self._recordings,
            analyst,
            kinds=self.webhooks.kinds,
            send=self.webhooks.send,
        )

    def _language_model_options(self) -> SessionOptions:
        server = self.model.language_model if self.model is not None else None
        base_url = None if server is None else f"{server.uri}/v1"
        return self._settings.session_options(embedded_base_url=base_url)

    def _create_handlers(self, streams: Streams) -> Handlers:
        agents = AgentsApi(
            self.supervisor,
            self._configurator,
            self.readiness,
            self._settings.room_token_secret,
            self._archive,
            self._drain.begin,
            self._rooms.tokens,
            self._rooms.team_of,
            self._key_usage,
        )
        # The supervisor passes deletions on to its observers, such as event streams and webhooks.
        self._archive.share_deletions(
            [self.supervisor, agents, self._recordings],
            self.supervisor.forget_entries_before,
            lambda: self.supervisor.ended_calls,
        )
        return Handlers(
            agents=agents,
            definitions=DefinitionsApi(self._catalog),
            local_model=LocalModelApi(self._settings, self._model_state),
            live=LiveApi(self.supervisor),
            events=EventsApi(streams, self._api_keys),
            bridge=BridgeApi(
                self.supervisor,
                agents,
                BridgeAccess(self._api_keys, self._rooms.tokens),
                OriginCheck(self._settings.allowed_origins),
            ),
            calls=CallsApi(self._archive, self._recordings),
            memory=MemoryApi(self._archive.memories),
            status=StatusApi(self._status_sources()),
            options=OptionsApi(
                self._settings,
                lambda: self._configurator.local_model,
                lambda: self._catalog.definitions if self._catalog else (),
                self._configurator.skills,
            ),
            providers=ProvidersApi(
                self._settings,
                lambda: self._configurator.local_model,
                self._wait_for_model,
                self._probes,
            ),
            keys=KeysApi(self._named_keys, self._key_usage, self._audit),
            console=Console(),
            metrics=self._telemetry.page,
            openapi=document_handler(OPERATIONS),
        )

    async def start(self) -> None:
        """Serve; return when agents can be started. Starts that need the local model wait for it.

        Raises:
            AppFailedError: the owner's app cannot be loaded, and is not watched.
            ServerError: no agent process can be started.
        """
        _allow_descriptors(self._settings)
        if self.model is not None and self._settings.model_provider == "local":
            self.model.start()
        if self._watcher is not None:
            await self._watcher.start()
        try:
            await self._forkserver.start()
        except OSError as error:
            self._require_app_or_watch(error)
        self._orphans.start()
        self._pool.start()
        self._admission.start(self.supervisor.cpu_s)
        self._archive.start(self.supervisor.list)
        await self._named_keys.start()
        self._audit.start()
        self._tasks.start(self._key_usage.read(self._archive), name="use of keys")
        self._after_call.start()
        self._readiness_checks.start()
        if self.webhooks is not None:
            self.webhooks.start()
        await self._runner.setup()
        self._site = create_site(self._runner, self._listener, self._settings)
        await self._site.start()

    def _require_app_or_watch(self, error: OSError) -> None:
        problems = self._catalog.problems if self._catalog else ()
        if not problems:
            raise ServerError(str(error)) from error
        if self._watcher is None:
            raise AppFailedError("\n  ".join(map(str, problems))) from error

    async def _wait_for_model(self) -> None:
        if self.model is not None:
            await self.model.wait_ready(MODEL_DEADLINE_S)

    def _status_sources(self) -> StatusSources:
        settings, supervisor = self._settings, self.supervisor
        return StatusSources(
            readiness=self.readiness,
            agents=supervisor.list,
            turns=self._turn_figures.of,
            capacity=lambda: capacity_now(
                self._admission, agents=len(supervisor.list()), fresh=supervisor.fresh
            ),
            pool=lambda: pool_of(self._pool.statistics, settings.warm_processes),
            provider_health=self._provider_figures.of,
            provider_names=lambda: list(
                dict.fromkeys(
                    (
                        settings.model_provider,
                        *filter(None, (settings.fallback_provider,)),
                        *self._provider_figures.names,
                    )
                )
            ),
            store=lambda: StoreFigures(
                state=self._archive.state,
                waiting=self._archive.waiting,
                given_up=self._archive.given_up,
            ),
            webhooks=lambda: WebhookFigures(
                is_configured=self.webhooks is not None,
                waiting=0 if self.webhooks is None else self.webhooks.waiting,
                dropped=0 if self.webhooks is None else self.webhooks.dropped,
            ),
        )

    def _own_children(self) -> frozenset[int]:
        model = frozenset() if self.model is None else self.model.pids
        return watched_pids() | model | self._probes.pids

    def _readings(self) -> list[Reading]:
        return server_readings(
            forks=self._forkserver.statistics,
            is_model_ready=self.model is not None and self.model.state is ServerState.READY,
            archive=self._archive,
            usage=self._key_usage,
            audit=self._audit,
            webhooks_waiting=0 if self.webhooks is None else self.webhooks.waiting,
            webhooks_dropped=0 if self.webhooks is None else self.webhooks.dropped,
            after_call_waiting=self._after_call.waiting,
            site=self._site,
        )

    def _warnings(self) -> list[str]:
        lost = lost_lines()
        log = [f"log: {lost} lines were lost: the program that reads the log is too slow"]
        return [
            *self._archive.warnings(),
            *self._key_warnings(),
            *self._readiness_checks.warnings(),
            *filter(None, (self.model.warning if self.model else None,)),
            *(self._catalog.warnings if self._catalog else ()),
            *(log if lost else ()),
        ]

    def _key_warnings(self) -> list[str]:
        has_teams = any(one.team for one in self._named_keys.list())
        rooms = "keys: rooms need ROOM_TOKEN_SECRET to keep teams apart"
        lost = f"audit: {self._audit.lost} entries were lost while the store could not be written"
        return [
            *((rooms,) if has_teams and self._settings.room_token_secret is None else ()),
            *((lost,) if self._audit.lost else ()),
        ]

    def readiness(self) -> Readiness:
        """Return whether a start with the server's settings would be accepted now, and why not."""
        checks = (
            *(self._catalog.describe_problems() if self._catalog else ()),
            self._model_problem(),
            self._configurator.problem,
            self._missing_provider,
            self._forkserver_problem(),
            "draining: agents are no longer started" if self.supervisor.is_draining else None,
        )
        problems = [problem for problem in checks if problem is not None]
        return Readiness(
            status="not_ready" if problems else "ready",
            agents=len(self.supervisor.list()),
            is_draining=self.supervisor.is_draining,
            local_model=self._model_state(),
            local_model_uri=self._configurator.local_model.uri or None,
            language_model=self._language_model_state(),
            problems=problems,
            store=self._archive.state,
            warnings=self._warnings(),
        )

    def _model_state(self) -> str:
        return self.model.state if self.model else "external"

    def _model_problem(self) -> str | None:
        is_needed = self._settings.model_provider == "local"
        if self.model is None or not is_needed or self.model.state is ServerState.READY:
            return None
        return f"local model {self.model.state} {self.model.problem}".strip()

    def _language_model_state(self) -> str:
        if self.model is not None and self.model.language_model is not None:
            return self.model.language_model.state
        return "rules" if self._settings.llm_base_url is None else "external"

    def _forkserver_problem(self) -> str | None:
        state, problem = self._forkserver.state, self._forkserver.problem
        if state is ForkserverState.READY:
            # It runs, but its last fork may have failed.
            return f"forkserver: {problem}" if problem else None
        return f"forkserver {state} {problem}".strip()

    @property
    def is_loading(self) -> bool:
        """True while the server only waits for the local model to load."""
        is_coming = self.model is not None and self.model.state in (
            *(ServerState.STARTING, ServerState.BACKOFF),
        )
        return is_coming and self.readiness().problems == [self._model_problem()]

    async def stop(self, *, should_drain: bool) -> None:
        """Stop agents first, while their rooms still work; then rooms, HTTP and the model.

        should_drain: let calls go on until the drain deadline.
        """
        if should_drain:
            await self._drain.run()
        if self._watcher is not None:
            await self._watcher.close()
        await self.supervisor.drain()
        await self._drain.close()
        await self._admission.close()
        await self._rooms.close()
        await self._runner.cleanup()
        await self._readiness_checks.close()
        await self._after_call.close()
        await self._tasks.close()
        await self._named_keys.close()
        await self._audit.close()
        await self._archive.close()
        if self.model is not None:
            await self.model.stop()
        await self._pool.close()
        await self._forkserver.stop()
        await self._orphans.close()
        await self._telemetry.close()
        if self.webhooks is not None:
            await self.webhooks.close()


def create_site(
    runner: web.AppRunner, listener: socket.socket, settings: Settings
) -> ConnectionSite:
    """Return the site that accepts the server's connections."""
    limits = ConnectionLimits(
        total=settings.max_connections,
        per_address=settings.max_connections_per_address,
        head_timeout_s=settings.head_timeout_s,
    )
    return ConnectionSite(runner, listener, limits, Addresses(settings.trusted_proxies).peer)


def _allow_descriptors(settings: Settings) -> None:
    """Raise the descriptor limit to what the settings may need; log a warning if it stays lower."""
    agents = settings.max_agents
    if agents is None:
        agents = read_memory().total_bytes // AGENT_BYTES
    needed = _OWN_DESCRIPTORS + settings.max_connections + agents * AGENT_DESCRIPTORS
    if (allowed := raise_descriptor_limit(needed)) < needed:
        _log.warning(
            "the limit is %d descriptors, %d agents and %d connections may need %d: raise the hard"
            " limit (ulimit -Hn, LimitNOFILE=)",
            *(allowed, agents, settings.max_connections, needed),
        )


def _admission_limits(settings: Settings) -> AdmissionLimits:
    max_share = settings.max_cpu_percent / 100
    return AdmissionLimits(
        settings.max_agents,
        max_share if max_share < 1 else None,
        settings.min_free_memory_mib * MIB,
    )


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    name = _ANY_ADDRESS.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _create_rooms(settings: Settings, is_key_revoked: Callable[[str], bool]) -> RoomServer:
    # Without a configured secret users need no token. Agents still do: the server signs theirs with a
    # secret of this run, so that no client can join as an agent.
    room_secrets = settings.room_secrets
    options = RoomServerOptions(
        allowed_origins=frozenset(settings.allowed_origins),
        are_users_free=not room_secrets,
        is_key_revoked=is_key_revoked,
    )
    run_secrets = (secrets.token_hex(32),)
    return RoomServer(room_secrets or run_secrets, _create_ice_servers(settings), options)


def _create_ice_servers(settings: Settings) -> IceServers:
    secret = settings.turn_secret
    return IceServers(
        stun_urls=settings.stun_urls,
        turn_urls=settings.turn_urls,
        turn_secret=secret.get_secret_value() if secret else "",
        turn_ttl_s=settings.turn_credential_ttl_s,
        is_relay_only=settings.media_relay_only,
    )


def _create_webhooks(settings: Settings, room_tokens: RoomTokens) -> Webhooks | None:
    if settings.webhook_url is None:
        return None
    assert settings.webhook_secret is not None
    return Webhooks(
        settings.webhook_url,
        settings.webhook_secret,
        kinds=settings.webhook_events,
        room_tokens=room_tokens,
    )


def _create_local_model(settings: Settings) -> LocalModel | None:
    if settings.local_model_uri is not None:
        return None
    try:
        return LocalModel(
            settings,
            secret=SecretStr(secrets.token_urlsafe(32)),
            allowed_origins=settings.allowed_origins,
        )
    except OSError as error:
        port = settings.local_model_port
        raise ServerError(f"LOCAL_MODEL_PORT {port} cannot be used: {error.strerror}") from error
