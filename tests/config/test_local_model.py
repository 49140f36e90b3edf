"""Settings of the local model, as the options of its process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import ConfigError, Settings
from speech.options import (
    ProcessOptions,
    SessionOptions,
    decode_options,
    encode_options,
)

OLLAMA = {"LLM_BASE_URL": "http://127.0.0.1:11434/v1/", "LLM_MODEL": "qwen3:4b"}


def session(**environ: str) -> SessionOptions:
    return Settings.from_env(environ).session_options()


def test_without_settings_there_are_rules_and_the_packaged_engines() -> None:
    options = session()
    assert options.language_model is None
    assert options.fallback_language_model is None
    assert options.recogniser is not None
    assert options.recogniser.engine == "whisper-tiny.en"
    assert options.voice is not None
    assert options.voice.engine == "piper"
    assert options.noise_suppression is False


def test_a_language_model_has_its_address_name_and_key() -> None:
    model = session(**OLLAMA, LLM_API_KEY="sk-1", LLM_HEADERS="X-Team=voice").language_model
    assert model is not None
    assert (model.base_url, model.model, model.rules) == (
        "http://127.0.0.1:11434/v1",
        "qwen3:4b",
        "off",
    )
    assert model.api_key == SecretStr("sk-1")
    assert model.headers == {"X-Team": SecretStr("voice")}
    assert "sk-1" not in repr(model)


SETTINGS: list[tuple[dict[str, str], str, Any]] = [
    (OLLAMA | {"LLM_TEMPERATURE": "0.3"}, "language_model.temperature", 0.3),
    (OLLAMA | {"LLM_CONTEXT_TOKENS": "4096"}, "language_model.context_tokens", 4096),
    (OLLAMA | {"LLM_MAX_REPLY_TOKENS": "200"}, "language_model.max_reply_tokens", 200),
    (
        {"LLM_FALLBACK_BASE_URL": "https://b.example/v1", "LLM_FALLBACK_MODEL": "m"},
        "fallback_language_model.base_url",
        "https://b.example/v1",
    ),
    ({"STT_ENGINE": "whisper-base"}, "recogniser.engine", "whisper-base"),
    ({"STT_BASE_URL": "http://a/v1", "STT_ENGINE": "server"}, "recogniser.base_url", "http://a/v1"),
    ({"STT_MODEL": "large"}, "recogniser.model", "large"),
    ({"STT_API_KEY": "sk-2"}, "recogniser.api_key", SecretStr("sk-2")),
    ({"STT_NOISE_SUPPRESSION": "true"}, "noise_suppression", True),
    ({"TTS_ENGINE": "my_voices.fast:create"}, "voice.engine", "my_voices.fast:create"),
    ({"TTS_VOICE": "af_heart"}, "voice.name", "af_heart"),
    ({"TTS_BASE_URL": "http://a/v1"}, "voice.base_url", "http://a/v1"),
    ({"TTS_MODEL": "tts-1"}, "voice.model", "tts-1"),
    ({"TTS_API_KEY": "sk-3"}, "voice.api_key", SecretStr("sk-3")),
]


@pytest.mark.parametrize(("environ", "place", "expected"), SETTINGS)
def test_every_setting_is_an_option_of_sessions(
    environ: dict[str, str], place: str, expected: Any
) -> None:
    value: Any = session(**environ)
    for step in place.split("."):
        value = getattr(value, step)
    assert value == expected


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LLM_BASE_URL": "http://a/v1"}, "LLM_BASE_URL: needs LLM_MODEL"),
        ({"LLM_MODEL": "qwen3"}, "LLM_MODEL: needs LLM_BASE_URL, or embedded"),
        ({"LLM_FALLBACK_MODEL": "m"}, "LLM_FALLBACK_MODEL: needs LLM_FALLBACK_BASE_URL"),
        ({"STT_ENGINE": "server"}, "STT_ENGINE: server needs STT_BASE_URL"),
        ({"TTS_ENGINE": "server"}, "TTS_ENGINE: server needs TTS_BASE_URL"),
        ({"STT_ENGINE": "whisper"}, "STT_ENGINE: need whisper-tiny.en, whisper-base, server"),
        (OLLAMA | {"LLM_BASE_URL": "ws://a"}, "LLM_BASE_URL: need http://HOST:PORT/v1"),
        ({"LOCAL_MODEL_API_KEY": "short"}, "LOCAL_MODEL_API_KEY: has 5 characters"),
        (OLLAMA | {"LLM_TEMPERATURE": "hot"}, "LLM_TEMPERATURE: input should be a valid number"),
    ],
)
def test_a_wrong_setting_names_the_variable_and_the_remedy(
    environ: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Settings.from_env(environ)


def test_the_packaged_model_answers_after_the_rules() -> None:
    settings = Settings.from_env({"LLM_MODEL": "embedded"})
    assert settings.has_embedded_language_model
    assert settings.session_options().language_model is None
    options = settings.session_options(embedded_base_url="http://127.0.0.1:9/v1")
    assert options.language_model is not None
    assert options.language_model.rules == "first"


def test_options_cross_the_pipe_and_the_header_with_their_keys() -> None:
    settings = Settings.from_env(OLLAMA | {"LLM_API_KEY": "sk-1", "STT_MODEL_DIR": "/models"})
    options = settings.local_model_options(secret=SecretStr("s" * 20))
    assert ProcessOptions.model_validate_json(options.to_json()) == options
    assert decode_options(encode_options(options.session)) == options.session
    assert "sk-1" not in options.model_dump_json()


def test_the_api_key_is_the_secret_of_options_too() -> None:
    settings = Settings.from_env({"LOCAL_MODEL_API_KEY": "k" * 20})
    options = settings.local_model_options(secret=SecretStr("s" * 20))
    assert options.options_secret == options.api_key == SecretStr("k" * 20)


@pytest.mark.parametrize("text", ["", "é", "e30", "bnVsbA==", "W10=", json.dumps({})])
def test_a_header_that_holds_no_options_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|: "):
        decode_options(text)


def test_a_refused_option_is_named_but_not_repeated() -> None:
    import base64

    text = base64.urlsafe_b64encode(b'{"voice": {"engin": "sk-secret"}}').decode()
    with pytest.raises(ValueError, match=r"^voice\.engin: ") as caught:
        decode_options(text)
    assert "sk-secret" not in str(caught.value)
