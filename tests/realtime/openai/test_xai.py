"""xAI's dialect against a server with its differences."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime import events as ours
from realtime.model import ModelConnectError, ModelSettings, RealtimeModelConfig
from realtime.providers import create_model
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults, tone
from tests.fakes.openai_vocabulary import XAI
from tests.realtime.calls import Call


@asynccontextmanager
async def calling(**settings: Any) -> AsyncIterator[Call[FakeSession]]:
    async with FakeRealtimeServer(faults=Faults(api_key="k"), vocabulary=XAI) as server:
        model = create_model("xai", "grok-voice-latest")
        given = ModelSettings(**settings)
        uri = f"{server.uri}/v1"
        await model.connect(RealtimeModelConfig("grok-voice-latest", uri, "k", settings=given))
        yield Call(model, await server.next_session())
        await model.close()


@pytest.mark.asyncio
async def test_the_session_has_the_shape_of_the_provider() -> None:
    tool = {"type": "function", "name": "add"}
    async with calling(
        instructions="Be brief.",
        voice="eve",
        language="fr",
        tools=[tool],
        turn_detection={
            "type": "server_vad",
            "silence_duration_ms": 300,
            "create_response": True,
            "interrupt_response": True,
        },
        speed=1.1,
        reasoning_effort="high",
    ) as call:
        pcm = {"type": "audio/pcm", "rate": 24_000}
        assert call.session.all_of("session.update")[0]["session"] == {
            "instructions": "Be brief.",
            "voice": "eve",
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            "tools": [tool],
            "reasoning": {"effort": "high"},
            "audio": {
                "input": {"format": pcm, "transcription": {"language_hint": "fr"}},
                "output": {"format": pcm, "speed": 1.1},
            },
        }
        await call.model.send(ours.UpdateSettings({"turn_detection": False, "instructions": ""}))
        await call.session.wait_for("session.update", 2)
        assert call.session.all_of("session.update")[1]["session"] == {
            "turn_detection": None,
            "instructions": "",
        }


@pytest.mark.asyncio
async def test_a_conversation_with_keep_alives_and_words_that_are_not_final() -> None:
    async with calling() as call:
        heard = "conversation.item.input_audio_transcription.completed"
        where = {"item_id": "u", "content_index": 0}

        async def act() -> None:
            for message in (
                {"type": "ping", "timestamp": 1},
                {"type": heard, **where, "status": "in_progress", "transcript": "what"},
                {"type": heard, **where, "status": "completed", "transcript": "What time is it?"},
            ):
                await call.session.send_raw(json.dumps(message))
            await call.session.say(tone(40), "Ten past four.")
            await call.session.call_tool("add", {"a": 1})

        await call.alongside(act(), ours.ToolCallRequested)
        assert [one.transcript for one in call.all_of(ours.InputTranscriptDone)] == [
            "What time is it?"
        ]
        assert [one.transcript for one in call.all_of(ours.TranscriptDone)] == ["Ten past four."]
        assert call.all_of(ours.ProviderError) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"truncation": "disabled"}, "truncation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tracing": "auto"}, "tracing"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"output_modality": "text"}, "output_modality"),
        ({"noise_reduction": "far_field"}, "noise_reduction"),
        ({"turn_detection": {"type": "semantic_vad"}}, "turn_detection.type"),
        ({"turn_detection": {"type": "server_vad", "create_response": False}}, "create_response"),
        ({"temperature": 0.5}, "temperature"),
    ],
)
async def test_what_the_provider_lacks_is_refused_by_name(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelConnectError, match=words) as caught:
        async with calling(**settings):
            raise AssertionError("it connected")
    assert caught.value.code == "invalid_settings"
