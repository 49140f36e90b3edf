"""`ProviderConfig`, how an agent reaches its model, from the settings of that provider."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.cascade import (
    Cascade,
    LanguageModelChoice,
    cascade_headers,
    language_model_names,
)
from config.local_model import LocalModelAddress
from config.provider_settings import CUSTOM_FIELDS, ProviderFields, headers_of, provider_fields
from config.settings import AgentConfigError, Settings
from realtime.providers import PROVIDER_PATTERN, provider_names
from utils import FUNCTION_PATTERN, named_values


class ProviderConfig(BaseModel):
    """Address, model and key of an agent's provider.

    factory: `package.module:function` of a custom provider, from the settings
    api_key_command: program and arguments that print the key, which is kept for `api_key_ttl_s`
    has_google_credentials: the key is a token of Google's application default credentials
    api_key_function: gives the key in this process, in place of all others; it crosses no link
    language_models: of the local model, all that may answer
    has_key_of_definition: the definition gives the key, in the process that has loaded it
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=PROVIDER_PATTERN)
    model: str
    base_uri: str
    api_key: SecretStr | None = None
    api_key_command: tuple[str, ...] = ()
    api_key_ttl_s: float = 300.0
    has_google_credentials: bool = False
    api_key_function: Callable[[], Any] | None = Field(default=None, exclude=True, repr=False)
    has_key_of_definition: bool = False
    headers: dict[str, SecretStr] = {}
    query: dict[str, str] = {}
    factory: str | None = None
    language_models: tuple[str, ...] = ()

    def with_secrets(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return `data`, a dump of this object, with its secrets in clear text: for the link only."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        key = None if self.api_key is None else self.api_key.get_secret_value()
        return data | {"api_key": key, "headers": headers}


_LOCAL_MODELS: Final = ("parley-local", "local")
"""Accepted names of the local model."""


def provider_config(
    settings: Settings,
    name: str,
    *,
    local_model: LocalModelAddress,
    model: str | None = None,
    brings_key: bool = False,
    cascade: Cascade | None = None,
) -> ProviderConfig:
    """Return the configuration of the named provider.

    Args:
        model: Replaces the configured model.
        brings_key: The definition gives the key, so the settings need none.
        cascade: Recogniser, language model and voice, of the provider local only.

    Raises:
        AgentConfigError: A setting is missing; the text names it.
    """
    if name == "local":
        return _local_config(settings, local_model, model, cascade)
    if cascade is not None:
        raise AgentConfigError(
            f"cascade: of the provider local only, not of {name}", code="invalid_request"
        )
    names = provider_fields(name)
    factory = provider_factories(settings).get(name)
    if names is CUSTOM_FIELDS and factory is None:
        _require_installed(name)
    return ProviderConfig(
        name=name,
        model=model or _text(settings, names.model, name),
        base_uri=_text(settings, names.base_uri, name),
        api_key=_key(settings, names, name, brings_key=brings_key),
        api_key_command=_command(settings, names),
        api_key_ttl_s=settings.api_key_command_ttl_s,
        has_google_credentials=_has_google_credentials(settings, name),
        has_key_of_definition=brings_key,
        headers=headers_of(getattr(settings, names.headers)),
        query=_query(settings, name),
        factory=factory,
    )


def _local_config(
    settings: Settings,
    local_model: LocalModelAddress,
    model: str | None,
    cascade: Cascade | None,
) -> ProviderConfig:
    if model not in (None, *_LOCAL_MODELS):
        chosen = cascade.language_model if cascade is not None else None
        if settings.llm_base_url is None and (chosen is None or chosen.base_url is None):
            text = f"model: the local server has one model, {_LOCAL_MODELS[0]}"
            raise AgentConfigError(
                f"{text}; set LLM_BASE_URL to choose a language model", code="unknown_model"
            )
        cascade = Cascade(language_model=LanguageModelChoice(model=model)).over(cascade)
    return ProviderConfig(
        name="local",
        model=_LOCAL_MODELS[0],
        base_uri=local_model.uri,
        api_key=settings.local_model_api_key,
        headers=cascade_headers(settings, local_model, cascade),
        language_models=language_model_names(settings, cascade),
    )


def find_configured(
    settings: Settings, provider: str | None, model: str | None, *, local_model: LocalModelAddress
) -> ProviderConfig | None:
    """Return the configuration of this provider, or of the one whose configured model has this name.

    None: the settings have none such. Of several providers with one model the default one comes first.
    """
    names = [provider] if provider is not None else [settings.model_provider, *provider_names()]
    for name in names:
        try:
            found = provider_config(settings, name, local_model=local_model)
        except AgentConfigError:
            continue
        if model in (None, found.model):
            return found
    return None


def provider_factories(settings: Settings) -> dict[str, str]:
    """Parse `PROVIDER_FACTORIES` into provider name -> `package.module:function`.

    Raises:
        AgentConfigError: An entry is malformed.
    """
    factories: dict[str, str] = {}
    for name, value in named_values(settings.provider_factories, ","):
        path = value or ""
        if not re.fullmatch(PROVIDER_PATTERN, name) or not re.fullmatch(FUNCTION_PATTERN, path):
            entry = name if value is None else f"{name}={path}"
            text = f"PROVIDER_FACTORIES: {entry!r} is not name=package.module:function"
            raise AgentConfigError(text, code="provider_not_configured")
        factories[name] = path
    return factories


def _require_installed(name: str) -> None:
    if name not in (known := provider_names()):
        text = f"unknown provider, known are: {', '.join(known)}"
        raise AgentConfigError(text, code="unknown_provider")


def _text(settings: Settings, field: str, provider: str) -> str:
    if not (value := getattr(settings, field)):
        raise AgentConfigError(_advice(field, provider), code="provider_not_configured")
    return str(value)


def _key(
    settings: Settings, names: ProviderFields, provider: str, *, brings_key: bool
) -> SecretStr | None:
    key: SecretStr | None = getattr(settings, names.api_key)
    is_given = brings_key or key is not None or bool(_command(settings, names))
    is_given = is_given or _has_google_credentials(settings, provider)
    if names.is_key_required and not is_given:
        raise AgentConfigError(_advice(names.api_key, provider), code="missing_api_key")
    return key


def _command(settings: Settings, names: ProviderFields) -> tuple[str, ...]:
    return tuple(shlex.split(getattr(settings, names.api_key_command) or ""))


def _has_google_credentials(settings: Settings, provider: str) -> bool:
    return provider == "gemini" and settings.gemini_credentials == "adc"


def _advice(field: str, provider: str) -> str:
    return f"{field.upper()}: set it to use the provider {provider}, and restart the server"


def _query(settings: Settings, provider: str) -> dict[str, str]:
    if provider == "azure" and settings.azure_openai_api_version:
        return {"api-version": settings.azure_openai_api_version}
    return {}
