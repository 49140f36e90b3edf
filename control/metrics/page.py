"""`GET /metrics`."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from control.metrics.figures import Figures


class MetricsPage:
    """Serves all metrics, in the format that the client prefers."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    async def handle(self, request: web.Request) -> web.Response:
        """GET /metrics: Prometheus text, or OpenMetrics if `Accept` asks for it."""
        encode, content_type = _choose(request.headers.get("Accept", ""))
        body = encode(self.figures.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _choose(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    try:
        if accept.isascii():
            return choose_encoder(accept)
    except (TypeError, ValueError):  # a malformed version, for example
        pass
    return choose_encoder("")
