"""GET /options, GET /status and the tests of providers, over a real socket."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from config.settings import Settings
from control.api.providers import CHECK_BURST
from control.api.schemas import StartAgentRequest
from control.api.start_fields import fields_of
from tests.control.served_api import SECRET, serve_api

KEY = "sk-that-nobody-sees"


def test_every_field_of_a_start_is_described_for_a_form() -> None:
    fields = {one.name: one for one in fields_of(StartAgentRequest, {"provider": ["local"]})}
    assert list(fields) == list(StartAgentRequest.model_fields)
    kinds = {name: one.kind for name, one in fields.items()}
    assert kinds["channel_name"] == kinds["provider"] == "text"
    assert kinds["instructions"] == "long_text"
    assert kinds["recording"] == "boolean"
    assert kinds["max_tokens"] == "integer"
    assert kinds["max_cost"] == "number"
    assert kinds["model_settings"] == kinds["tool_results_from"] == "json"
    assert fields["channel_name"].is_required
    assert fields["provider"].choices == ["local"]
    assert (kinds["show_tools"], fields["show_tools"].choices) == (
        "choice",
        ["none", "names", "full"],
    )
    assert fields["user_wait_s"].default == 30.0


@pytest.mark.asyncio
async def test_providers_are_shown_without_their_keys() -> None:
    settings = Settings(
        local_model_uri="ws://127.0.0.1:9",
        model_provider="gemini",
        gemini_api_key=SecretStr(KEY),
        mcp_servers="files=no-such-program --key k1\nshop=https://127.0.0.1:9/?token=k2",  # type: ignore[arg-type]
    )
    async with serve_api(settings) as api:
        answer = await api.get("/options")
        text = await answer.text()
        options = await answer.json()
    assert not [secret for secret in (KEY, "k1", "k2", "127.0.0.1:9/?") if secret in text]
    providers = {one["name"]: one for one in options["providers"]}
    assert options["providers"][0]["name"] == "gemini"
    assert (providers["gemini"]["is_configured"], providers["gemini"]["key"]) == (True, "set")
    azure = providers["azure"]
    assert (azure["is_configured"], azure["key"]) == (False, "missing")
    assert azure["missing"] == [
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_DEPLOYMENT",
        "AZURE_OPENAI_BASE_URI",
    ]
    assert [one["name"] for one in options["toolsets"]] == ["everyday", "mcp:files", "mcp:shop"]
    assert [(one["name"], one["state"]) for one in options["mcp_servers"]] == [
        ("files", "not_found"),
        ("shop", "configured"),
    ]


@pytest.mark.asyncio
async def test_checks_name_what_is_missing_and_are_limited() -> None:
    # Nothing listens there: the session is refused at once.
    settings = Settings(
        local_model_uri="ws://127.0.0.1:9",
        openai_api_key=SecretStr(KEY),
        realtime_api_base_uri="ws://127.0.0.1:9",
    )
    async with serve_api(settings) as api:
        missing = await (await api.post("/providers/xai/check")).json()
        assert (missing["is_ok"], missing["code"]) == (False, "missing_api_key")
        assert "XAI_API_KEY" in missing["text"]
        assert (await api.post("/providers/nobody/check")).status == 404
        assert (await api.post("/mcp_servers/nobody/check")).status == 404
        assert (await api.post("/providers/No%20body/check")).status == 400
        refused = await (await api.post("/providers/openai/check")).json()
        assert (refused["is_ok"], refused["code"]) == (False, "unreachable")
        assert "nothing listens there" in refused["text"]
        api.handlers.providers._checks.charge(CHECK_BURST)
        limited = await api.post("/providers/openai/check")
        assert (limited.status, (await limited.json())["code"]) == (429, "too_many_checks")
        assert int(limited.headers["Retry-After"]) > 0


@pytest.mark.asyncio
async def test_only_an_admin_of_all_teams_sees_the_status() -> None:
    settings = Settings(
        local_model_uri="ws://127.0.0.1:9",
        api_keys=(SecretStr(KEY),),
        room_token_secret=SecretStr(SECRET),
    )
    async with serve_api(settings) as api:
        assert (await api.get("/status")).status == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        await api.post("/start_agent", json={"channel_name": "demo", "uid": 7}, headers=headers)
        status = await (await api.get("/status", headers=headers)).json()
    assert [one["channel_name"] for one in status["agents"]] == ["demo"]
    assert status["agents"][0]["turns"]["count"] == 0
    assert status["capacity"]["has_room"]
    assert status["providers"][0]["state"] == "unused"
