"""Settings of the local model: its recogniser, language model and voice. See docs/local-model.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from config.provider_settings import BaseUri, Headers, headers_of, is_address
from config.secrets import ApiKey, ProviderKey
from speech.embedded.requests import TOOLS_WHEN_REQUIRED
from speech.embedded.settings import EmbeddedSettings
from speech.options import (
    LanguageModelOptions,
    ProcessOptions,
    RecogniserName,
    RecogniserOptions,
    SessionOptions,
    VoiceEngineName,
    VoiceOptions,
)
from utils import FUNCTION_PATTERN

EMBEDDED_MODEL: Final = "embedded"
"""`LLM_MODEL` that stands for the packaged language model."""

# A small model rambles; this is half a minute of speech.
_EMBEDDED_REPLY_TOKENS: Final = 120


def _check_http_uri(uri: str) -> str:
    if not is_address(uri, "http", "https") or re.fullmatch(r"[a-z]+://[^\s?#@]+", uri) is None:
        raise ValueError("need http://HOST:PORT/v1 or https://HOST/v1")
    return uri.rstrip("/")


HttpUri = Annotated[str, AfterValidator(_check_http_uri)]
"""Address of a server of OpenAI's HTTP shape, with the version in its path."""


def _engine_of(*names: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names and re.fullmatch(FUNCTION_PATTERN, name) is None:
            raise ValueError(f"need {', '.join(names)}, or package.module:function")
        return name

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class LocalModelAddress:
    """Address of the local model, as agents reach it.

    secret: shown with a session's own options; None: it takes none
    """

    uri: str = ""
    secret: SecretStr | None = None


class LocalModelSettings(BaseModel):
    """Part of `config.settings.Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    local_model_uri: BaseUri | None = None
    local_model_port: int = Field(default=0, ge=0, le=65_535)
    local_model_api_key: ApiKey | None = None

    llm_base_url: HttpUri | None = None
    llm_model: str = Field(default="", max_length=200)
    llm_api_key: ProviderKey | None = None
    llm_headers: Headers | None = None
    llm_temperature: float | None = Field(default=None, ge=0, le=2)
    llm_context_tokens: int = Field(default=8_192, ge=512, le=10_000_000)
    llm_max_reply_tokens: int | None = Field(default=None, ge=1, le=100_000)
    llm_fallback_base_url: HttpUri | None = None
    llm_fallback_model: str = Field(default="", max_length=200)
    llm_fallback_api_key: ProviderKey | None = None

    stt_engine: Annotated[str, _engine_of(*get_args(RecogniserName))] = "whisper-tiny.en"
    stt_base_url: HttpUri | None = None
    stt_model: str = Field(default="", max_length=200)
    stt_api_key: ProviderKey | None = None
    stt_model_dir: Path | None = None
    stt_noise_suppression: bool = False

    tts_engine: Annotated[str, _engine_of(*get_args(VoiceEngineName))] = "piper"
    tts_voice: str = Field(default="", max_length=200)
    tts_base_url: HttpUri | None = None
    tts_model: str = Field(default="", max_length=200)
    tts_api_key: ProviderKey | None = None
    tts_voice_dir: Path | None = None

    # Further addresses that starts may name for any of the three.
    cascade_base_urls: tuple[HttpUri, ...] = ()

    def local_model_contradictions(self) -> Iterator[str]:
        """Yield a line for each setting of the local model that another one contradicts."""
        if self.llm_base_url is not None and not self.llm_model:
            yield "LLM_BASE_URL: needs LLM_MODEL, the model's name there"
        if self.llm_model and self.llm_base_url is None and self.llm_model != EMBEDDED_MODEL:
            yield f"LLM_MODEL: needs LLM_BASE_URL, or {EMBEDDED_MODEL} for the packaged model"
        if bool(self.llm_fallback_model) != (self.llm_fallback_base_url is not None):
            yield "LLM_FALLBACK_MODEL: needs LLM_FALLBACK_BASE_URL, and that one it"
        for name in ("stt", "tts"):
            is_server = getattr(self, f"{name}_engine") == "server"
            if is_server and getattr(self, f"{name}_base_url") is None:
                yield f"{name.upper()}_ENGINE: server needs {name.upper()}_BASE_URL"

    @property
    def has_embedded_language_model(self) -> bool:
        """True if the packaged language model answers what the rules do not know."""
        return self.llm_model == EMBEDDED_MODEL and self.llm_base_url is None

    def local_model_options(
        self,
        *,
        secret: SecretStr | None = None,
        embedded_base_url: str | None = None,
        allowed_origins: tuple[str, ...] = (),
    ) -> ProcessOptions:
        """Return the options of a process that serves the local model.

        Args:
            secret: By which agents choose options of their own; without one, the API key.
            embedded_base_url: Address of the packaged language model, if it runs.
            allowed_origins: Of pages that may connect besides those of this machine.
        """
        return ProcessOptions(
            session=self.session_options(embedded_base_url=embedded_base_url),
            api_key=self.local_model_api_key,
            options_secret=self.local_model_api_key or secret,
            allowed_origins=allowed_origins,
        )

    def session_options(self, *, embedded_base_url: str | None = None) -> SessionOptions:
        """Return the defaults of the local model's sessions.

        Args:
            embedded_base_url: Address of the packaged language model, if it runs.
        """
        return SessionOptions(
            language_model=self._language_model(embedded_base_url),
            fallback_language_model=self._fallback_language_model(),
            recogniser=RecogniserOptions(
                engine=self.stt_engine,
                base_url=self.stt_base_url,
                model=self.stt_model,
                api_key=self.stt_api_key,
                directory=self.stt_model_dir,
            ),
            voice=VoiceOptions(
                engine=self.tts_engine,
                name=self.tts_voice,
                base_url=self.tts_base_url,
                model=self.tts_model,
                api_key=self.tts_api_key,
                directory=self.tts_voice_dir,
            ),
            noise_suppression=self.stt_noise_suppression,
        )

    def _language_model(self, embedded_base_url: str | None) -> LanguageModelOptions | None:
        if self.has_embedded_language_model:
            return self._embedded_language_model(embedded_base_url)
        if self.llm_base_url is None:
            return None
        return LanguageModelOptions(
            base_url=self.llm_base_url,
            model=self.llm_model,
            api_key=self.llm_api_key,
            headers=headers_of(self.llm_headers),
            temperature=self.llm_temperature,
            context_tokens=self.llm_context_tokens,
            max_reply_tokens=self.llm_max_reply_tokens,
        )

    def _embedded_language_model(self, base_url: str | None) -> LanguageModelOptions | None:
        if base_url is None:
            return None
        return LanguageModelOptions(
            base_url=base_url,
            model=EMBEDDED_MODEL,
            temperature=self.llm_temperature,
            context_tokens=min(self.llm_context_tokens, EmbeddedSettings().context_tokens),
            max_reply_tokens=self.llm_max_reply_tokens or _EMBEDDED_REPLY_TOKENS,
            rules="first",
            extra_body=TOOLS_WHEN_REQUIRED,
        )

    def _fallback_language_model(self) -> LanguageModelOptions | None:
        if self.llm_fallback_base_url is None:
            return None
        return LanguageModelOptions(
            base_url=self.llm_fallback_base_url,
            model=self.llm_fallback_model,
            api_key=self.llm_fallback_api_key,
            temperature=self.llm_temperature,
            context_tokens=self.llm_context_tokens,
            max_reply_tokens=self.llm_max_reply_tokens,
        )
