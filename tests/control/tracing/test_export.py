"""Export of spans: through the configured proxy, and only to the collector."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from control.tracing.calls import CallTraces
from control.tracing.export import SpanExport, _session_to
from conversation.lifecycle import ExitReason
from proxies import VARIABLES, InvalidProxyError
from tests.control.tracing.test_calls import Traced, talk
from tests.fakes.http_server import serving
from tests.fakes.otlp_collector import OtlpCollector

KEY = {"api-key": "very-secret"}
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *BUNDLES):
        monkeypatch.delenv(name, raising=False)


async def export_one(endpoint: str) -> None:
    export = SpanExport(endpoint, KEY, "parley")
    export.tracer.start_span("one").end()
    await export.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_collector_elsewhere_is_reached_by_the_proxy(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def forward(request: web.Request) -> web.Response:
        asked.append((request.raw_path, request.headers.get("Proxy-Authorization")))
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    async with serving(app) as port:
        monkeypatch.setenv(variable, f"http://me:word@127.0.0.1:{port}")
        await export_one("http://collector.example:4318")
    ((path, authorization),) = asked
    assert path == "http://collector.example:4318/v1/traces"
    assert authorization == "Basic bWU6d29yZA=="


@pytest.mark.asyncio
async def test_a_collector_of_this_machine_is_reached_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with OtlpCollector() as collector:
        await export_one(collector.uri)
        assert (await collector.wait_for("one")).name == "one"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_gets_neither_spans_nor_keys(status: int) -> None:
    async with OtlpCollector() as elsewhere:
        target = f"{elsewhere.uri}/v1/traces"

        async def redirect(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": target})

        app = web.Application()
        app.router.add_post("/v1/traces", redirect)
        async with serving(app) as port:
            await export_one(f"http://127.0.0.1:{port}")
        assert elsewhere.headers == []


@pytest.mark.parametrize("name", BUNDLES)
def test_the_owners_certificates_are_believed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _session_to("https://collector.example").verify is True
    monkeypatch.setenv(name, "/etc/own.pem")
    assert _session_to("https://collector.example").verify == "/etc/own.pem"


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:word@proxy.example")
    with pytest.raises(InvalidProxyError, match="HTTPS_PROXY") as caught:
        SpanExport("https://collector.example", {}, "parley")
    assert "word" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("has_content", [False, True])
async def test_a_collector_gets_a_call_as_tools_for_language_models_read_it(
    *, has_content: bool
) -> None:
    async with OtlpCollector() as collector:
        export = SpanExport(collector.uri, KEY, "parley")
        traced = Traced(has_content=has_content)
        traced.calls = CallTraces(export.tracer, has_content=has_content)
        traced.calls.handle_start(traced.config, restarts=0)
        talk(traced)
        traced.end(ExitReason.STOPPED)
        await export.close()
        assert ("where is it" in str(collector.spans)) is has_content
        found = {span.name: attributes_of(span) for span in collector.spans}
        assert {name: found[name]["gen_ai.operation.name"] for name in OPERATIONS} == OPERATIONS
        assert {found[name]["gen_ai.conversation.id"] for name in OPERATIONS} == {"a1"}
        assert found["response"]["gen_ai.usage.input_tokens"] == 9
        assert found["response"]["gen_ai.response.finish_reasons"] == ["stop"]
        assert found["call"]["gen_ai.provider.name"] == "openai"
        assert found["tool"]["gen_ai.tool.name"] == "look_up"
        assert ("gen_ai.output.messages" in found["response"]) is has_content


OPERATIONS = {"call": "invoke_agent", "response": "chat", "tool": "execute_tool"}


def attributes_of(span: Span) -> dict[str, Any]:
    """As a backend reads them: the last span of a name counts."""
    return {one.key: value_of(one.value) for one in span.attributes}


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(one) for one in value.array_value.values]
    return getattr(value, str(kind))
