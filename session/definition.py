"""Definitions of an agent, or of several, in the process that runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from config.agent import AgentConfig
from config.providers import ProviderConfig
from conversation.lifecycle import AgentStartError
from parley.agent import Agent
from parley.app import App, current
from parley.chat_room import ChatRoom, ModeratorFunction


@dataclass(frozen=True, slots=True)
class Definitions:
    """What the owner declares of this call.

    first: the agent that has the floor at the start
    members: all agents of a chat room, by name; empty without one
    moderator: the owner's function, if there is one
    """

    first: Agent | None = None
    members: Mapping[str, Agent] = field(default_factory=dict)
    moderator: ModeratorFunction | None = None


def definitions_of(config: AgentConfig, given: Agent | ChatRoom | None) -> Definitions:
    """Return the definitions of a call: those that are given, else those of this process's app.

    Raises:
        AgentStartError: There is none: the app has changed since the start was accepted.
    """
    app = current()
    if config.chat_room is None:
        assert not isinstance(given, ChatRoom)
        name = config.definition
        return Definitions(given if given is not None or name is None else _agent(app, name))
    own = {} if not isinstance(given, ChatRoom) else _own_agents(given)
    names = [member.definition for member in config.chat_room.members]
    members = {name: own[name] if name in own else _agent(app, name) for name in names}
    room = given if isinstance(given, ChatRoom) else _room(app, config.chat_room.name)
    moderator = None if room is None or isinstance(room.moderator, str) else room.moderator
    return Definitions(members[names[0]], members, moderator)


def with_own_keys(config: AgentConfig, definitions: Definitions) -> AgentConfig:
    """Return the configuration with the keys that the definitions bring for their providers."""
    changes: dict[str, object] = {}
    if definitions.first is not None:
        changes["provider"] = with_own_key(config.provider, definitions.first)
    if (room := config.chat_room) is not None:
        members = tuple(
            one.model_copy(
                update={"provider": with_own_key(one.provider, definitions.members[one.definition])}
            )
            for one in room.members
        )
        changes["chat_room"] = room.model_copy(update={"members": members})
    return config.model_copy(update=changes)


def with_own_key(provider: ProviderConfig, agent: Agent) -> ProviderConfig:
    """Return the provider with the key that the definition gives for it, if it does."""
    return with_key_of(provider, agent) if provider.has_key_of_definition else provider


def with_key_of(provider: ProviderConfig, agent: Agent) -> ProviderConfig:
    """Return the provider with the definition's key, if it has one."""
    if agent.api_key is None:
        return provider
    if isinstance(agent.api_key, str):
        return provider.model_copy(update={"api_key": SecretStr(agent.api_key)})
    return provider.model_copy(update={"api_key_function": agent.api_key})


def _own_agents(room: ChatRoom) -> dict[str, Agent]:
    return {each.name: each for each in room.agents if isinstance(each, Agent)}


def _agent(app: App | None, name: str) -> Agent:
    if app is None or name not in app.agents:
        text = f"the app has no agent {name} (any longer)"
        raise AgentStartError("starting", "unknown_agent", text, is_retryable=False)
    return app.agents[name]


def find_in_app(name: str) -> Agent | None:
    """Return the agent of this process's app that has the name, if any."""
    app = current()
    return None if app is None else app.agents.get(name)


def own_secrets(config: AgentConfig) -> list[str]:
    """Return the keys that the named definitions have as texts, to be masked in logs."""
    app = current()
    members = () if config.chat_room is None else config.chat_room.members
    names = [config.definition, *(member.definition for member in members)]
    agents = [app.agents.get(name) for name in names if app is not None and name]
    keys = [None if agent is None else agent.api_key for agent in agents]
    return [key for key in keys if isinstance(key, str)]


def _room(app: App | None, name: str) -> ChatRoom | None:
    return None if app is None or not name else app.rooms.get(name)
