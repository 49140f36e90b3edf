"""Self-hosted servers as their published sources send events: a whole turn comes through.

LocalAI: `core/http/endpoints/openai/realtime.go`; speaches: `src/speaches/realtime`;
speech-to-speech: `src/speech_to_speech/api/openai_realtime`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from realtime import events as ours
from realtime.model import ModelConnectError, ModelSettings, RealtimeModelConfig
from realtime.openai.dialect import OPENAI_DIALECT
from realtime.openai.model import OpenAIRealtimeModel
from realtime.providers import create_model
from tests.fakes.http_server import serving
from tests.realtime.calls import Call

PCM = bytes(range(256)) * 4
SOUND = base64.b64encode(PCM).decode()

Send = Callable[..., Awaitable[None]]


class LocalAi:
    """Sends the same event id again and again, and one utterance under several item ids."""

    provider = "openai-compatible"

    async def open(self, send: Send) -> None:
        session = {"type": "realtime", "id": "sess_1", "object": "realtime.session"}
        await send("session.created", event_id="event_TODO", session=session)

    async def update(self, send: Send, session: dict[str, Any]) -> None:
        heard = session.get("audio", {}).get("input", {}).get("transcription") or {}
        if heard.get("model"):
            # No such pipeline: no `session.updated` follows.
            error = {
                "type": "invalid_request_error",
                "code": "session_update_error",
                "message": "Failed to update session",
            }
            await send("error", event_id="", error=error)
            return
        await send("session.updated", event_id="event_TODO", session={"type": "realtime"})

    async def turn(self, send: Send) -> None:
        await send("input_audio_buffer.speech_started", event_id="event_TODO", audio_start_ms=20)
        await send("input_audio_buffer.speech_stopped", event_id="event_TODO", audio_end_ms=900)
        ids = {"item_id": "item_a", "previous_item_id": "TODO"}
        await send("input_audio_buffer.committed", event_id="event_TODO", **ids)
        await send(
            "conversation.item.input_audio_transcription.completed",
            event_id="event_TODO",
            item_id="item_b",
            content_index=0,
            transcript="What time is it?",
        )
        said = {"type": "input_audio", "audio": SOUND, "transcript": "What time is it?"}
        user = {"type": "message", "role": "user", "id": "item_c", "content": [said]}
        await send("conversation.item.added", item=user)
        response = {"id": "resp", "object": "realtime.response"}
        await send("response.created", response=response | {"status": "in_progress"})
        part = {"type": "output_audio", "transcript": "Ten past four."}
        item = {"type": "message", "role": "assistant", "id": "item_d", "content": [part]}
        place = {"response_id": "resp", "output_index": 0}
        inside = place | {"item_id": "item_d", "content_index": 0}
        await send("response.output_item.added", **place, item=item | {"status": "in_progress"})
        await send("response.content_part.added", **inside, part=part)
        await send("response.output_audio_transcript.delta", **inside, delta="Ten past four.")
        await send("response.output_audio_transcript.done", **inside, transcript="Ten past four.")
        await send("response.output_audio.delta", **inside, delta=SOUND)
        await send("response.output_audio.done", **inside)
        await send("response.content_part.done", **inside, part=part)
        await send("response.output_item.done", **place, item=item | {"status": "completed"})
        await send("response.done", response=response | {"status": "completed"})


class Speaches:
    """The old dialect, without indices; formats may not be set, even to what they are."""

    provider = "openai-beta"

    async def open(self, send: Send) -> None:
        session = {"id": "sess_1", "modalities": ["audio", "text"], "voice": "af_heart"}
        await send("session.created", event_id="event_1", session=session)

    async def update(self, send: Send, session: dict[str, Any]) -> None:
        for name in ("input_audio_format", "output_audio_format"):
            if name in session:
                text = f"Specifying `session.{name}` is not supported."
                error = {"type": "invalid_request_error", "message": text}
                await send("error", event_id="event_2", error=error)
        await send("session.updated", event_id="event_3", session=session)

    async def turn(self, send: Send) -> None:
        await send("input_audio_buffer.speech_started", audio_start_ms=20, item_id="u")
        await send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="u")
        await send("input_audio_buffer.committed", item_id="u", previous_item_id=None)
        said = {"type": "input_audio", "transcript": None}
        user = {"type": "message", "role": "user", "id": "u", "content": [said]}
        await send("conversation.item.created", item=user | {"status": "completed"})
        kind = "conversation.item.input_audio_transcription.completed"
        await send(kind, item_id="u", transcript="What time is it?")
        response = {"id": "resp", "status": "incomplete", "output": []}
        await send("response.created", response=response | {"modalities": ["audio", "text"]})
        item = {"type": "message", "role": "assistant", "id": "a", "status": "incomplete"}
        await send("response.output_item.added", response_id="resp", item=item | {"content": []})
        await send("conversation.item.created", item=item | {"content": []})
        inside = {"response_id": "resp", "item_id": "a"}
        part = {"type": "audio", "transcript": "Ten past four."}
        await send("response.content_part.added", **inside, part=part | {"transcript": ""})
        for words in ("Ten past", " four."):
            await send("response.audio_transcript.delta", **inside, delta=words)
        await send("response.audio.delta", **inside, delta=SOUND)
        await send("response.audio.done", **inside)
        await send("response.audio_transcript.done", **inside, transcript="Ten past four.")
        await send("response.content_part.done", **inside, part=part)
        done = item | {"status": "completed", "content": [part]}
        await send("response.output_item.done", response_id="resp", item=done)
        await send("response.done", response=response | {"status": "completed", "output": [done]})


class SpeechToSpeech:
    """Confirms no `session.update`, and announces a reply with its first sound, without items."""

    provider = "openai-compatible"

    async def open(self, send: Send) -> None:
        await send("session.created", event_id="event_1", session={"type": "realtime"})

    async def update(self, send: Send, session: dict[str, Any]) -> None:
        """Nothing is sent."""

    async def turn(self, send: Send) -> None:
        await send("input_audio_buffer.speech_started", audio_start_ms=20, item_id="u")
        await send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="u")
        heard = "conversation.item.input_audio_transcription"
        where = {"item_id": "u", "content_index": 0}
        await send(f"{heard}.delta", **where, delta="What time")
        usage = {"type": "duration", "seconds": 0.9}
        await send(f"{heard}.completed", **where, transcript="What time is it?", usage=usage)
        inside = {"response_id": "resp", "item_id": "a", "output_index": 0, "content_index": 0}
        await send("response.output_audio_transcript.done", **inside, transcript="Ten past four.")
        response = {"id": "resp", "object": "realtime.response", "output": None}
        await send("response.created", response=response | {"status": "in_progress"})
        await send("response.output_audio.delta", **inside, delta=SOUND)
        await send("response.output_audio.done", **inside)
        tokens = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
        await send("response.done", response=response | {"status": "completed", "usage": tokens})


SelfHosted = LocalAi | Speaches | SpeechToSpeech


@asynccontextmanager
async def calling(
    server: SelfHosted, model: OpenAIRealtimeModel | None = None
) -> AsyncIterator[Call[asyncio.Event]]:
    speech = asyncio.Event()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        async def send(kind: str, **fields: Any) -> None:
            await socket.send_str(json.dumps({"type": kind, **fields}))

        await server.open(send)
        async for frame in socket:
            message = json.loads(frame.data)
            if message["type"] == "session.update":
                await server.update(send, message["session"])
            if message["type"] == "input_audio_buffer.append" and not speech.is_set():
                speech.set()
                await server.turn(send)
        return socket

    app = web.Application()
    app.router.add_get("/prefix/v1/realtime", handle)
    async with serving(app) as port:
        opened = model or create_model(server.provider, "pipeline")
        uri = f"ws://127.0.0.1:{port}/prefix"
        try:
            await opened.connect(
                RealtimeModelConfig("pipeline", uri, settings=ModelSettings(language="en"))
            )
            yield Call(opened, speech)
        finally:
            await opened.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "server",
    [LocalAi(), Speaches(), SpeechToSpeech()],
    ids=["LocalAI", "speaches", "speech-to-speech"],
)
async def test_a_turn_comes_through_once_and_whole(server: SelfHosted) -> None:
    async with calling(server) as call:
        await call.model.send(ours.AppendAudio(bytes(960)))
        await call.until(ours.ResponseDone)
        heard = [one.transcript for one in call.all_of(ours.InputTranscriptDone)]
        assert heard == ["What time is it?"]
        assert [one.transcript for one in call.all_of(ours.TranscriptDone)] == ["Ten past four."]
        assert b"".join(one.pcm for one in call.all_of(ours.AudioDelta)) == PCM
        assert len(call.all_of(ours.SpeechStarted)) == len(call.all_of(ours.SpeechStopped)) == 1
        assert len(call.all_of(ours.ResponseCreated)) == 1
        assert call.all_of(ours.ProviderError) == []


@pytest.mark.asyncio
async def test_local_ai_refuses_the_transcription_model_of_openai() -> None:
    """Why it has a provider of its own."""
    with pytest.raises(ModelConnectError, match="Failed to update session"):
        async with calling(LocalAi(), OpenAIRealtimeModel(dialect=OPENAI_DIALECT)):
            raise AssertionError("it connected")
