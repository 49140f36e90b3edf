"""`Telemetry`: metrics always, traces if a collector is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from config.settings import ConfigError, Settings
from control.forkserver.forkserver import ForkserverStatistics
from control.keys.audit_log import AuditLog
from control.keys.usage import KeyUsage
from control.metrics.calls import CallMetrics
from control.metrics.current import CurrentCollector, Reading
from control.metrics.figures import Figures
from control.metrics.page import MetricsPage
from control.observers import CallObserver
from control.placement import Placement
from control.store.archive import Archive
from control.supervisor.pool import PoolStatistics
from http_server.site import ConnectionSite
from logs import lost_lines
from proxies import InvalidProxyError

if TYPE_CHECKING:
    from control.tracing.export import SpanExport


class Telemetry:
    """Metrics and traces of a server. observers: to be called for every call; page: `GET /metrics`."""

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            ConfigError: a collector is configured and the packages for it are not installed, or its
                proxy cannot be used.
        """
        figures = Figures()
        self.page = MetricsPage(figures)
        self.observers: list[CallObserver] = [CallMetrics(figures)]
        self._figures = figures
        self._export = _open_export(settings)
        if self._export is not None:
            from control.tracing.calls import CallTraces

            has_content = settings.otel_instrumentation_genai_capture_message_content
            self.observers.append(CallTraces(self._export.tracer, has_content=has_content))

    def register_sources(
        self,
        placement: Placement,
        pool: Callable[[], PoolStatistics],
        is_ready: Callable[[], bool],
        readings: Callable[[], Iterable[Reading]],
    ) -> None:
        """Register the sources of the metrics that are read at each scrape."""
        self._figures.registry.register(CurrentCollector(placement.list, pool, is_ready, readings))

    async def close(self) -> None:
        """Flush the spans. Idempotent."""
        if self._export is not None:
            await self._export.close()


def _open_export(settings: Settings) -> SpanExport | None:
    if (endpoint := settings.otel_exporter_otlp_endpoint) is None:
        return None
    try:
        # Imported late: expensive, and needed only here.
        from control.tracing.export import SpanExport
    except ImportError as error:
        text = "OTEL_EXPORTER_OTLP_ENDPOINT: first pip install -r requirements-otel.txt"
        raise ConfigError(text) from error
    try:
        return SpanExport(endpoint, settings.otel_headers, settings.otel_service_name)
    except InvalidProxyError as error:
        raise ConfigError(str(error)) from error


def server_readings(
    *,
    forks: ForkserverStatistics,
    is_model_ready: bool,
    archive: Archive,
    webhooks_waiting: int,
    webhooks_dropped: int,
    after_call_waiting: int,
    usage: KeyUsage,
    audit: AuditLog,
    site: ConnectionSite | None,
) -> list[Reading]:
    """Return the present readings of a server's parts. site: None before it accepts connections."""
    return [
        Reading("forkserver_restarts", "Restarts of the forkserver", forks.restarts, is_count=True),
        Reading(
            "forks_refused",
            "Agent processes that could not be forked",
            forks.refusals,
            is_count=True,
            label="errno",
        ),
        Reading("local_model_ready", "1 if the local model is ready", float(is_model_ready)),
        Reading("store_waiting", "Changes not written yet", archive.waiting),
        Reading("store_given_up", "Changes never written", archive.given_up, is_count=True),
        Reading("webhooks_waiting", "Deliveries not sent yet", webhooks_waiting),
        Reading("webhooks_dropped", "Deliveries given up unsent", webhooks_dropped, is_count=True),
        Reading("after_call_waiting", "Ended calls of which something is made", after_call_waiting),
        Reading(
            "log_lines_lost",
            "Log lines dropped because the log was not read",
            lost_lines(),
            is_count=True,
        ),
        Reading("audit_waiting", "Entries of the audit log not written yet", audit.waiting),
        Reading("audit_lost", "Entries never written", audit.lost, is_count=True),
        *_key_readings(usage),
        *(() if site is None else _connection_readings(site)),
    ]


def _key_readings(usage: KeyUsage) -> list[Reading]:
    now_ms = usage.now_ms
    return [
        Reading(
            "key_requests",
            "Requests, by the name of their API key",
            dict(usage.requests),
            is_count=True,
            label="key",
        ),
        Reading(
            "key_starts",
            "Starts, by the name of their API key",
            usage.by_key(lambda use: use.started),
            is_count=True,
            label="key",
        ),
        Reading(
            "key_refusals",
            "Starts refused by a limit of their API key",
            usage.by_key(lambda use: use.refused),
            is_count=True,
            label="key",
        ),
        Reading(
            "key_agents",
            "Live agents, by the API key that started them",
            usage.by_key(lambda use: len(use.live)),
            label="key",
        ),
        Reading(
            "key_minutes_today",
            "Minutes of calls since midnight UTC, by API key",
            usage.by_key(lambda use: use.minutes(now_ms)),
            label="key",
        ),
        Reading(
            "key_cost_today",
            "Cost of calls since midnight UTC, by API key",
            usage.by_key(lambda use: use.cost(now_ms)),
            label="key",
        ),
    ]


def _connection_readings(site: ConnectionSite) -> list[Reading]:
    return [
        Reading("connections", "Open connections, with or without a request", site.open),
        Reading(
            "connections_ended",
            "Idle connections closed in favour of a new one",
            site.evicted,
            is_count=True,
        ),
        Reading(
            "connections_refused",
            "Connections refused because of a limit",
            site.refused,
            is_count=True,
        ),
        Reading(
            "connections_malformed",
            "Connections closed because of malformed HTTP",
            site.malformed,
            is_count=True,
        ),
    ]
