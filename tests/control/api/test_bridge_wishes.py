"""What of a first message's wishes becomes part of a start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from control.api.bridge_access import Rights
from control.api.bridge_wishes import granted
from tests.control.served_api import serve_api

OWNER = Rights(is_owner=True, may_start=True)
GUEST = Rights(is_owner=False, may_start=True)
SETTINGS = Settings(
    model_provider="openai",
    openai_api_key=SecretStr("sk-test"),
    gemini_api_key=SecretStr("g-test"),
    local_model_uri="ws://127.0.0.1:9",
)


def find_model(provider: str | None, model: str | None) -> tuple[str, str] | None:
    served = ("openai", "gpt-realtime")
    return served if provider in (None, "openai") and model in (None, "gpt-realtime") else None


@pytest.mark.parametrize(
    ("wishes", "access", "fields"),
    [
        ({"voice": "v", "instructions": "x"}, OWNER, {"voice": "v", "instructions": "x"}),
        ({"voice": "v", "instructions": "x"}, GUEST, {"voice": "v"}),
        (
            {"model": "gpt-realtime", "voice": "v"},
            OWNER,
            {"provider": "openai", "model": "gpt-realtime", "voice": "v"},
        ),
        ({"model": "gpt-realtime", "voice": "v"}, GUEST, {"voice": "v"}),
        ({"model": "gemini", "voice": "Puck", "name": "n"}, OWNER, {"name": "n"}),
        ({"provider": "openai"}, OWNER, {"provider": "openai", "model": "gpt-realtime"}),
        ({"provider": "dashscope"}, OWNER, {}),
        ({}, OWNER, {}),
    ],
)
def test_what_counts(wishes: dict[str, Any], access: Rights, fields: dict[str, Any]) -> None:
    assert granted(wishes, access, find_model) == fields


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("first", "provider"),
    [
        ({"model": "gemini"}, "openai"),
        ({"model": SETTINGS.gemini_model}, "gemini"),
        ({"model": SETTINGS.openai_model}, "openai"),
        ({"model": "parley-local"}, "local"),
    ],
)
async def test_a_model_of_the_settings_chooses_its_provider(
    first: dict[str, Any], provider: str
) -> None:
    async with serve_api(SETTINGS) as api, api.ws_connect("/v1/graph/live") as socket:
        await socket.send_json(first)
        # The placement of these tests starts agents, and hands nothing on to them.
        await socket.receive()
        (config,) = api.placement.configs.values()
        assert config.provider.name == provider


@pytest.mark.asyncio
async def test_a_server_without_a_model_is_not_live() -> None:
    settings = Settings(model_provider="openai", local_model_uri="ws://127.0.0.1:9")
    async with serve_api(settings) as api, api.ws_connect("/v1/graph/live") as socket:
        await socket.send_json({})
        error = json.loads((await socket.receive()).data)
        assert (error["type"], error["code"], error["fatal"]) == ("error", "not_live", True)
        await socket.receive()
        assert socket.close_code == 1008
