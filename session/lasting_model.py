"""The model of a conversation: one session for the agent, kept alive over its provider's."""

from __future__ import annotations

from config import AgentConfig
from conversation.heard import heard_text
from realtime.providers import create_model
from realtime.resilient import ResilientModel


def create_lasting_model(config: AgentConfig) -> ResilientModel:
    """The configured provider's model, not yet connected.

    Raises:
        UnknownProviderError: no such provider.
    """
    provider = config.provider
    return ResilientModel(
        lambda: create_model(provider.name, provider.model, factory=provider.factory),
        heard_text=_heard_text,
    )


def _heard_text(words: str, received_ms: float, played_ms: float) -> str:
    return heard_text(words, received_ms=received_ms, played_ms=played_ms)
