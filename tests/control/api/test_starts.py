"""From a request and the settings to an agent: who takes over when the provider is down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.agent import AgentConfig
from config.settings import ConfigError, Settings
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from control.http.errors import ApiError
from conversation.limits import CallLimits

ENVIRON = {
    "MODEL_PROVIDER": "openai",
    "OPENAI_API_KEY": "sk-1",
    "LOCAL_MODEL_URI": "ws://127.0.0.1:9",
}


def configured(provider: str | None = None, **environ: str) -> str | None:
    """The name of the fallback."""
    settings = Settings.from_env(ENVIRON | environ)
    wanted = StartAgentRequest(channel_name="demo", uid=7, provider=provider)
    config, _ = AgentConfigurator(settings, "http://127.0.0.1:1", None).configure(wanted)
    return None if config.fallback is None else config.fallback.name


def test_a_fallback_is_named_by_the_server() -> None:
    assert configured() is None
    assert configured(FALLBACK_PROVIDER="local") == "local"


def test_no_provider_takes_over_from_itself() -> None:
    assert configured(FALLBACK_PROVIDER="openai") is None
    assert configured("local", FALLBACK_PROVIDER="openai") == "openai"


def test_an_unconfigured_fallback_refuses_the_start() -> None:
    with pytest.raises(ApiError) as caught:
        configured(FALLBACK_PROVIDER="gemini")
    assert caught.value.code == "missing_api_key"
    assert "GEMINI_API_KEY" in str(caught.value)


def test_media_goes_where_the_server_says() -> None:
    settings = Settings.from_env(ENVIRON | {"MEDIA_PORTS": "40000-40009"})
    wanted = StartAgentRequest(channel_name="demo", uid=7)
    config, _ = AgentConfigurator(settings, "http://127.0.0.1:1", None).configure(wanted)
    assert config.media.ports == (40_000, 40_009)
    assert AgentConfig.model_validate(config.to_json()).media == config.media


def test_names_of_handing_over_are_the_servers(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    path.write_text('[{"name": "bills", "description": "Bills.", "instructions": "Be exact."}]')
    settings = Settings.from_env(ENVIRON | {"AGENTS_FILE": str(path)})
    configurator = AgentConfigurator(settings, "http://127.0.0.1:1", None)

    def wanted(name: str) -> StartAgentRequest:
        return StartAgentRequest.model_validate(
            {"channel_name": "demo", "uid": 7, "tools": [{"name": name}]}
        )

    config, _ = configurator.configure(wanted("open_door"))
    assert [agent.name for agent in config.agents] == ["bills"]
    with pytest.raises(ApiError, match="transfer_to_"):
        configurator.configure(wanted("transfer_to_bills"))


def limited(environ: dict[str, str], **wanted: Any) -> AgentConfig:
    settings = Settings.from_env(ENVIRON | environ)
    request = StartAgentRequest.model_validate({"channel_name": "demo", "uid": 7} | wanted)
    return AgentConfigurator(settings, "http://127.0.0.1:1", None).configure(request)[0]


PRICES = {"MODEL_PRICES": "gpt-realtime-2.1=input:4,output:16;other=input:1"}


def test_a_start_may_ask_for_less_than_the_server_allows_and_not_for_more() -> None:
    server = {
        "MAX_DURATION_S": "600",
        "IDLE_TIMEOUT_S": "60",
        "MAX_TOKENS": "1000",
        "MAX_COST": "2.5",
        "GOODBYE": "Bye.",
    }
    config = limited(server | PRICES)
    assert (config.max_duration_s, config.goodbye) == (600, "Bye.")
    limits = config.limits
    assert (limits.idle_timeout_s, limits.max_tokens, limits.max_cost) == (60, 1000, 2.5)
    assert [price.model for price in limits.prices] == ["gpt-realtime-2.1"]
    less = limited(
        server | PRICES, max_duration_s=30, idle_timeout_s=5, max_tokens=10, goodbye="So long."
    )
    assert (less.max_duration_s, less.goodbye) == (30, "So long.")
    assert (less.limits.idle_timeout_s, less.limits.max_tokens) == (5, 10)
    more = limited(server | PRICES, max_duration_s=3000, max_cost=99)
    assert (more.max_duration_s, more.limits.max_cost) == (600, 2.5)
    free = limited({})
    assert (free.max_duration_s, free.goodbye, free.limits) == (None, None, CallLimits())


def test_a_cost_limit_without_a_price_refuses_the_start() -> None:
    with pytest.raises(ApiError, match=r"no price for gpt-realtime-2.1") as caught:
        limited({}, max_cost=1)
    assert (caught.value.status, caught.value.code) == (400, "no_price")
    with pytest.raises(ApiError, match="no price for parley-local"):
        limited(PRICES | {"FALLBACK_PROVIDER": "local"}, max_cost=1)


def test_a_recording_needs_a_folder_of_the_server(tmp_path: Path) -> None:
    wanted = StartAgentRequest(channel_name="demo", uid=7, recording=True)

    def folder(**environ: str) -> Path | None:
        settings = Settings.from_env(ENVIRON | environ)
        configurator = AgentConfigurator(settings, "http://127.0.0.1:1", None)
        assert (
            configurator.configure(wanted.model_copy(update={"recording": False}))[0].recordings_dir
            is None
        )
        return configurator.configure(wanted)[0].recordings_dir

    assert folder(RECORDINGS_DIR=str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    with pytest.raises(ApiError, match="RECORDINGS_DIR") as caught:
        folder()
    assert (caught.value.status, caught.value.code) == (400, "recording_unavailable")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="RECORDINGS_DIR"):
        folder(RECORDINGS_DIR=str(tmp_path / "file"))
