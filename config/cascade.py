"""`Cascade`: the recogniser, language model and voice that a definition or a start chooses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from config.local_model import HttpUri, LocalModelAddress, LocalModelSettings
from config.secrets import ProviderKey
from config.settings import AgentConfigError
from speech.options import (
    OPTIONS_HEADER,
    SECRET_HEADER,
    LanguageModelOptions,
    RecogniserName,
    RecogniserOptions,
    SessionOptions,
    VoiceEngineName,
    VoiceOptions,
    encode_options,
)
from untrusted.validation import first_validation_error

MAX_HEADER_CHARACTERS: Final = 7_000
"""Servers take lines of 8 KiB."""

ModelName = Annotated[str, Field(min_length=1, max_length=200)]


class _Choice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LanguageModelChoice(_Choice):
    """Of a language model, what differs from the settings' one.

    A key and headers belong to an address: with another `base_url` those of the settings are not sent.
    """

    model: ModelName | None = None
    base_url: HttpUri | None = None
    api_key: ProviderKey | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    context_tokens: int | None = Field(default=None, ge=512, le=10_000_000)
    max_reply_tokens: int | None = Field(default=None, ge=1, le=100_000)
    extra_body: dict[str, Any] | None = Field(
        default=None, description="further fields of each request, such as reasoning_effort"
    )


class StartRecogniser(_Choice):
    """Of a recogniser, what a start may choose."""

    engine: RecogniserName | None = None
    base_url: HttpUri | None = None
    model: ModelName | None = None
    api_key: ProviderKey | None = None


class StartVoice(_Choice):
    """Of a voice, what a start may choose."""

    engine: VoiceEngineName | None = None
    name: ModelName | None = None
    base_url: HttpUri | None = None
    model: ModelName | None = None
    api_key: ProviderKey | None = None


class StartCascade(_Choice):
    """Recogniser, language model and voice of the provider local; the settings hold for absent ones."""

    language_model: LanguageModelChoice | None = None
    recogniser: StartRecogniser | None = None
    voice: StartVoice | None = None
    noise_suppression: bool | None = None


class RecogniserChoice(StartRecogniser):
    """Of a recogniser, what a definition may choose: its own code and files too."""

    engine: str | None = Field(default=None, max_length=200)  # type: ignore[assignment]
    directory: Path | None = None


class VoiceChoice(StartVoice):
    """Of a voice, what a definition may choose: its own code and files too."""

    engine: str | None = Field(default=None, max_length=200)  # type: ignore[assignment]
    directory: Path | None = None


class Cascade(_Choice):
    """The choices of a definition, and of a start over it."""

    language_model: LanguageModelChoice | None = None
    recogniser: RecogniserChoice | None = None
    voice: VoiceChoice | None = None
    noise_suppression: bool | None = None

    @classmethod
    def of_start(cls, start: StartCascade | None) -> Cascade | None:
        """Return the choice of a start."""
        return None if start is None else cls.model_validate(_given(start))

    def over(self, lower: Cascade | None) -> Cascade:
        """Return this choice, and that of `lower` where this has none."""
        if lower is None:
            return self
        return Cascade.model_validate(_merged(_given(lower), _given(self)))


def require_allowed(settings: LocalModelSettings, cascade: Cascade | None) -> None:
    """Refuse addresses that neither a setting nor `CASCADE_BASE_URLS` names.

    Raises:
        AgentConfigError: naming the first of them.
    """
    allowed = {
        *(settings.llm_base_url, settings.llm_fallback_base_url),
        *(settings.stt_base_url, settings.tts_base_url, *settings.cascade_base_urls),
    }
    for place, address in _addresses(cascade):
        if address not in allowed:
            text = f"cascade.{place}.base_url: {address} is not in CASCADE_BASE_URLS: add it there"
            raise AgentConfigError(text, code="base_url_not_allowed")


def cascade_headers(
    settings: LocalModelSettings, local_model: LocalModelAddress, cascade: Cascade | None
) -> dict[str, SecretStr]:
    """Return the headers by which a session of the local model gets what `cascade` chooses.

    Raises:
        AgentConfigError: It cannot be had under these settings.
    """
    if cascade is None or not (given := _given(cascade)):
        return {}
    if local_model.secret is None:
        text = "cascade: needs LOCAL_MODEL_API_KEY, by which the local model takes it from you"
        raise AgentConfigError(text, code="provider_not_configured")
    text = encode_options(_session_options(settings, given))
    if len(text) > MAX_HEADER_CHARACTERS:
        raise AgentConfigError("cascade: it is too long", code="invalid_request")
    return {OPTIONS_HEADER: SecretStr(text), SECRET_HEADER: local_model.secret}


def language_model_names(settings: LocalModelSettings, cascade: Cascade | None) -> tuple[str, ...]:
    """Return the names of the language models that may answer, by which replies are priced."""
    chosen = cascade.language_model if cascade is not None else None
    own = chosen.model if chosen is not None and chosen.model else settings.llm_model
    return tuple(filter(None, (own, settings.llm_fallback_model)))


_PARTS: Final[dict[str, type[BaseModel]]] = {
    "language_model": LanguageModelOptions,
    "recogniser": RecogniserOptions,
    "voice": VoiceOptions,
}


def _session_options(settings: LocalModelSettings, given: dict[str, Any]) -> SessionOptions:
    defaults = settings.session_options()
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _PARTS:
            values[name] = value
            continue
        default = getattr(defaults, name)
        own = {} if default is None else _given(default)
        if name == "language_model" and default is None and "base_url" not in value:
            text = "cascade.language_model: needs LLM_BASE_URL, or a base_url of its own"
            raise AgentConfigError(text, code="provider_not_configured")
        try:
            values[name] = _PARTS[name].model_validate(_merged(own, value))
        except ValidationError as error:
            text = f"cascade.{name}: {first_validation_error(error)}"
            raise AgentConfigError(text, code="invalid_request") from error
    return SessionOptions(**values)


def _addresses(cascade: Cascade | None) -> Iterator[tuple[str, str]]:
    for place in _PARTS:
        part = getattr(cascade, place, None)
        if part is not None and part.base_url is not None:
            yield place, part.base_url


def _given(model: BaseModel) -> dict[str, Any]:
    """Return what is not None, secrets still masked, inner models as such dictionaries."""
    values = {name: getattr(model, name) for name in type(model).model_fields}
    return {
        name: _given(value) if isinstance(value, BaseModel) else value
        for name, value in values.items()
        if value is not None
    }


def _merged(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Join two choices; a key and headers stay with the address that they belong to."""
    result = dict(lower)
    if "base_url" in upper and upper["base_url"] != lower.get("base_url"):
        result.pop("api_key", None)
        result.pop("headers", None)
    for name, value in upper.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        is_part = both and name != "extra_body"
        result[name] = _merged(result[name], value) if is_part else value
    return result
