"""The model of a conversation: one session for the agent, kept alive over its provider's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from config import AgentConfig, ProviderConfig
from conversation.heard import heard_text
from realtime.lasting.resilient import ModelSource, ResilientModel
from realtime.model import Capabilities, ModelSettings, RealtimeModel, RealtimeModelConfig
from realtime.providers import create_model
from session.instructions import instructions_of
from session.start_phase import PHASE_TIMEOUT_S
from session.turn_policy import TurnPolicy
from tools import ToolContext

_LAST_WORD_S: Final = 0.5


def create_lasting_model(config: AgentConfig) -> ResilientModel:
    """The configured provider's model, not yet connected.

    Raises:
        UnknownProviderError: no such provider.
    """
    return ResilientModel(
        _factory(config.provider), heard_text=_heard_text, fallback=_fallback(config)
    )


def opening_config(
    config: AgentConfig, capabilities: Capabilities, tools: ToolContext, log: logging.Logger
) -> RealtimeModelConfig:
    """How the configured provider is reached, and how the conversation with it begins."""
    settings = ModelSettings(
        instructions=instructions_of(config, log),
        voice=config.voice,
        language=config.language,
        tools=tuple(tools.model_description()),
        turn_detection=TurnPolicy.of(config, capabilities).provider_detection,
        **config.model_settings,
    )
    way = _way_to(config.provider, is_verbose=config.verbose)
    # Over before its phase is: it knows what was waited for, the phase only that something was.
    timeout_s = PHASE_TIMEOUT_S - _LAST_WORD_S
    return replace(way, settings=settings, timeout_s=timeout_s)


def _factory(provider: ProviderConfig) -> Callable[[], RealtimeModel]:
    return lambda: create_model(provider.name, provider.model, factory=provider.factory)


def _fallback(config: AgentConfig) -> ModelSource | None:
    """How to reach the provider that takes over; the conversation's settings come with it."""
    if (provider := config.fallback) is None:
        return None
    way = _way_to(provider, is_verbose=config.verbose)
    return ModelSource(f"fallback {provider.name}", _factory(provider), way)


def _way_to(provider: ProviderConfig, *, is_verbose: bool) -> RealtimeModelConfig:
    key = provider.api_key
    return RealtimeModelConfig(
        model=provider.model,
        base_uri=provider.base_uri,
        api_key=key.get_secret_value() if key else None,
        query=provider.query,
        is_verbose=is_verbose,
    )


def _heard_text(words: str, received_ms: float, played_ms: float) -> str:
    return heard_text(words, received_ms=received_ms, played_ms=played_ms)
