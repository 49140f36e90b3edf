"""Sends spans to a collector over OTLP/HTTP, from a thread of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

MAX_WAITING: Final = 2048
"""Spans that wait for the collector; of more, the newest are dropped."""

_INTERVAL_MS: Final = 2_000
_EXPORT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 3.0

_log = logging.getLogger("control.tracing")


class SpanExport:
    """Open from construction to `close`. A collector that is away costs spans, never calls."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], service_name: str) -> None:
        """endpoint: URL of the collector; `/v1/traces` is added"""
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            headers=headers,
            timeout=_EXPORT_TIMEOUT_S,
        )
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service_name}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter, max_queue_size=MAX_WAITING, schedule_delay_millis=_INTERVAL_MS
            )
        )

    @property
    def tracer(self) -> Tracer:
        """Whose spans are sent."""
        return self._provider.get_tracer("parley")

    async def close(self) -> None:
        """Send what waits, for a moment. Idempotent."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.to_thread(self._provider.shutdown)
        except TimeoutError:
            _log.warning("the last spans did not reach the collector in time")
