"""Configuration of a call that runs in-process, from its definition, its options and the settings."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from config.agent import AgentConfig, agent_config, prepare_recordings
from config.definition import Definition
from config.local_model import LocalModelAddress
from config.settings import AgentConfigError, Settings
from config.skills import load_skills
from control.api.schemas import StartAgentRequest
from conversation.snapshot import MAX_STATE_CHARACTERS, ResumeState, read_state
from parley.agent import Agent, InvalidDefinitionError
from parley.app import App
from parley.chat_room import ChatRoom
from parley.chat_room_check import problems_of_rooms
from parley.description import describe
from parley.handoffs import handoff_targets
from parley.live_options import LiveOptions
from parley.load_problem import AppError
from session.definition import find_in_app
from untrusted.validation import first_validation_error

AGENT_UID: Final = 1000
SCRIPTED_URI: Final = "ws://127.0.0.1"
"""Stands for the address of a model that the application brings."""


def live_config(
    settings: Settings,
    definition: Agent | ChatRoom,
    options: LiveOptions,
    *,
    local_model: LocalModelAddress,
    brings_model: bool,
) -> AgentConfig:
    """Return the configuration of the call.

    local_model: without an address if the call does not need it
    brings_model: the application makes the model's sessions, so that no provider is configured

    Raises:
        ConfigError: the settings do not allow what definition and options ask for.
    """
    definitions = _described(definition)
    start = dict(options.get("start", {}))
    if brings_model:
        # Their voices stay: what the application brings stands for the definitions' providers.
        start |= {"provider": None, "model": None}
        scripted = {"provider": "local", "model": None}
        definitions = {
            name: one if one.members else one.model_copy(update=scripted)
            for name, one in definitions.items()
        }
    request = _request(
        {
            **start,
            "channel_name": f"in-process-{secrets.token_hex(8)}",
            "uid": AGENT_UID,
            "metadata": dict(options.get("metadata", {})),
            "thread_id": options.get("thread_id") or None,
            "show_tools": "full",
            "reads_chat": False,
        }
    )
    prepare_recordings(settings.recordings_dir)
    return agent_config(
        settings,
        request.agent_request(),
        agent_id=f"agent-{secrets.token_hex(8)}",
        room_url=SCRIPTED_URI,
        room_token=None,
        local_model=local_model if local_model.uri else LocalModelAddress(SCRIPTED_URI),
        skills=load_skills(settings.skills_dir),
        definition=definitions[definition.name],
        definitions=definitions,
    )


def with_state(config: AgentConfig, state: Mapping[str, Any]) -> AgentConfig:
    """Return the configuration of a call that begins with this state, unless it has one already.

    Raises:
        AgentConfigError: it has no JSON form, or is too large.
    """
    seed = config.conversation_seed or ResumeState()
    if not state or read_state(seed.call_state):
        return config
    try:
        text = json.dumps(dict(state), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise AgentConfigError(f"state: {error}", code="invalid_request") from error
    if len(text) > MAX_STATE_CHARACTERS:
        text = f"state: over {MAX_STATE_CHARACTERS} characters as JSON"
        raise AgentConfigError(text, code="invalid_request")
    begun = seed.model_copy(update={"call_state": text})
    return config.model_copy(update={"conversation_seed": begun})


def _request(start: Mapping[str, Any]) -> StartAgentRequest:
    try:
        return StartAgentRequest.model_validate(start)
    except ValidationError as error:
        text = f"start: {first_validation_error(error)}"
        raise AgentConfigError(text, code="invalid_request") from error


def agents_of(definition: Agent | ChatRoom) -> list[Agent]:
    """Return the agents that a call begins with; one of a chat room may be named, of the app.

    Raises:
        AgentConfigError: There is none of the name.
    """
    if isinstance(definition, Agent):
        return [definition]
    return [each if isinstance(each, Agent) else _of_app(each) for each in definition.agents]


def _of_app(name: str) -> Agent:
    if (agent := find_in_app(name)) is None:
        text = f"agents: there is no agent {name}; give the object"
        raise AgentConfigError(text, code="unknown_agent")
    return agent


def _app_of(definition: Agent | ChatRoom) -> App:
    if isinstance(definition, Agent):
        return App(definition.name, handoff_targets(definition))
    agents = {each.name: each for each in agents_of(definition)}
    if problems := [*problems_of_rooms([definition], agents)]:
        raise AppError(problems)
    return App(definition.name, agents, rooms={definition.name: definition})


def _described(definition: Agent | ChatRoom) -> dict[str, Definition]:
    """Return the definition, and those that it may hand over to, as a start uses them.

    Raises:
        AgentConfigError: a value of one is wrong.
    """
    try:
        described = describe(_app_of(definition))
        found = [Definition.model_validate(each) for each in described]
    except (AppError, InvalidDefinitionError) as error:
        raise AgentConfigError(str(error), code="invalid_request") from error
    except ValidationError as error:
        text = f"{definition.name}: {first_validation_error(error)}"
        raise AgentConfigError(text, code="invalid_request") from error
    return {each.name: each for each in found}
