"""GET /local_model: state of the local model, and what hears, answers and speaks in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import BaseModel, Field, SecretStr

from config.local_model import LocalModelSettings
from config.settings import Settings
from control.http.auth import access_of
from control.http.bodies import respond


class LanguageModelShown(BaseModel):
    """The part of the local model that answers.

    model and host are empty for the rules. `embedded` is the packaged model, behind the rules.
    """

    kind: Literal["rules", "embedded", "server"]
    model: str
    host: str


class LocalModel(BaseModel):
    """State of the local model, and its parts by the settings; a start may choose others."""

    state: str = Field(description="off, starting, ready, silent, backoff, failed or external")
    is_default: bool = Field(description="starts that name no provider get it")
    language_model: LanguageModelShown
    fallback_language_model: LanguageModelShown | None
    recogniser: str = Field(description="STT_ENGINE")
    voice: str = Field(description="TTS_ENGINE")
    settings: dict[str, str] = Field(
        description="each setting of the local model and its value; of keys only that they are set; "
        "empty for keys of a team"
    )


class LocalModelApi:
    """Handler of the local model."""

    def __init__(self, settings: Settings, state: Callable[[], str]) -> None:
        self._settings = settings
        self._state = state

    async def show(self, request: web.Request) -> web.Response:
        """GET /local_model"""
        settings = self._settings
        is_owner = access_of(request).is_of_all_teams
        fallback = settings.llm_fallback_base_url
        return respond(
            LocalModel(
                state=self._state(),
                is_default=settings.model_provider == "local",
                language_model=_language_model(settings),
                fallback_language_model=None
                if fallback is None
                else _of_server(settings.llm_fallback_model, fallback),
                recogniser=settings.stt_engine,
                voice=settings.tts_engine,
                settings=dict(_shown(settings)) if is_owner else {},
            )
        )


def _shown(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in LocalModelSettings.model_fields:
        match getattr(settings, name):
            case None | () | "":
                text = ""
            case SecretStr():
                text = "set"
            case bool() as is_on:
                text = str(is_on).lower()
            case tuple() as several:
                text = ", ".join(several)
            case value:
                text = str(value)
        yield name.upper(), text


def _language_model(settings: Settings) -> LanguageModelShown:
    if settings.has_embedded_language_model:
        return LanguageModelShown(kind="embedded", model=settings.llm_model, host="")
    if settings.llm_base_url is None:
        return LanguageModelShown(kind="rules", model="", host="")
    return _of_server(settings.llm_model, settings.llm_base_url)


def _of_server(model: str, base_url: str) -> LanguageModelShown:
    return LanguageModelShown(kind="server", model=model, host=urlsplit(base_url).netloc)
