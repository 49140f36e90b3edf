"""From settings to a provider, and clear words about what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from config.local_model import LocalModelAddress
from config.provider_settings import CUSTOM_FIELDS, provider_fields
from config.providers import provider_config
from config.settings import AgentConfigError, ConfigError, Settings
from realtime.capabilities import capabilities_of
from realtime.providers import _FACTORIES

KEYS = {
    "OPENAI_API_KEY": "sk-1",
    "AZURE_OPENAI_API_KEY": "az-1",
    "AZURE_OPENAI_DEPLOYMENT": "voice",
    "AZURE_OPENAI_BASE_URI": "wss://me.openai.azure.com",
    "OPENAI_BETA_API_KEY": "b-1",
    "OPENAI_BETA_MODEL": "old",
    "OPENAI_BETA_BASE_URI": "ws://127.0.0.1:9",
    "OPENAI_COMPATIBLE_MODEL": "pipeline",
    "OPENAI_COMPATIBLE_BASE_URI": "ws://127.0.0.1:8080/voice",
    "XAI_API_KEY": "x-1",
    "DASHSCOPE_API_KEY": "ds-1",
    "GEMINI_API_KEY": "g-1",
}


def reached(name: str, **environ: str) -> Any:
    return provider_config(
        Settings.from_env(KEYS | environ), name, local_model=LocalModelAddress("ws://127.0.0.1:1")
    )


@pytest.mark.parametrize(
    ("name", "model", "base_uri", "key"),
    [
        ("local", "parley-local", "ws://127.0.0.1:1", None),
        ("openai", "gpt-realtime-2.1", "wss://api.openai.com", "sk-1"),
        ("azure", "voice", "wss://me.openai.azure.com", "az-1"),
        ("openai-beta", "old", "ws://127.0.0.1:9", "b-1"),
        ("openai-compatible", "pipeline", "ws://127.0.0.1:8080/voice", None),
        ("xai", "grok-voice-latest", "wss://api.x.ai", "x-1"),
        ("dashscope", "qwen3.5-omni-flash-realtime", "wss://dashscope-intl.aliyuncs.com", "ds-1"),
        ("gemini", "gemini-3.8-live", "wss://generativelanguage.googleapis.com", "g-1"),
    ],
)
def test_every_provider_has_settings_of_its_own(
    name: str, model: str, base_uri: str, key: str | None
) -> None:
    config = reached(name)
    assert (config.name, config.model, config.base_uri) == (name, model, base_uri)
    assert (config.api_key.get_secret_value() if config.api_key else None) == key


def test_every_provider_of_the_project_can_be_set_up() -> None:
    assert {name for name in _FACTORIES if provider_fields(name) is CUSTOM_FIELDS} == {"local"}
    for name in _FACTORIES:
        assert reached(name).name == name
        assert capabilities_of(name).output_sample_rate_hz
    assert provider_fields("acme") is CUSTOM_FIELDS


def test_the_local_model_is_one_model() -> None:
    settings = Settings.from_env({})
    for name in (None, "local", "parley-local"):
        config = provider_config(
            settings, "local", local_model=LocalModelAddress("ws://127.0.0.1:1"), model=name
        )
        assert config.model == "parley-local"
    with pytest.raises(AgentConfigError, match="model: the local server has one model"):
        provider_config(
            settings,
            "local",
            local_model=LocalModelAddress("ws://127.0.0.1:1"),
            model="gpt-realtime",
        )


def test_a_dated_azure_version_goes_into_the_query() -> None:
    assert reached("azure").query == {}
    config = reached("azure", AZURE_OPENAI_API_VERSION="2025-04-01-preview")
    assert config.query == {"api-version": "2025-04-01-preview"}


def test_a_provider_of_the_users_own_is_named_by_the_server_alone() -> None:
    config = reached(
        "acme",
        PROVIDER_FACTORIES="other=x:y, acme=acme_voice.realtime:create",
        CUSTOM_PROVIDER_MODEL="acme-1",
        CUSTOM_PROVIDER_BASE_URI="wss://acme.example",
    )
    assert (config.factory, config.model) == ("acme_voice.realtime:create", "acme-1")


@pytest.mark.parametrize(
    ("name", "environ", "code", "words"),
    [
        ("openai", {"OPENAI_API_KEY": ""}, "missing_api_key", "OPENAI_API_KEY: set it"),
        ("azure", {"AZURE_OPENAI_BASE_URI": ""}, "provider_not_configured", "AZURE_OPENAI_BASE_"),
        ("nobody", {}, "unknown_provider", "known are: azure, dashscope"),
        ("acme", {"PROVIDER_FACTORIES": "acme=os"}, "provider_not_configured", "is not name="),
        ("acme", {"PROVIDER_FACTORIES": "acme=a:b"}, "provider_not_configured", "CUSTOM_PROVIDER"),
    ],
)
def test_what_is_missing_is_named(
    name: str, environ: dict[str, str], code: str, words: str
) -> None:
    with pytest.raises(AgentConfigError, match=words) as caught:
        reached(name, **environ)
    assert caught.value.code == code


@pytest.mark.parametrize("name", [name for name in _FACTORIES if name != "local"])
def test_a_program_may_give_the_key_and_headers_may_be_added(name: str) -> None:
    fields = provider_fields(name)
    environ = {
        fields.api_key.upper(): "",
        fields.api_key_command.upper(): "print-key --for 'my voice'",
        fields.headers.upper(): "X-Team=voice; X-Trace = a b=c ;",
        "API_KEY_COMMAND_TTL_S": "60",
    }
    config = reached(name, **environ)
    assert config.api_key is None
    assert (config.api_key_command, config.api_key_ttl_s) == (
        ("print-key", "--for", "my voice"),
        60.0,
    )
    shown = {header: value.get_secret_value() for header, value in config.headers.items()}
    assert shown == {"X-Team": "voice", "X-Trace": "a b=c"}
    assert "a b=c" not in repr(config)


def test_googles_credentials_take_the_place_of_a_key() -> None:
    assert reached("gemini", GEMINI_API_KEY="", GEMINI_CREDENTIALS="adc").has_google_credentials
    assert not reached("openai", GEMINI_API_KEY="", GEMINI_CREDENTIALS="adc").has_google_credentials


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OPENAI_API_KEY_COMMAND": "x"}, "OPENAI_API_KEY: set it or OPENAI_API_KEY_COMMAND"),
        ({"GEMINI_CREDENTIALS": "adc"}, "GEMINI_CREDENTIALS: adc needs no GEMINI_API_KEY"),
        ({"XAI_API_KEY_COMMAND": "'open"}, "XAI_API_KEY_COMMAND: a program and its arguments"),
        ({"XAI_API_KEY_COMMAND": "''"}, "XAI_API_KEY_COMMAND: a program and its arguments"),
        ({"XAI_HEADERS": "voice"}, "XAI_HEADERS: voice: its value is visible ASCII"),
        ({"XAI_HEADERS": "a b=c"}, "XAI_HEADERS: Name=value pairs"),
        ({"XAI_HEADERS": "A=sk-\u00e9"}, "XAI_HEADERS: A: its value is visible ASCII"),
        ({"XAI_HEADERS": "A=b;a=c"}, "XAI_HEADERS: at most 32 headers, each once"),
        ({"XAI_HEADERS": "Host=x"}, "XAI_HEADERS: Host: the handshake sets it"),
        ({"XAI_HEADERS": "Sec-WebSocket-Key=x"}, "the handshake sets it"),
        ({"XAI_HEADERS": ";".join(f"H{n}=x" for n in range(33))}, "at most 32 headers"),
    ],
)
def test_what_contradicts_itself_or_is_no_header_is_refused(
    environ: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(KEYS | environ)
    assert words in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_a_function_of_this_process_gives_the_key_and_crosses_no_link() -> None:
    config = reached("openai").model_copy(update={"api_key_function": lambda: "k"})
    assert "api_key_function" not in config.model_dump()
    assert config.api_key_function() == "k"
