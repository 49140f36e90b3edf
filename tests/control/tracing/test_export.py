"""How spans get to their collector: by the owner's proxy, and to nobody else."""

from __future__ import annotations

import pytest
from aiohttp import web

from control.tracing.export import SpanExport, _session_to
from proxies import VARIABLES, InvalidProxyError
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
