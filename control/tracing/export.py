"""Exports spans to a collector over OTLP/HTTP, on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from proxies import outbound_proxy

MAX_WAITING: Final = 2048
"""Spans that wait for the collector; past it the newest are dropped."""

_INTERVAL_MS: Final = 2_000
_EXPORT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 3.0

_log = logging.getLogger("control.tracing")


class _StraightSession(requests.Session):
    """Follows no redirect: the headers, keys included, are for the collector only."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: redirects are never followed."""
        del resp
        return None


def _session_to(url: str) -> requests.Session:
    """Create a session with the configured proxy and certificates; nothing else of the environment (no netrc)."""
    session = _StraightSession()
    session.trust_env = False
    if (proxy := outbound_proxy(url)) is not None:
        session.proxies = {urlsplit(url).scheme: str(proxy)}
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := os.environ.get(name):
            session.verify = path
            break
    return session


class SpanExport:
    """Exports until `close`. An unreachable collector costs spans, never calls."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], service_name: str) -> None:
        """endpoint: URL of the collector; `/v1/traces` is added

        Raises:
            InvalidProxyError: the proxy configured for it is invalid.
        """
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(
            endpoint=url, headers=headers, timeout=_EXPORT_TIMEOUT_S, session=_session_to(url)
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
        """Tracer whose spans are exported."""
        return self._provider.get_tracer("parley")

    async def close(self) -> None:
        """Export waiting spans within a deadline. Idempotent."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.to_thread(self._provider.shutdown)
        except TimeoutError:
            _log.warning("the last spans did not reach the collector in time")
