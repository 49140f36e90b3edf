"""A collector of spans: OTLP over HTTP, as its protocol's own messages say."""

from __future__ import annotations

import asyncio

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import HttpServer


class OtlpCollector:
    """Remembers every span that it is sent, and how it was sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.services: set[str] = set()
        self.uri = ""
        self._news = asyncio.Condition()
        self._server = HttpServer()

    async def __aenter__(self) -> OtlpCollector:
        app = web.Application()
        app.router.add_post("/v1/traces", self._handle)
        await self._server.start(app)
        self.uri = f"http://127.0.0.1:{self._server.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        batch = ExportTraceServiceRequest.FromString(body)
        async with self._news:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
            for resource in batch.resource_spans:
                names = [a.value.string_value for a in resource.resource.attributes]
                self.services.update(names)
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
            self._news.notify_all()
        return web.Response(content_type="application/x-protobuf")

    async def wait_for(self, name: str) -> Span:
        """The first span of this name, waiting until it came."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.name == name]

        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(found)
        return found()[0]
