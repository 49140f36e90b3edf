"""The models this version knows, by the name that a request gives; and how others are added."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from typing import Final

from realtime.model import RealtimeModel
from utils import FUNCTION_PATTERN

ENTRY_POINT_GROUP: Final = "parley.providers"
"""Entry point group in which a package announces `name = "package.module:factory"`."""

PROVIDER_PATTERN: Final = r"^[a-z][a-z0-9-]{0,31}$"

ModelFactory = Callable[[str], RealtimeModel]
"""Takes the model's name, returns it not yet connected."""


class UnknownProviderError(ValueError):
    """No provider has this name, or what its name stands for cannot be loaded; the text says why."""


def create_model(name: str, model: str = "", *, factory: str | None = None) -> RealtimeModel:
    """A model of the provider `name`, not yet connected. Nothing of a provider loads before.

    model: its name at the provider, on which its capabilities may depend
    factory: `package.module:function`, from the server's own settings and never from a request;
        without one, the name stands for one of ours, then for one of an installed package

    Raises:
        UnknownProviderError: no such provider.
    """
    if factory is not None:
        return _load(factory)(model)
    if name in _FACTORIES:
        return _FACTORIES[name](model)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return _load(entry.value)(model)
    raise UnknownProviderError(f"unknown provider, known are: {', '.join(provider_names())}")


def provider_names() -> list[str]:
    """Ours and those of installed packages, by name."""
    installed = (entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))
    return sorted({*_FACTORIES, *installed})


def _load(path: str) -> ModelFactory:
    if re.fullmatch(FUNCTION_PATTERN, path) is None:
        raise UnknownProviderError(f"{path!r} is no factory: use package.module:function")
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownProviderError(f"{path} cannot be loaded: {error}") from error
    if not callable(found):
        raise UnknownProviderError(f"{path} is not a function")
    factory: ModelFactory = found
    return factory


def _create_of_dialect(provider: str, model: str) -> RealtimeModel:
    from realtime.capabilities import capabilities_of
    from realtime.openai.dialect import DIALECTS
    from realtime.openai.model import OpenAIRealtimeModel

    return OpenAIRealtimeModel(capabilities_of(provider, model), DIALECTS[provider])


def _create_azure(model: str) -> RealtimeModel:
    from realtime.capabilities import capabilities_of
    from realtime.openai.azure import AzureRealtimeModel

    return AzureRealtimeModel(capabilities_of("azure", model))


def _create_dashscope(model: str) -> RealtimeModel:
    from realtime.dashscope.model import DashScopeRealtimeModel

    return DashScopeRealtimeModel(model)


def _create_gemini(model: str) -> RealtimeModel:
    from realtime.gemini.model import GeminiLiveModel

    return GeminiLiveModel(model)


# Servers that differ in their dialect only: keys of `realtime.openai.dialect.DIALECTS`.
_OPENAI_DIALECTS: Final = ("local", "openai", "openai-beta", "openai-compatible", "xai")

_FACTORIES: dict[str, ModelFactory] = {
    "azure": _create_azure,
    "dashscope": _create_dashscope,
    "gemini": _create_gemini,
    **{name: partial(_create_of_dialect, name) for name in _OPENAI_DIALECTS},
}
