"""HTTP tools against a real server on loopback."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from parley import Agent, HttpTool, secret
from parley.tool_definition import ToolDefinitionError
from session.owner_tools import register_tools
from tests.fakes.http_server import serving
from tools import ToolContext, ToolOutcome
from toolsets.http_calls import HttpCalls
from toolsets.http_hosts import HttpHosts

TOKEN = "t0ken-of-the-orders"


class Shop:
    """Records requests and answers them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[dict[str, Any]] = []


async def _echo(request: web.Request) -> web.Response:
    seen = {
        "method": request.method,
        "path": request.rel_url.raw_path,
        "query": [list(pair) for pair in request.query.items()],
        "token": request.headers.get("Authorization"),
        "body": await request.json() if request.can_read_body else None,
    }
    request.app[SEEN].append(seen)
    return web.json_response(seen)


async def _answer(request: web.Request) -> web.StreamResponse:
    match request.match_info["kind"]:
        case "moved":
            raise web.HTTPFound("/echo")
        case "wrong":
            raise web.HTTPNotFound(text="there is no such order")
        case "long":
            return web.Response(text="x" * 100_000)
        case "empty":
            return web.Response(status=204)
        case "broken":
            return web.Response(text="{", content_type="application/json")
        case "picture":
            return web.Response(body=b"\x89PNG", content_type="image/png")
        case "drop":
            assert request.transport is not None
            request.transport.abort()
    return web.Response(text="plain")


SEEN = web.AppKey("seen", list[dict[str, Any]])


@pytest_asyncio.fixture
async def shop() -> AsyncIterator[Shop]:
    app = web.Application()
    app[SEEN] = []
    app.router.add_get("/answer/{kind}", _answer)
    app.router.add_route("*", "/{rest:.*}", _echo)
    async with serving(app) as port:
        made = Shop(port)
        made.requests = app[SEEN]
        yield made


async def call(
    tool: HttpTool, arguments: Mapping[str, Any], hosts: Sequence[str] | None = None
) -> ToolOutcome:
    """Call the tool in a conversation; hosts: None for that of the tool alone."""
    http = HttpCalls(HttpHosts([tool.host] if hosts is None else hosts))
    tools = ToolContext()
    try:
        register_tools(Agent("orders", tools=[tool]), tools, http=http)
        return await tools.execute_tool("c1", tool.name, json.dumps(arguments))
    finally:
        await tools.close()
        await http.close()


def declared(port: int, path: str, **options: Any) -> HttpTool:
    url = f"http://127.0.0.1:{port}{path}"
    return HttpTool(**{"name": "orders", "description": "Orders.", "url": url} | options)


@pytest.mark.asyncio
async def test_arguments_go_where_they_are_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", TOKEN)
    tool = declared(
        shop.port,
        "/shops/{shop}/orders?lang={lang}&v=2",
        method="POST",
        headers={"Authorization": secret("ORDERS_TOKEN", "Bearer {}")},
        query=["tags", "urgent"],
        parameters={
            "type": "object",
            "properties": {name: {} for name in ("shop", "lang", "tags", "urgent", "items")},
            "required": ["shop", "lang"],
        },
    )
    outcome = await call(
        tool,
        {
            "shop": "a/../b?x=1#y é",
            "lang": "de&v=3",
            "tags": ["new", "old"],
            "urgent": True,
            "items": [{"id": 1}],
        },
    )
    (seen,) = shop.requests
    assert seen == {
        "method": "POST",
        "path": "/shops/a%2F..%2Fb%3Fx%3D1%23y%20%C3%A9/orders",
        "query": [
            ["lang", "de&v=3"],
            ["v", "2"],
            ["tags", "new"],
            ["tags", "old"],
            ["urgent", "true"],
        ],
        "token": f"Bearer {TOKEN}",
        "body": {"items": [{"id": 1}]},
    }
    # The service echoed the token: the model does not get it.
    assert TOKEN not in outcome.output
    assert json.loads(outcome.output)["token"] == "Bearer [secret]"
    assert TOKEN not in repr(tool)


@pytest.mark.asyncio
async def test_without_a_body_arguments_go_into_the_query(shop: Shop) -> None:
    tool = declared(
        shop.port,
        "/orders/{id}",
        parameters={"properties": {"id": {}, "deep": {}}, "required": ["id"]},
    )
    assert not (await call(tool, {"id": 7, "deep": {"a": 1}})).is_error
    assert shop.requests[0]["path"] == "/orders/7"
    assert shop.requests[0]["query"] == [["deep", '{"a": 1}']]


class Order(BaseModel):
    item: str
    count: int = 1


@pytest.mark.asyncio
async def test_a_model_is_a_schema(shop: Shop) -> None:
    tool = declared(shop.port, "/orders", method="POST", parameters=Order)
    assert tool.schema.parameters["required"] == ["item"]
    assert (await call(tool, {"count": 2})).output == '{"error": "argument item: Field required"}'
    assert not (await call(tool, {"item": "tea"})).is_error
    assert [seen["body"] for seen in shop.requests] == [{"item": "tea"}]


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_path_cannot_be_left(shop: Shop, value: str) -> None:
    outcome = await call(declared(shop.port, "/orders/{id}/items"), {"id": value})
    assert outcome.is_error
    assert shop.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("moved", "answered 302; redirects are not followed"),
        ("wrong", "answered 404: there is no such order"),
        ("long", "longer than 32000 bytes"),
        ("broken", "not valid JSON"),
        ("drop", "cannot be reached"),
    ],
)
async def test_a_bad_answer_is_told_to_the_model(shop: Shop, kind: str, words: str) -> None:
    outcome = await call(declared(shop.port, f"/answer/{kind}"), {})
    assert (outcome.is_error, words in outcome.output) == (True, True), outcome.output
    assert not outcome.is_unexpected
    assert shop.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "output"),
    [("empty", '{"status": 204}'), ("picture", "[image/png, 4 bytes]"), ("text", "plain")],
)
async def test_other_answers_are_passed_on(shop: Shop, kind: str, output: str) -> None:
    assert (await call(declared(shop.port, f"/answer/{kind}"), {})).output == output


class _Rebound(aiohttp.ThreadedResolver):
    """Resolves every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await super().resolve("127.0.0.1", port, family)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("also", "is_reached"), [((), False), (("127.0.0.0/8",), True), (("10.0.0.0/8",), False)]
)
async def test_a_name_that_leads_into_a_private_network_is_refused(
    shop: Shop, also: tuple[str, ...], is_reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp, "ThreadedResolver", _Rebound)
    tool = declared(shop.port, "/x", url=f"http://api.example.com:{shop.port}/x")
    outcome = await call(tool, {}, (tool.host, *also))
    assert outcome.is_error is not is_reached
    assert len(shop.requests) == is_reached
    if not is_reached:
        assert "its address is not in HTTP_TOOL_HOSTS" in outcome.output


def test_a_host_that_is_not_listed_is_refused_at_the_start() -> None:
    tool = HttpTool(name="orders", description="Orders.", url="https://api.example.com/x")
    line = test_a_host_that_is_not_listed_is_refused_at_the_start.__code__.co_firstlineno + 1
    with pytest.raises(ToolDefinitionError, match=r"api.example.com:443 is not in") as failure:
        register_tools(Agent("a", tools=[tool]), ToolContext(), http=HttpCalls(HttpHosts()))
    assert (failure.value.file, failure.value.line) == (__file__, line)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a b"}, "names are"),
        ({"url": "ftp://x.example/"}, "need http"),
        ({"url": "https:///x"}, "need http"),
        ({"url": "https://{host}/x"}, "its host is fixed"),
        ({"url": "https://me:pass@x.example/"}, "belong into headers"),
        ({"url": "https://x.example/#{a}"}, "never sent"),
        ({"url": "https://x.example/{a b}"}, "placeholders are"),
        ({"url": "https://x.example:99999/"}, "url: "),
        ({"url": "https://x.example/{a}", "parameters": {"properties": {"a": {}}}}, "required"),
        ({"query": ["a"], "parameters": {"properties": {}}}, "no parameter a"),
        ({"query": "a"}, "list of names"),
        ({"method": "HEAD"}, "method: one of"),
        ({"parameters": {"type": "string"}}, "'object'"),
        ({"parameters": int}, "no pydantic model"),
        ({"headers": {"a b": "c"}}, "no such header"),
        ({"headers": {"Host": "c"}}, "no such header"),
        ({"headers": {"a": 1}}, "give a text or a secret"),
        ({"headers": {"a": "x\r\ny: z"}}, "no header takes"),
        ({"headers": {"a": secret("NO SUCH")}}, "write secret"),
        ({"headers": {"a": secret("NOT_SET_HERE")}}, "no variable NOT_SET_HERE: set it"),
        ({"timeout_s": 0}, "above 0"),
    ],
)
def test_a_wrong_declaration_is_named(options: dict[str, Any], words: str) -> None:
    fields = {"name": "orders", "description": "Orders.", "url": "https://x.example/"} | options
    with pytest.raises(ToolDefinitionError, match=words):
        register_tools(Agent("a", tools=[HttpTool(**fields)]), ToolContext())


@given(value=st.text(max_size=40))
def test_no_value_leaves_its_place_in_the_url(value: str) -> None:
    tool = HttpTool(name="o", description="O.", url="https://x.example/a/{b}/c?d={e}")
    try:
        url, _ = tool.request({"b": value, "e": value})
    except (ValueError, UnicodeEncodeError):
        return
    assert (url.host, url.port, url.fragment) == ("x.example", 443, "")
    assert url.raw_parts[:2] == ("/", "a")
    assert url.raw_parts[3:] == ("c",)
    assert list(url.query) == ["d"]
