"""Creates the model of a conversation, resilient over provider sessions, and its opening
configuration.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from config.agent import AgentConfig
from config.chat_room import ChatRoomConfig
from config.providers import ProviderConfig
from conversation.lifecycle import AgentStartError
from realtime.gemini.google_credentials import GoogleCredentials
from realtime.group.model import GroupModel, Member
from realtime.key_command import KeyCommand
from realtime.model import (
    ApiKey,
    Capabilities,
    ModelSettings,
    RealtimeModel,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.providers import create_model
from realtime.resilience.model import ModelSource, ResilientModel
from realtime.resilience.options import ResilienceOptions
from session.instructions import instructions_of
from session.start_phase import PHASE_TIMEOUT_S
from session.turn_policy import TurnPolicy
from tools import ToolContext

_ERROR_MARGIN_S: Final = 0.5
_ROOM_NOTE: Final = (
    "You are {name}, one of several assistants in one spoken conversation; the others are {others}. "
    "A message that begins with a name and a colon is what that person or assistant said. Speak only "
    "for yourself, never begin with your own name, and address another assistant by name to let it "
    "speak next."
)


CreateModel = Callable[[], RealtimeModel] | Mapping[str, Callable[[], RealtimeModel]]
"""Makes sessions in place of the configured provider; of several agents, by the agent's name."""


def create_models(config: AgentConfig, create: CreateModel | None) -> ResilientModel | GroupModel:
    """Create the model, or those of several agents in one conversation.

    Raises:
        AgentStartError: the agents' models cannot share a conversation.
    """
    if config.chat_room is None:
        assert not isinstance(create, Mapping)
        return create_resilient_model(config, create)
    try:
        return create_group(config, config.chat_room, create)
    except UnsupportedCommandError as error:
        raise AgentStartError(
            "starting", "unsupported_by_model", str(error), is_retryable=False
        ) from error


def create_resilient_model(
    config: AgentConfig, create: Callable[[], RealtimeModel] | None = None
) -> ResilientModel:
    """Create the configured provider's model, not yet connected.

    create: makes its sessions in place of the configured provider

    Raises:
        UnknownProviderError: no such provider.
    """
    return ResilientModel(
        create or _factory(config.provider),
        fallback=_fallback(config),
        options=ResilienceOptions(retry=config.retry),
    )


def create_group(
    config: AgentConfig, room: ChatRoomConfig, create: CreateModel | None = None
) -> GroupModel:
    """Create the models of several agents in one conversation, not yet connected.

    create: makes their sessions in place of the configured providers

    Raises:
        UnknownProviderError: no such provider.
        UnsupportedCommandError: the models cannot share a conversation.
    """
    return GroupModel(
        [
            Member(
                one.definition,
                one.spoken_name,
                create_resilient_model(
                    config.of_member(one),
                    create[one.definition] if isinstance(create, Mapping) else create,
                ),
            )
            for one in room.members
        ]
    )


def opening_configs(
    config: AgentConfig,
    room: ChatRoomConfig,
    group: GroupModel,
    tools: Mapping[str, ToolContext],
    log: logging.Logger,
) -> dict[str, RealtimeModelConfig]:
    """Return the opening configuration of each agent in the conversation, by name.

    tools: of each agent
    """
    return {
        one.definition: opening_config(
            config.of_member(one),
            group.members[one.definition].model.capabilities,
            tools[one.definition],
            log,
            note=room_note(room, one.definition),
        )
        for one in room.members
    }


def room_note(room: ChatRoomConfig, name: str) -> str:
    """Return what joins the instructions of one of several agents in a conversation."""
    names = {member.definition: member.spoken_name for member in room.members}
    others = ", ".join(spoken for definition, spoken in names.items() if definition != name)
    return _ROOM_NOTE.format(name=names[name], others=others)


def opening_config(
    config: AgentConfig,
    capabilities: Capabilities,
    tools: ToolContext,
    log: logging.Logger,
    *,
    note: str = "",
) -> RealtimeModelConfig:
    """Return how to reach the configured provider, and the settings of its first session.

    note: added to the instructions
    """
    instructions = instructions_of(config, log)
    settings = ModelSettings(
        instructions=f"{instructions}\n\n{note}" if note else instructions,
        voice=config.voice,
        language=config.language,
        tools=tuple(tools.model_description()),
        turn_detection=TurnPolicy.of(config, capabilities).provider_detection,
        **config.model_settings,
    )
    source_config = _connect_config_of(config.provider, config)
    # Shorter than the phase: the model's error names what was awaited, the phase's does not.
    timeout_s = PHASE_TIMEOUT_S - _ERROR_MARGIN_S
    return replace(source_config, settings=settings, timeout_s=timeout_s)


def model_source(
    name: str,
    provider: ProviderConfig,
    config: AgentConfig,
    create: Callable[[], RealtimeModel] | None = None,
) -> ModelSource:
    """Return how to reach a provider within a conversation.

    create: makes its sessions in place of the provider
    """
    return ModelSource(name, create or _factory(provider), _connect_config_of(provider, config))


def _factory(provider: ProviderConfig) -> Callable[[], RealtimeModel]:
    return lambda: create_model(provider.name, provider.model, factory=provider.factory)


def _fallback(config: AgentConfig) -> ModelSource | None:
    """Return how to reach the fallback provider, if any; it gets the conversation's settings."""
    if (provider := config.fallback) is None:
        return None
    source_config = _connect_config_of(provider, config)
    return ModelSource(f"fallback {provider.name}", _factory(provider), source_config)


def _connect_config_of(provider: ProviderConfig, config: AgentConfig) -> RealtimeModelConfig:
    return replace(
        connect_config(provider),
        passes_raw_events=config.passes_raw_events,
        is_verbose=config.verbose,
    )


def connect_config(provider: ProviderConfig) -> RealtimeModelConfig:
    """Return how to reach a provider, with its defaults for all settings of the session."""
    return RealtimeModelConfig(
        model=provider.model,
        base_uri=provider.base_uri,
        api_key=_api_key(provider),
        headers={name: value.get_secret_value() for name, value in provider.headers.items()},
        query=provider.query,
    )


def _api_key(provider: ProviderConfig) -> ApiKey:
    """Return the key, or what gives one at each connect."""
    if provider.api_key_function is not None:
        return provider.api_key_function
    if provider.api_key_command:
        return KeyCommand(provider.api_key_command, lifetime_s=provider.api_key_ttl_s)
    if provider.has_google_credentials:
        return GoogleCredentials()
    return provider.api_key.get_secret_value() if provider.api_key else None
