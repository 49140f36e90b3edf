"""From the configuration of an agent to its provider: address, headers, and what gives the key."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import SecretStr

from config.agent import AgentConfig
from config.providers import ProviderConfig
from realtime.api_keys import resolve_key
from realtime.gemini.google_credentials import GoogleCredentials
from realtime.model import RealtimeModelConfig
from session.model_setup import create_resilient_model, opening_config
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults
from tests.session.running import CAPABILITIES
from tools import ToolContext

LOG = logging.getLogger("tests.session")


def agent(**provider: Any) -> AgentConfig:
    values: dict[str, Any] = {"name": "openai", "model": "m", "base_uri": "ws://127.0.0.1:9"}
    return AgentConfig(
        agent_id="a1",
        channel_name="demo",
        uid=1000,
        room_url="http://127.0.0.1:9",
        provider=ProviderConfig(**(values | provider)),
    )


def opened(config: AgentConfig) -> RealtimeModelConfig:
    return opening_config(config, CAPABILITIES, ToolContext(), LOG)


@pytest.mark.asyncio
async def test_a_function_goes_before_a_program_and_a_program_before_a_key() -> None:
    key: dict[str, Any] = {"api_key": SecretStr("fixed")}
    assert await resolve_key(opened(agent(**key)).api_key) == "fixed"
    key["api_key_command"] = ("echo", "printed")
    assert await resolve_key(opened(agent(**key)).api_key) == "printed"
    key["api_key_function"] = lambda: "made"
    assert await resolve_key(opened(agent(**key)).api_key) == "made"
    assert isinstance(opened(agent(has_google_credentials=True)).api_key, GoogleCredentials)


@pytest.mark.asyncio
async def test_headers_and_a_prefix_reach_the_server() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key="printed")) as server:
        config = agent(
            base_uri=f"{server.uri}/v1",
            api_key_command=("echo", "printed"),
            headers={"X-Team": SecretStr("voice")},
        )
        model = create_resilient_model(config)
        await model.connect(opened(config))
        await server.next_session()
        assert server.asked_headers[0]["X-Team"] == "voice"
        await model.close()
