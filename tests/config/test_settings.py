"""Settings from the environment."""

from __future__ import annotations

import subprocess

import pytest
from pydantic import SecretStr

from config.agent import AgentConfig
from config.problems import near_misses
from config.providers import ProviderConfig
from config.settings import ConfigError, Settings
from rtc.identifiers import is_channel_name

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
        ("REALTIME_API_BASE_URI", "ws://host/path?query"),
        ("REALTIME_API_BASE_URI", "ws://host/#part"),
        ("REALTIME_API_BASE_URI", "ws://host/a b"),
        ("RECONNECT_BASE_DELAY_S", "0"),
        ("RECONNECT_MAX_ATTEMPTS", "0"),
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
        ("API_KEYS", "short"),
        ("API_KEYS", f"{SECRET},short"),
        ("API_KEYS", "with a blank in it, which no header carries"),
        ("API_KEYS", "gr\u00fcn" * 9),
        ("METRICS_TOKEN", "short"),
        ("ROOM_TOKEN_OLD_SECRETS", f"{SECRET},short"),
        ("WEBHOOK_SECRET", "short"),
        ("WEBHOOK_SECRET", "whsec_short"),
        ("WEBHOOK_URL", "ftp://example.org"),
        ("WEBHOOK_EVENTS", "agent.exited,call.everything"),
        ("WEBHOOK_URL", "https://example.org"),
        ("WEBHOOK_URL", "https://example.org:99999/short"),
        ("WEBHOOK_URL", "https://[::1/short"),
        ("WEBHOOK_URL", "https:///short"),
        ("STORE_URL", "mysql://me:short@host/db"),
        ("REALTIME_API_BASE_URI", "wss://host:99999"),
        ("REALTIME_API_BASE_URI", "wss://:80"),
        ("LOCAL_MODEL_URI", "ws://[::1"),
        ("GEMINI_BASE_URI", "ws://host:port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://host:99999"),
        ("OPENAI_API_KEY", "short\nshort"),
        ("GEMINI_API_KEY", "short\u00e9"),
        ("AZURE_OPENAI_API_KEY", "short short"),
        ("RETENTION_DAYS", "inf"),
        ("RETENTION_DAYS", "1e300"),
        ("RETENTION_CALLS", "9" * 23),
        ("MAX_DURATION_S", "inf"),
        ("MAX_COST", "1e400"),
        ("AGENT_UNRESPONSIVE_S", "nan"),
        ("DRAIN_DEADLINE_S", "Infinity"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Settings.from_env({name: value})
    assert "short" not in str(caught.value).replace("shorter", "")


def test_all_wrong_settings_are_told_at_once_each_with_its_remedy() -> None:
    environ = {
        "API_KEYS": "k",
        "METRICS_TOKEN": "m",
        "ROOM_TOKEN_SECRET": "r" * 31,
        "SERVER_PORT": "eighty",
        "LOG_LEVEL": "LOUD",
        "STORE_URL": "mysql://me:short@host/db",
        "WEBHOOK_URL": "https://example.org",
        # Wrong itself, so nothing is said of it being missing.
        "TURN_URLS": "turn:example.org",
        "TURN_SECRET": "t",
    }
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(environ)
    first, *lines = str(caught.value).splitlines()
    assert first == "8 settings are wrong:"
    told = dict(line.strip().split(": ", 1) for line in lines)
    assert set(told) == {
        "API_KEYS, number 1",
        *("METRICS_TOKEN", "ROOM_TOKEN_SECRET", "SERVER_PORT", "LOG_LEVEL", "WEBHOOK_URL"),
        *("TURN_SECRET", "STORE_URL"),
    }
    assert "has 31 characters, a secret needs 32 or more" in told["ROOM_TOKEN_SECRET"]
    for name in ("API_KEYS, number 1", "METRICS_TOKEN", "ROOM_TOKEN_SECRET", "TURN_SECRET"):
        command = told[name].partition("make one with: ")[2]
        made = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        assert Settings.from_env({"API_KEYS": made.stdout}).api_keys
    assert told["SERVER_PORT"].endswith("without it, it is 8080")
    assert "WEBHOOK_SECRET" in told["WEBHOOK_URL"]


@pytest.mark.parametrize("length", [1, 15, 16, 40])
@pytest.mark.parametrize("name", ["API_KEYS", "METRICS_TOKEN", "TURN_SECRET"])
def test_secrets_have_sixteen_characters(name: str, length: int) -> None:
    environ = {name: "s" * length}
    if length >= 16:
        assert Settings.from_env(environ) != Settings()
    else:
        with pytest.raises(ConfigError, match=f"{name}.*has {length} characters.*16 or more"):
            Settings.from_env(environ)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_AGENT", "MAX_AGENTS"),
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("API_KEY", "API_KEYS"),
        ("max_agents", "MAX_AGENTS"),
        ("PARLEY_MAX_AGENTS", "MAX_AGENTS"),
        ("STORE_URI", "STORE_URL"),
        ("TURN_URL", "TURN_URLS"),
        ("RETENTION_DAY", "RETENTION_DAYS"),
        ("RECORDING_DIR", "RECORDINGS_DIR"),
        ("MODEL_PROVDER", "MODEL_PROVIDER"),
        ("ROOM_TOKENS_SECRET", "ROOM_TOKEN_SECRET"),
        ("DRAIN_DEADLINE", "DRAIN_DEADLINE_S"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_named(name: str, meant: str) -> None:
    (line,) = near_misses({name: "my value", "PATH": "/bin"}, Settings.model_fields)
    assert line == f"{name} is no setting, and not read: is {meant} meant?"
    # Whoever has both knows what they do.
    assert not [*near_misses({name: "x", meant: "y"}, Settings.model_fields)]


def test_variables_of_others_are_none_of_our_business() -> None:
    ours = dict.fromkeys((name.upper() for name in Settings.model_fields), "x")
    others = (
        *("PATH", "HOME", "LANG", "TERM", "SHELL", "USER", "PWD", "SHLVL", "HOSTNAME", "DEBUG"),
        *("HTTPS_PROXY", "NO_PROXY", "GOOGLE_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID"),
        *("PYTHONPATH", "VIRTUAL_ENV", "XDG_DATA_DIRS", "SSL_CERT_FILE", "OMP_NUM_THREADS"),
        *("KUBERNETES_SERVICE_HOST", "AWS_REGION", "DATABASE_URL", "PORT", "LOGNAME", "LC_ALL"),
    )
    assert not [*near_misses(dict.fromkeys(others, "x"), Settings.model_fields)]
    assert not [*near_misses(ours, Settings.model_fields)]


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
            name="openai",
            model="m",
            base_uri="wss://x",
            api_key=SecretStr("k"),
            api_key_command=("print-key", "-q"),
            headers={"X-Team": SecretStr("v")},
        ),
        fallback=ProviderConfig(
            name="gemini", model="g", base_uri="wss://y", api_key=SecretStr("k2")
        ),
    )
    assert AgentConfig.model_validate(config.to_json()) == config
    assert "'k'" not in repr(config)
    assert "'v'" not in repr(config)
