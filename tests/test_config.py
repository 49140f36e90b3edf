"""Settings from the environment."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from config import AgentConfig, ConfigError, ProviderConfig, Settings, is_channel_name

SECRET = "s" * 32


def test_an_empty_environment_is_enough() -> None:
    settings = Settings.from_env({"OPENAI_API_KEY": "  "})
    assert settings == Settings()
    assert settings.model_provider == "local"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVER_PORT", "eighty"),
        ("SERVER_PORT", "70000"),
        ("MODEL_PROVIDER", "siri"),
        ("REALTIME_API_BASE_URI", "https://api.openai.com"),
        ("REALTIME_API_BASE_URI", "ws://host/path"),
        ("ROOM_TOKEN_SECRET", "short"),
        ("OPUS_BITRATE_BPS", "300"),
        ("OPUS_COMPLEXITY", "11"),
        ("OPUS_EXPECTED_LOSS_PERCENT", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("VERBOSE", "maybe"),
        ("MEDIA_BIND_ADDRESS", "eth0"),
        ("MEDIA_ADVERTISED_ADDRESS", "example.org"),
        ("MEDIA_PORTS", "40000"),
        ("MEDIA_PORTS", "80-90"),
        ("MEDIA_PORTS", "40010-40000"),
        ("STUN_URLS", "turn:example.org"),
        ("STUN_URLS", "stun.example.org"),
        ("TURN_URLS", "turn:example.org"),
        ("TURN_URLS", "stun:example.org"),
        ("TURN_SECRET", "short"),
        ("TURN_CREDENTIAL_TTL_S", "5"),
        ("MEDIA_RELAY_ONLY", "1"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Settings.from_env({name: value})
    assert "short" not in str(caught.value).replace("shorter", "")


def test_several_keys_while_rotating() -> None:
    old, new = "o" * 16, "n" * 16
    settings = Settings.from_env({"API_KEYS": f"{old}, {new},"})
    assert [key.get_secret_value() for key in settings.api_keys] == [old, new]


def test_secrets_are_masked_when_printed() -> None:
    settings = Settings.from_env({"OPENAI_API_KEY": "sk-1", "ROOM_TOKEN_SECRET": SECRET})
    assert "sk-1" not in repr(settings)
    assert SECRET not in repr(settings)


def test_media_goes_where_the_settings_say() -> None:
    environ = {
        "MEDIA_BIND_ADDRESS": "192.0.2.1",
        "MEDIA_PORTS": "40000-40099",
        "MEDIA_ADVERTISED_ADDRESS": "203.0.113.7",
        "STUN_URLS": "stun:a, stun:b:99",
        "TURN_URLS": "turn:c?transport=tcp,turns:d",
        "TURN_SECRET": SECRET,
    }
    settings = Settings.from_env(environ)
    network = settings.media_network
    assert (network.bind_address, network.ports) == ("192.0.2.1", (40_000, 40_099))
    assert network.advertised_address == "203.0.113.7"
    assert settings.stun_urls == ("stun:a", "stun:b:99")
    assert settings.turn_urls == ("turn:c?transport=tcp", "turns:d")
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_is_always_safe(host: str) -> None:
    Settings().require_safe_bind(host)


def test_other_hosts_need_both_credentials() -> None:
    for environ in ({}, {"API_KEYS": SECRET}, {"ROOM_TOKEN_SECRET": SECRET}):
        with pytest.raises(ConfigError, match="API_KEYS"):
            Settings.from_env(environ).require_safe_bind("0.0.0.0")
    both = {"API_KEYS": SECRET, "ROOM_TOKEN_SECRET": SECRET}
    Settings.from_env(both).require_safe_bind("0.0.0.0")


@pytest.mark.parametrize("name", ["a", "Room_1.b-c", "x" * 64])
def test_safe_channel_names(name: str) -> None:
    assert is_channel_name(name)


@pytest.mark.parametrize("name", ["", "-a", "../x", "a/b", "a b", "ä", "x" * 65, "a\n"])
def test_unsafe_channel_names(name: str) -> None:
    assert not is_channel_name(name)


def test_an_agent_configuration_survives_its_link_with_secrets() -> None:
    config = AgentConfig(
        agent_id="a",
        channel_name="c",
        uid=7,
        room_url="http://127.0.0.1:1",
        room_token=SecretStr("t"),
        provider=ProviderConfig(
            name="openai", model="m", base_uri="wss://x", api_key=SecretStr("k")
        ),
        fallback=ProviderConfig(
            name="gemini", model="g", base_uri="wss://y", api_key=SecretStr("k2")
        ),
    )
    assert AgentConfig.model_validate(config.to_json()) == config
    assert "'k'" not in repr(config)
