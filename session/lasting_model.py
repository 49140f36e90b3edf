"""The model of a conversation: one session for the agent, kept alive over its provider's."""

from __future__ import annotations

from collections.abc import Callable

from config import AgentConfig, ProviderConfig
from conversation.heard import heard_text
from realtime.lasting.resilient import ModelSource, ResilientModel
from realtime.model import RealtimeModel, RealtimeModelConfig
from realtime.providers import create_model


def create_lasting_model(config: AgentConfig) -> ResilientModel:
    """The configured provider's model, not yet connected.

    Raises:
        UnknownProviderError: no such provider.
    """
    return ResilientModel(
        _factory(config.provider), heard_text=_heard_text, fallback=_fallback(config)
    )


def _factory(provider: ProviderConfig) -> Callable[[], RealtimeModel]:
    return lambda: create_model(provider.name, provider.model, factory=provider.factory)


def _fallback(config: AgentConfig) -> ModelSource | None:
    """How to reach the provider that takes over; the conversation's settings come with it."""
    if (provider := config.fallback) is None:
        return None
    key = provider.api_key
    reach = RealtimeModelConfig(
        model=provider.model,
        base_uri=provider.base_uri,
        api_key=key.get_secret_value() if key else None,
        query=provider.query,
        is_verbose=config.verbose,
    )
    return ModelSource(f"fallback {provider.name}", _factory(provider), reach)


def _heard_text(words: str, received_ms: float, played_ms: float) -> str:
    return heard_text(words, received_ms=received_ms, played_ms=played_ms)
