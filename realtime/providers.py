"""The models this version knows, by the name that a request gives."""

from __future__ import annotations

from collections.abc import Callable

from realtime.model import RealtimeModel


class UnknownProviderError(ValueError):
    """No provider has this name; the text lists those there are."""


def create_model(name: str) -> RealtimeModel:
    """A model of the provider `name`, not yet connected. Nothing of a provider loads before.

    Raises:
        UnknownProviderError: no such provider.
    """
    if name not in _FACTORIES:
        raise UnknownProviderError(f"unknown provider, known are: {', '.join(sorted(_FACTORIES))}")
    return _FACTORIES[name]()


def _create_openai() -> RealtimeModel:
    from realtime.openai import OpenAIRealtimeModel

    return OpenAIRealtimeModel()


def _create_local() -> RealtimeModel:
    from realtime.openai import LOCAL_CAPABILITIES, LOCAL_DIALECT, OpenAIRealtimeModel

    return OpenAIRealtimeModel(LOCAL_CAPABILITIES, LOCAL_DIALECT)


_FACTORIES: dict[str, Callable[[], RealtimeModel]] = {
    "local": _create_local,
    "openai": _create_openai,
}
