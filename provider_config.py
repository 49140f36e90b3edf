"""From the server's settings to one provider: one table for the control API and the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from config import ConfigError, ProviderConfig, Settings


class ProviderConfigError(ConfigError):
    """A provider cannot be used as the server is configured.

    code: `missing_api_key`, `provider_not_configured` or `unknown_provider`
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Names:
    """The settings of one provider."""

    api_key: str
    model: str
    base_uri: str


_TABLE: Final = {
    "openai": _Names("openai_api_key", "openai_model", "realtime_api_base_uri"),
    "azure": _Names("azure_openai_api_key", "azure_openai_deployment", "azure_openai_base_uri"),
    "openai-beta": _Names("openai_beta_api_key", "openai_beta_model", "openai_beta_base_uri"),
    "dashscope": _Names("dashscope_api_key", "dashscope_model", "dashscope_base_uri"),
    "gemini": _Names("gemini_api_key", "gemini_model", "gemini_base_uri"),
}
_LOCAL_MODELS: Final = ("parley-local", "local")
"""By which names a start may ask for our own model."""

_CUSTOM: Final = _Names(
    "custom_provider_api_key", "custom_provider_model", "custom_provider_base_uri"
)


def provider_config(
    settings: Settings, name: str, *, local_uri: str, model: str | None = None
) -> ProviderConfig:
    """How to reach the named provider.

    local_uri: where the local model server is
    model: asked for instead of the configured one

    Raises:
        ProviderConfigError: naming the setting that is missing.
    """
    if name == "local":
        if model not in (None, *_LOCAL_MODELS):
            raise ProviderConfigError(
                f"model: the local server has one model, {_LOCAL_MODELS[0]}", code="unknown_model"
            )
        return ProviderConfig(name="local", model=_LOCAL_MODELS[0], base_uri=local_uri)
    names = _TABLE.get(name, _CUSTOM)
    factory = provider_factories(settings).get(name)
    if names is _CUSTOM and factory is None:
        _require_installed(name)
    return ProviderConfig(
        name=name,
        model=model or _text(settings, names.model, name),
        base_uri=_text(settings, names.base_uri, name),
        api_key=_key(settings, names.api_key, name, is_required=names is not _CUSTOM),
        query=_query(settings, name),
        factory=factory,
    )


def provider_factories(settings: Settings) -> dict[str, str]:
    """`PROVIDER_FACTORIES` as provider name -> `package.module:function`.

    Raises:
        ProviderConfigError: an entry is malformed.
    """
    from realtime.providers import FACTORY_PATTERN, PROVIDER_PATTERN

    factories: dict[str, str] = {}
    for entry in filter(None, (each.strip() for each in settings.provider_factories.split(","))):
        name, _, path = (part.strip() for part in entry.partition("="))
        if not re.fullmatch(PROVIDER_PATTERN, name) or not re.fullmatch(FACTORY_PATTERN, path):
            text = f"PROVIDER_FACTORIES: {entry!r} is not name=package.module:function"
            raise ProviderConfigError(text, code="provider_not_configured")
        factories[name] = path
    return factories


def _require_installed(name: str) -> None:
    from realtime.providers import provider_names

    if name not in (known := provider_names()):
        text = f"unknown provider, known are: {', '.join(known)}"
        raise ProviderConfigError(text, code="unknown_provider")


def _text(settings: Settings, field: str, provider: str) -> str:
    if not (value := getattr(settings, field)):
        raise ProviderConfigError(_advice(field, provider), code="provider_not_configured")
    return str(value)


def _key(settings: Settings, field: str, provider: str, *, is_required: bool) -> SecretStr | None:
    key: SecretStr | None = getattr(settings, field)
    if key is None and is_required:
        raise ProviderConfigError(_advice(field, provider), code="missing_api_key")
    return key


def _advice(field: str, provider: str) -> str:
    return f"{field.upper()}: set it to use the provider {provider}, and restart the server"


def _query(settings: Settings, provider: str) -> dict[str, str]:
    if provider == "azure" and settings.azure_openai_api_version:
        return {"api-version": settings.azure_openai_api_version}
    return {}
