from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from aiohttp import ClientResponse

from control.api.openapi import openapi_document
from control.api.operation import Guard
from control.api.operations import OPERATIONS
from tests.control.served_api import Api, serve_api
from version import VERSION

DOCUMENT = openapi_document(OPERATIONS)


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"components": DOCUMENT["components"]}


async def check_answer(response: ClientResponse, path: str) -> None:
    """The answer is one that the document promises for this path."""
    operation = DOCUMENT["paths"][path][response.method.lower()]
    promised = operation["responses"][str(response.status)]
    schema = promised["content"]["application/json"]["schema"]
    jsonschema.validate(await response.json(), resolve(schema))


@pytest.mark.asyncio
async def test_routes_and_document_agree() -> None:
    async with serve_api() as api:
        assert api.app is not None
        served = {
            (route.method, route.resource.canonical.replace("{path:.+}", "{path}"))
            for route in api.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
    documented = {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert served == documented


def test_the_document_is_whole() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["version"] == VERSION
    names = set()
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            names.add(operation["operationId"])
            assert operation["summary"]
            assert "500" in operation["responses"], path
            for one in operation.get("parameters", ()):
                assert (f"{{{one['name']}}}" in path) == (one["in"] == "path")
    assert len(names) == len(OPERATIONS)
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    def walk(node: object) -> None:
        match node:
            case {"$ref": str(reference)}:
                assert reference.removeprefix("#/components/schemas/") in schemas
            case dict():
                for value in node.values():
                    walk(value)
            case list():
                for value in node:
                    walk(value)

    walk(DOCUMENT)


def test_guarded_operations_say_so() -> None:
    for one in OPERATIONS:
        described = DOCUMENT["paths"][one.path][one.method.lower()]
        assert (described["security"] == []) == (one.guard is Guard.OPEN)
        assert ("401" in described["responses"]) == (one.guard is not Guard.OPEN)


def test_what_needs_a_key_names_its_scope() -> None:
    for one in OPERATIONS:
        is_of_keys = one.guard in (Guard.KEY, Guard.METRICS, Guard.BRIDGE)
        assert bool(one.scopes) == is_of_keys, f"{one.name}: set `scope` (docs/keys.md)"


@pytest.mark.asyncio
async def test_real_answers_are_as_documented() -> None:
    start = {"channel_name": "demo", "uid": 1000}
    name = {"channel_name": "demo"}
    async with serve_api() as api:
        assert await (await api.get("/openapi.json")).json() == DOCUMENT
        request_schema = DOCUMENT["paths"]["/start_agent"]["post"]["requestBody"]["content"][
            "application/json"
        ]["schema"]
        jsonschema.validate(start, resolve(request_schema))
        for path, body in [
            ("/start_agent", start),
            ("/start_agent", start),
            ("/start_agent", {}),
            ("/token", name),
        ]:
            await check_answer(await api.post(path, json=body), path)
        await _check_reading(api)
        for _ in range(2):
            await check_answer(await api.post("/stop_agent", json=name), "/stop_agent")
        await check_answer(
            await api.post("/start_agent", data=b"x" * 300_000, headers=JSON), "/start_agent"
        )
        await check_answer(await api.post("/start_agent", data=b"{}"), "/start_agent")


JSON = {"Content-Type": "application/json"}


async def _check_reading(api: Api) -> None:
    await check_answer(await api.get("/agents"), "/agents")
    await check_answer(await api.get("/agents/demo"), "/agents/{channel}")
    await check_answer(await api.get("/agents/other"), "/agents/{channel}")
    await check_answer(await api.get("/agents", headers={"Host": "evil"}), "/agents")
    await check_answer(await api.get("/healthz"), "/healthz")
    await check_answer(await api.get("/readyz"), "/readyz")
