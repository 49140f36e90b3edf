"""What the server lets others see of itself: figures always, spans where a collector is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from config import ConfigError, Settings
from control.metrics.calls import CallMetrics
from control.metrics.figures import Figures
from control.metrics.now import NowCollector, Reading
from control.metrics.page import MetricsPage
from control.observers import CallObserver
from control.placement import Placement
from control.processes.pool import PoolStatistics
from proxies import InvalidProxyError

if TYPE_CHECKING:
    from control.tracing.export import SpanExport


class Insight:
    """observers: of every call; page: `GET /metrics`."""

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            ConfigError: spans are wanted and their packages are not installed, or the proxy for them
                cannot be used.
        """
        figures = Figures()
        self.page = MetricsPage(figures)
        self.observers: list[CallObserver] = [CallMetrics(figures)]
        self._figures = figures
        self._export = _open_export(settings)
        if self._export is not None:
            from control.tracing.calls import CallTraces

            self.observers.append(CallTraces(self._export.tracer))

    def watch(
        self,
        placement: Placement,
        pool: Callable[[], PoolStatistics],
        is_ready: Callable[[], bool],
        readings: Callable[[], Iterable[Reading]],
    ) -> None:
        """Where the figures of the moment come from."""
        self._figures.registry.register(NowCollector(placement.list, pool, is_ready, readings))

    async def close(self) -> None:
        """Send what waits. Idempotent."""
        if self._export is not None:
            await self._export.close()


def _open_export(settings: Settings) -> SpanExport | None:
    if (endpoint := settings.otel_exporter_otlp_endpoint) is None:
        return None
    try:
        # Late: nobody else pays for these imports.
        from control.tracing.export import SpanExport
    except ImportError as error:
        text = "OTEL_EXPORTER_OTLP_ENDPOINT: first pip install -r requirements-otel.txt"
        raise ConfigError(text) from error
    try:
        return SpanExport(endpoint, settings.otel_headers, settings.otel_service_name)
    except InvalidProxyError as error:
        raise ConfigError(str(error)) from error
