"""Description of an app as JSON, for processes that never run owners' code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from parley.agent import Agent
from parley.app import App
from parley.chat_room import ChatRoom
from parley.http_tool import HttpTool
from parley.load_problem import AppError, Problem
from parley.mcp_server import McpServer

MAX_DESCRIPTION_BYTES: Final = 4 * 1024 * 1024
MAX_ITEMS: Final = 200
"""Entries of one list or mapping of an agent."""

_VALUES: Final = (
    *("display_name", "description", "provider", "model", "voice", "language"),
    *("greeting", "goodbye", "model_settings", "turn_detection", "interrupt", "sounds"),
    *("max_duration_s", "idle_timeout_s", "max_tokens", "max_cost", "summarise"),
    *("skills", "loadable_skills", "toolsets"),
)
"""Fields that are described by their values."""

_LISTS: Final = (
    *("skills", "loadable_skills", "tools", "toolsets", "mcp_servers", "guardrails", "handoffs"),
)


def describe(app: App) -> list[dict[str, Any]]:
    """Return a JSON object for each agent and chat room: `config.definition.Definition`.

    Raises:
        AppError: Values have no JSON form, or too many are declared.
    """
    problems = [each for agent in app.agents.values() for each in _problems_of(agent)]
    if problems:
        raise AppError(problems)
    described = [_describe(agent) for agent in app.agents.values()]
    described += [_describe_room(room) for room in app.rooms.values()]
    if len(json.dumps(described)) > MAX_DESCRIPTION_BYTES:
        text = f"the definitions are larger than {MAX_DESCRIPTION_BYTES} bytes together"
        raise AppError([Problem(f"{app.name}: {text}")])
    return described


def _describe(agent: Agent) -> dict[str, Any]:
    values = {name: getattr(agent, name) for name in _VALUES}
    static = agent.instructions if isinstance(agent.instructions, str) else None
    return values | {
        "cascade": None if agent.cascade is None else _json_of(agent.cascade),
        "extract": _schema_of(agent.extract),
        "name": agent.name,
        "file": agent.file,
        "line": agent.line,
        "instructions": static,
        "has_dynamic_instructions": callable(agent.instructions),
        "has_api_key": agent.api_key is not None,
        "tools": [each.name for each in agent.tools],
        "mcp_servers": [_server_name(each) for each in agent.mcp_servers],
        "http_hosts": sorted({each.host for each in agent.tools if isinstance(each, HttpTool)}),
        "guardrails": [each.name for each in agent.guardrails],
        "handoffs": [each if isinstance(each, str) else each.name for each in agent.handoffs],
        "hooks": [*agent.hooks],
    }


def _schema_of(wanted: type[BaseModel] | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the JSON schema of what is extracted.

    Raises:
        PydanticUserError: a field of the model has none.
    """
    return wanted.model_json_schema() if isinstance(wanted, type) else wanted


def _extraction_fault(wanted: object) -> str | None:
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        try:
            _schema_of(wanted)
        except PydanticUserError as error:
            return f"extract: {wanted.__name__} has no JSON schema ({error.code})"
        return None
    if wanted is None or _is_json_object(wanted):
        return None
    return "extract: give a pydantic model, or a JSON schema"


def _json_of(cascade: Mapping[str, Any]) -> Any:
    """Return the cascade with paths as text."""
    return json.loads(json.dumps(cascade, default=os.fspath))


def _server_name(declared: str | McpServer) -> str:
    return declared if isinstance(declared, str) else declared.name


def _describe_room(room: ChatRoom) -> dict[str, Any]:
    return {
        "name": room.name,
        "file": room.file,
        "line": room.line,
        "display_name": room.display_name,
        "description": room.description,
        "members": room.member_names,
        "moderator": room.moderator_name,
        "max_agent_turns": room.max_agent_turns,
    }


def _problems_of(agent: Agent) -> Iterator[Problem]:
    for text in _faults_of(agent):
        yield Problem(f"agent {agent.name}: {text}", agent.file, agent.line)


def _faults_of(agent: Agent) -> Iterator[str]:
    instructions = agent.instructions
    if not (instructions is None or isinstance(instructions, str) or callable(instructions)):
        yield "instructions: give a text, or a function of the call that returns one"
    for name in _LISTS:
        given = getattr(agent, name)
        if isinstance(given, str) or not isinstance(given, Sequence):
            yield f"{name}: give a list"
        elif len(given) > MAX_ITEMS:
            yield f"{name}: at most {MAX_ITEMS}"
    for name, hook in agent.hooks.items():
        if not callable(hook):
            yield f"hooks: {name} is no function"
    if (fault := _extraction_fault(agent.extract)) is not None:
        yield fault
    for name in ("model_settings", "turn_detection", "interrupt", "sounds", "cascade"):
        given = getattr(agent, name)
        if given is not None and not _is_json_object(given):
            yield f"{name}: give a dict of JSON values, as in POST /start_agent"


def _is_json_object(given: object) -> bool:
    if not isinstance(given, Mapping):
        return False
    try:
        return len(json.dumps(given, allow_nan=False, default=os.fspath)) <= MAX_DESCRIPTION_BYTES
    except (TypeError, ValueError, RecursionError):
        return False
