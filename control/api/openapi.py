"""The OpenAPI 3.1 document, generated from `operations.OPERATIONS` and the pydantic models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, Literal, cast

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from control.api.operation import Guard, Operation
from control.http.errors import ErrorBody
from version import VERSION

_REFS: Final = "#/components/schemas/{model}"
_KEY_SCHEME: Final = "api_key"
_ROOM_SCHEME: Final = "room_token"
_GUARD_ERRORS: Final = {
    401: "unauthorized: the credential is missing or invalid",
    403: "missing_scope: the key may not; foreign_host, foreign_origin: a server without credentials serves "
    "only this machine",
    429: "too_many_requests, too_many_open: see Retry-After",
    503: "overloaded: see Retry-After",
}


def openapi_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of these operations."""
    operations = tuple(operations)
    names, schemas = _schemas(operations)
    paths: dict[str, Any] = {}
    for operation in operations:
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = _describe(operation, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley",
            "version": VERSION,
            "description": "Realtime voice agents: one supervised process per channel.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                _KEY_SCHEME: {"type": "http", "scheme": "bearer"},
                _ROOM_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def document_handler(operations: Iterable[Operation]) -> Handler:
    """A handler that answers with the document of these operations, generated once."""
    text = json.dumps(openapi_document(operations), indent=1)

    async def handle(_request: web.Request) -> web.Response:
        """GET /openapi.json"""
        return web.Response(text=text, content_type="application/json")

    return handle


def _schemas(
    operations: tuple[Operation, ...],
) -> tuple[dict[type[BaseModel], dict[str, Any]], dict[str, Any]]:
    """Model -> reference to its schema, and all schemas by name."""
    requests = {one.request for one in operations if one.request}
    answers = {model for one in operations for model in one.answers.values() if model}
    wanted: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        *((model, "validation") for model in requests),
        *((model, "serialization") for model in answers | {ErrorBody}),
    ]
    references, definitions = models_json_schema(wanted, ref_template=_REFS)
    names = {cast("type[BaseModel]", model): ref for (model, _), ref in references.items()}
    return names, dict(sorted(definitions["$defs"].items()))


def _describe(operation: Operation, names: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": _security(operation),
        "responses": {
            **{
                str(status): _success(status, names[model] if model else None, operation)
                for status, model in operation.answers.items()
            },
            **{
                str(status): _answer(text, names[ErrorBody])
                for status, text in sorted(_errors(operation).items())
            },
        },
    }
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.request is not None:
        content = {"application/json": {"schema": names[operation.request]}}
        raw = {"schema": {"type": "string", "format": "binary"}}
        content |= dict.fromkeys(operation.raw_types, raw)
        is_required = not operation.is_body_optional
        described["requestBody"] = {"required": is_required, "content": content}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    in_path: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    others = [
        {
            "name": one.name,
            "in": one.where,
            "description": one.description,
            "schema": {"type": "string"} | ({"pattern": one.pattern} if one.pattern else {}),
        }
        for one in operation.parameters
    ]
    return in_path + _in_query(operation) + others


def _success(status: int, schema: dict[str, Any] | None, operation: Operation) -> dict[str, Any]:
    if schema is None and operation.media_type is not None and status == 200:
        content = {operation.media_type: {"schema": {"type": "string"}}}
        return {"description": "success", "content": content}
    return _answer("success", schema)


def _in_query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=_REFS)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": described}
        for name, described in schema["properties"].items()
    ]


def _errors(operation: Operation) -> dict[int, str]:
    guarded = {} if operation.guard is Guard.OPEN else _GUARD_ERRORS
    return {**guarded, **operation.errors, 500: "internal_error"}


def _answer(description: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {"description": description}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    # Of several scopes one is enough: each is an alternative.
    keys = [{_KEY_SCHEME: [scope.value]} for scope in sorted(operation.scopes)]
    match operation.guard:
        case Guard.OPEN:
            return []
        case Guard.KEY | Guard.METRICS:
            return keys
        case Guard.BRIDGE:
            return [*keys, {_ROOM_SCHEME: []}, {}]
        case Guard.ROOM:
            # The empty object: no credential, if the room or the page requires none.
            return [{_ROOM_SCHEME: []}, {}]
