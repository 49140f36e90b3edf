"""Models as other systems name them, as settings of a call."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from config.provider_settings import provider_fields
from parley.agent import NAME_PATTERN

_FAMILIES: Final = (
    (r"(parley-)?local$", "local"),
    (r"gpt-|o\d", "openai"),
    (r"(models/)?gemini", "gemini"),
    (r"qwen", "dashscope"),
    (r"grok", "xai"),
)
"""First letters of a model's name, and its provider."""

_SOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


def provider_of(model: str | None) -> str | None:
    """Return the provider of a model; None: the one of the settings."""
    for pattern, provider in _FAMILIES:
        if model is not None and re.match(pattern, model):
            return provider
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model of a provider. url: without a path or with the provider's own, `http` or `ws`"""

    provider: str | None = None
    model: str | None = None
    voice: str | None = None
    api_key: str | None = field(default=None, repr=False)
    url: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Return the settings that it stands for."""
        if self.provider in (None, "local"):
            return {"LOCAL_MODEL_URI": _address(self.url)} if self.url else {}
        assert self.provider is not None
        names = provider_fields(self.provider)
        given = {names.api_key: self.api_key, names.base_uri: self.url and _address(self.url)}
        return {name.upper(): value for name, value in given.items() if value}

    @property
    def name(self) -> str | None:
        """Its name at the provider; None: the one of the settings."""
        return None if self.provider == "local" else self.model


def _address(url: str) -> str:
    """Return scheme, host and port of an address: the providers' adapters know their paths."""
    parts = urlsplit(url)
    return urlunsplit((_SOCKET_SCHEMES.get(parts.scheme, parts.scheme), parts.netloc, "", "", ""))


def agent_name(name: str) -> str:
    """Return a name of other systems, which may be any text, as one of a definition."""
    if re.fullmatch(NAME_PATTERN, name):
        return name
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return (word if word[:1].isalpha() else f"agent_{word}".rstrip("_"))[:32]
