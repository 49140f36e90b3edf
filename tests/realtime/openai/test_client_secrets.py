"""Ephemeral keys, asked of a server over HTTP and used to open a session."""

from __future__ import annotations

import pytest

from realtime.model import ModelConnectError, RealtimeModelConfig
from realtime.openai.client_secrets import client_secret_key, create_client_secret
from realtime.providers import create_model
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults


@pytest.mark.asyncio
async def test_an_ephemeral_key_opens_a_session_in_place_of_the_real_one() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key="real")) as server:
        key = client_secret_key(server.uri, "real", ttl_s=60, session={"type": "realtime"})
        for _ in range(2):
            model = create_model("openai")
            await model.connect(RealtimeModelConfig("m", server.uri, key))
            await model.close()
        assert len(server.ephemeral_keys) == 2


@pytest.mark.asyncio
async def test_a_refusal_says_why_without_the_key() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key="real")) as server:
        model = create_model("openai")
        key = client_secret_key(server.uri, "wrong-secret")
        with pytest.raises(ModelConnectError) as caught:
            await model.connect(RealtimeModelConfig("m", server.uri, key))
        assert (caught.value.code, caught.value.is_retryable) == ("invalid_api_key", False)
        assert "wrong-secret" not in str(caught.value)
        uri = server.uri
    with pytest.raises(ModelConnectError) as caught:
        await create_client_secret(uri, "real")
    assert (caught.value.code, caught.value.is_retryable) == ("unreachable", True)


@pytest.mark.asyncio
@pytest.mark.parametrize("ttl_s", [9, 7201])
async def test_a_lifetime_out_of_bounds_is_refused(ttl_s: int) -> None:
    with pytest.raises(ValueError, match="ttl_s must be 10 to 7200"):
        await create_client_secret("ws://127.0.0.1:1", "k", ttl_s=ttl_s)
