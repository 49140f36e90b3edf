"""Azure by both of its addresses, and servers that speak the beta dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime import events as ours
from realtime.model import (
    ModelConnectError,
    ModelSettings,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.openai.endpoint import api_key_or_token
from realtime.providers import create_model
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults, tone
from tests.fakes.openai_vocabulary import BETA, GA
from tests.realtime.calls import Call

PREVIEW = {"api-version": "2025-04-01-preview"}
WAYS = {
    "azure": ("azure", {}),
    "preview": ("azure", PREVIEW),
    "beta": ("openai-beta", {}),
}


@asynccontextmanager
async def calling(
    way: str, faults: Faults | None = None, **settings: Any
) -> AsyncIterator[Call[FakeSession]]:
    provider, query = WAYS[way]
    vocabulary = BETA if way == "beta" else GA
    async with FakeRealtimeServer(faults=faults, vocabulary=vocabulary) as server:
        model = create_model(provider, "voice")
        given = ModelSettings(**settings)
        await model.connect(RealtimeModelConfig("voice", server.uri, "k", {}, query, given))
        yield Call(model, await server.next_session())
        await model.close()


def given_session(call: Call[FakeSession]) -> dict[str, Any]:
    return dict(call.session.all_of("session.update")[0]["session"])


@pytest.mark.parametrize(
    ("key", "header"),
    [("0a1b2c", {"api-key": "0a1b2c"}), ("e30.e30.c2ln", {"Authorization": "Bearer e30.e30.c2ln"})],
)
def test_a_key_and_a_token_have_headers_of_their_own(key: str, header: dict[str, str]) -> None:
    assert api_key_or_token(key) == header


@pytest.mark.asyncio
@pytest.mark.parametrize("way", WAYS)
async def test_the_deployment_is_named_and_the_key_shown(way: str) -> None:
    async with calling(way, Faults(api_key="k"), instructions="Be brief.") as call:
        assert call.session.settings["model"] == "voice"
        assert call.session.settings["instructions"] == "Be brief."


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["preview", "beta"])
async def test_the_beta_session_is_flat(way: str) -> None:
    tool = {"type": "function", "name": "add"}
    async with calling(
        way,
        voice="alloy",
        language="fr",
        tools=[tool],
        turn_detection={"type": "server_vad", "silence_duration_ms": 300},
        noise_reduction="far_field",
        temperature=0.7,
        speed=1.1,
        max_output_tokens=200,
    ) as call:
        assert given_session(call) == {
            "modalities": ["text", "audio"],
            "voice": "alloy",
            "speed": 1.1,
            "input_audio_transcription": {"model": "whisper-1", "language": "fr"},
            "input_audio_noise_reduction": {"type": "far_field"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            "tools": [tool],
            "temperature": 0.7,
            "max_response_output_tokens": 200,
        }
        await call.model.send(ours.UpdateSettings({"turn_detection": False, "instructions": ""}))
        await call.session.wait_for("session.update", 2)
        assert call.session.all_of("session.update")[1]["session"] == {
            "turn_detection": None,
            "instructions": "",
        }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"truncation": "disabled"}, "truncation: not in the beta dialect"),
        ({"prompt": {"id": "p"}}, "prompt: not in the beta dialect"),
        ({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}, "idle_timeout_ms"),
    ],
)
async def test_what_beta_lacks_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelConnectError, match=words) as caught:
        async with calling("preview", **settings):
            raise AssertionError("it connected")
    assert caught.value.code == "invalid_settings"


@pytest.mark.asyncio
async def test_a_change_that_beta_lacks_is_refused_and_the_session_goes_on() -> None:
    async with calling("preview") as call:
        with pytest.raises(UnsupportedCommandError, match="not in the beta dialect"):
            await call.model.send(ours.UpdateSettings({"truncation": "auto"}))
        await call.alongside(call.session.say(tone(40), "Still here."), ours.ResponseDone)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", WAYS)
async def test_the_same_conversation_in_every_dialect(way: str) -> None:
    async with calling(way) as call:
        pcm = tone(250)
        done = await call.alongside(call.session.say(pcm, "Hello there."), ours.ResponseDone)
        assert (done.status, done.usage.output_tokens) == (ours.ResponseStatus.COMPLETED, 20)
        assert b"".join(delta.pcm for delta in call.all_of(ours.AudioDelta)) == pcm
        assert [each.transcript for each in call.all_of(ours.TranscriptDone)] == ["Hello there."]
        item_id = call.all_of(ours.AudioDelta)[0].item_id
        added = [each for each in call.all_of(ours.ItemAdded) if each.item_id == item_id]
        assert added == [ours.ItemAdded(item_id, "message", "assistant", done.response_id)]

        await call.alongside(call.session.call_tool("add", {"a": 1}), ours.ResponseDone)
        (asked,) = call.all_of(ours.ToolCallRequested)
        assert (asked.name, asked.arguments) == ("add", '{"a": 1}')
        await call.model.send(ours.AddToolOutput(asked.call_id, "2"))
        await call.model.send(ours.AddText("what I said before", role="assistant"))
        call.session.reply_with = lambda session: session.say(tone(40), "Two.")
        await call.model.send(ours.CreateResponse(instructions="Say it."))
        await call.until(ours.ResponseDone)
        part = call.session.all_of("conversation.item.create")[1]["item"]["content"][0]
        assert part["type"] == ("output_text" if way == "azure" else "text")

        async with asyncio.TaskGroup() as group:
            group.create_task(_tell_a_story(call))
            last = await call.until(ours.AudioDelta)
            await call.session.speech_started()
            await call.until(ours.Interrupted)
            await call.model.send(ours.TruncateItem(last.item_id, 0, 20, ""))
            assert (await call.until(ours.ItemTruncated)).audio_end_ms == 20
        assert not call.all_of(ours.ProviderError)


async def _tell_a_story(call: Call[FakeSession]) -> None:
    await call.session.say(tone(2000), "a long story", pace=0.5)


@pytest.mark.asyncio
async def test_an_unusable_version_is_a_missing_model() -> None:
    async with FakeRealtimeServer() as server:
        config = RealtimeModelConfig("voice", server.uri, "k", query={"api-version": "2024-10-01"})
        with pytest.raises(ModelConnectError) as caught:
            await create_model("azure", "voice").connect(config)
        assert caught.value.code == "model_not_found"
