"""From settings to a provider, and clear words about what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from config import Settings
from provider_config import ProviderConfigError, provider_config

KEYS = {
    "OPENAI_API_KEY": "sk-1",
    "AZURE_OPENAI_API_KEY": "az-1",
    "AZURE_OPENAI_DEPLOYMENT": "voice",
    "AZURE_OPENAI_BASE_URI": "wss://me.openai.azure.com",
    "OPENAI_BETA_API_KEY": "b-1",
    "OPENAI_BETA_MODEL": "old",
    "OPENAI_BETA_BASE_URI": "ws://127.0.0.1:9",
    "DASHSCOPE_API_KEY": "ds-1",
    "GEMINI_API_KEY": "g-1",
}


def reached(name: str, **environ: str) -> Any:
    return provider_config(Settings.from_env(KEYS | environ), name, local_uri="ws://127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "model", "base_uri", "key"),
    [
        ("local", "parley-local", "ws://127.0.0.1:1", None),
        ("openai", "gpt-realtime-2.1", "wss://api.openai.com", "sk-1"),
        ("azure", "voice", "wss://me.openai.azure.com", "az-1"),
        ("openai-beta", "old", "ws://127.0.0.1:9", "b-1"),
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


def test_the_local_model_is_one_model() -> None:
    settings = Settings.from_env({})
    for name in (None, "local", "parley-local"):
        config = provider_config(settings, "local", local_uri="ws://127.0.0.1:1", model=name)
        assert config.model == "parley-local"
    with pytest.raises(ProviderConfigError, match="model: the local server has one model"):
        provider_config(settings, "local", local_uri="ws://127.0.0.1:1", model="gpt-realtime")


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
    with pytest.raises(ProviderConfigError, match=words) as caught:
        reached(name, **environ)
    assert caught.value.code == code
