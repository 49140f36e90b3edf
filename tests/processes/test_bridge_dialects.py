"""Clients of AgentScope and of Agentflow, with the frames of their documentation, before a real server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeSession
from tests.images import chunks, jpeg, shown
from tests.processes.test_bridge import Scene, scene
from tests.rtc.sound import tone

pytestmark = pytest.mark.asyncio

ROOM_SECRET = "0123456789abcdef0123456789abcdef"
API_KEY = "a-key-of-thirty-two-characters-or-so"
MODEL_RATE_HZ = 24_000
# From AgentScope's tutorial.
CREATE = {
    "type": "client_session_create",
    "config": {"instructions": "You are a helpful assistant.", "user_name": "User1"},
}
# From the page of Agentflow's endpoint.
INIT = {
    "thread_id": "session-001",
    "model": "gemini-live-2.5-flash-preview",
    "voice": "Puck",
    "modalities": ["AUDIO"],
    "system_prompt": "You are a terse voice assistant.",
    "tools_tags": ["weather"],
    "vad": {"enabled": True, "silence_duration_ms": 800},
}


class Client:
    """A WebSocket and all that came over it."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.audio = bytearray()

    async def send(self, frame: dict[str, Any] | bytes) -> None:
        if isinstance(frame, bytes):
            await self.socket.send_bytes(frame)
        else:
            await self.socket.send_json(frame)

    async def until(self, event_type: str) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.socket.receive()
                if message.type is WSMsgType.BINARY:
                    self.audio += message.data
                    continue
                assert message.type is WSMsgType.TEXT, (message, self.events)
                self.events.append(json.loads(message.data))
                if self.events[-1]["type"] == event_type:
                    return self.events[-1]

    async def close_code(self) -> int | None:
        """The code of the server's close, after all that comes before it."""
        async with asyncio.timeout(DEADLINE_S):
            while (message := await self.socket.receive()).type in (
                WSMsgType.TEXT,
                WSMsgType.BINARY,
            ):
                if message.type is WSMsgType.TEXT:
                    self.events.append(json.loads(message.data))
        return self.socket.close_code

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@asynccontextmanager
async def connected(
    stage: Scene, path: str, first: Any = None, **options: Any
) -> AsyncIterator[Client]:
    url = stage.server.url.replace("http://", "ws://") + path
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, max_msg_size=0, **options) as socket,
    ):
        client = Client(socket)
        if first is not None:
            await client.send(first)
        yield client


def tutorial_audio(pcm: bytes) -> dict[str, Any]:
    return {
        "type": "client_audio_append",
        "session_id": "session1",
        "audio": base64.b64encode(pcm).decode(),
        "format": {"encoding": "pcm16", "sample_rate": 16000},
    }


async def settled(stage: Scene) -> FakeSession:
    """The model's side, once it has the agent's settings."""
    session = await stage.session()
    await session.wait_for("session.update")
    return session


async def converse(session: FakeSession, question: str, answer: str, duration_s: float) -> None:
    """The user is understood, and answered."""
    await session.speech_stopped(await session.speech_started(), question)
    await session.say(tone(440, duration_s, MODEL_RATE_HZ), answer)


# -- AgentScope ------------------------------------------------------------------------------------


async def test_the_tutorials_front_end_talks_with_an_agent_of_its_own(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, connected(stage, "/ws/user1/session1", CREATE) as client:
        session = await stage.session()
        created = await client.until("server_session_created")
        assert created == {"type": "server_session_created", "session_id": "session1"}
        instructions = session.settings["instructions"]
        assert instructions.startswith("You are a helpful assistant.")
        for _ in range(15):
            await client.send(tutorial_audio(tone(440, 0.1, 16_000)))
        await session.wait_loud(900)
        await converse(session, "what time is it", "It is noon.", 1.0)
        done = await client.until("agent_response_done")
        assert (done["input_tokens"], done["output_tokens"], done["metadata"]) == (10, 20, {})
        order = [each for each in client.types if each.startswith("agent_")]
        assert order[0] == "agent_ready"
        assert {"agent_input_started", "agent_input_done"} <= set(order)
        assert order[-2:] == ["agent_response_audio_done", "agent_response_done"]
        deltas = [each for each in client.events if each["type"] == "agent_response_audio_delta"]
        assert {json.dumps(each["format"]) for each in deltas} == {
            '{"type": "audio/pcm", "rate": 24000}'
        }
        voice = b"".join(base64.b64decode(each["delta"]) for each in deltas)
        assert abs(len(voice) / 2 / MODEL_RATE_HZ - 1.0) < 0.1
        words = [each for each in client.events if each["type"] == "agent_input_transcription_done"]
        assert [each["transcript"] for each in words] == ["what time is it"]


async def test_the_example_pages_tools_images_and_end(tmp_path: Path) -> None:
    config = {
        "instructions": "Be kind.",
        "agent_name": "Friday",
        # Not set up here: the server's own model answers.
        "model_provider": "dashscope",
        "toolset": "everyday",
    }
    first = CREATE | {"config": config}
    async with scene(tmp_path) as stage, connected(stage, "/ws/You/s-1", first) as client:
        session = await stage.session()
        ready = await client.until("agent_ready")
        assert ready["agent_name"] == "Friday"
        picture = jpeg(200_000)
        await client.send(
            {
                "type": "client_image_append",
                "session_id": "s-1",
                "data": base64.b64encode(picture).decode(),
                "format": {"type": "image/jpeg", "mime_type": "image/jpeg"},
            }
        )
        await session.wait_for("conversation.item.create")
        assert shown(session.all_of("conversation.item.create")) == [picture]
        call_id = await session.call_tool("get_current_time", {"zone": "Europe/Paris"})
        result = (await client.until("agent_response_tool_result"))["tool_result"]
        assert (result["type"], result["id"], result["name"]) == (
            *("tool_result", call_id),
            "get_current_time",
        )
        raw = [
            each["tool_use"]["raw_input"]
            for each in client.events
            if each["type"].startswith("agent_response_tool_use")
        ]
        assert raw[-1] == '{"zone": "Europe/Paris"}'
        assert all(raw[-1].startswith(each) for each in raw)
        await client.send({"type": "client_text_append", "session_id": "s-1", "text": ""})
        assert (await client.until("agent_error"))["code"] == "invalid_event"
        await client.send({"type": "client_session_end", "session_id": "s-1"})
        assert await client.close_code() == 1000
        assert client.types[-2:] == ["agent_ended", "server_session_ended"]
        assert client.events[-1] == {"type": "server_session_ended", "session_id": "s-1"}


# -- Agentflow -------------------------------------------------------------------------------------


async def test_the_documented_client_sends_a_file_and_closes_after_the_turn(tmp_path: Path) -> None:
    first = {"thread_id": "demo-001", "voice": "Puck"}
    async with scene(tmp_path) as stage, connected(stage, "/v1/graph/live", first) as client:
        session = await settled(stage)
        assert session.settings["audio"]["output"]["voice"] == "Puck"
        pcm = tone(440, 1.5, 16_000)
        for offset in range(0, len(pcm), 3200):
            await client.send(pcm[offset : offset + 3200])
        await session.wait_loud(900)
        await converse(session, "what's the weather in Paris", "It is sunny.", 1.0)
        assert await client.until("turn_complete") == {"type": "turn_complete"}
        assert abs(len(client.audio) / 2 / 24_000 - 1.0) < 0.1
        finished = [each for each in client.events if each.get("finished")]
        assert finished == [
            {"type": "input_transcript", "text": "what's the weather in Paris", "finished": True},
            {"type": "output_transcript", "text": "It is sunny.", "finished": True},
        ]
        await client.send({"type": "close"})
        assert await client.close_code() == 1000


async def test_the_documented_init_frame_and_a_close_that_waits_for_the_reply(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as stage, connected(stage, "/v1/graph/live", INIT) as client:
        session = await settled(stage)
        # A model that the server does not have leaves its own, and its voice, in place.
        assert "gemini" not in session.settings["model"]
        assert session.settings["audio"]["output"].get("voice") != "Puck"
        assert session.settings["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 800
        assert session.settings["instructions"].startswith("You are a terse voice assistant.")
        await client.send({"type": "text", "text": "What is the weather in Paris?"})
        await client.send({"type": "close"})
        await session.wait_for("response.create")
        await session.say(tone(440, 0.5, MODEL_RATE_HZ), "It is sunny.")
        assert await client.close_code() == 1000
        assert client.types[-1] == "turn_complete"


@pytest.mark.parametrize(
    ("first", "code"),
    [(b"\0\0", 1003), ({"modalities": ["AUDIO", "TEXT"]}, 1003), ({"x": "y" * 70_000}, 1009)],
    ids=["binary", "two modalities", "too large"],
)
async def test_another_first_frame_closes_with_its_code(
    first: Any, code: int, tmp_path: Path
) -> None:
    async with scene(tmp_path) as stage, connected(stage, "/v1/graph/live", first) as client:
        assert await client.close_code() == code
        if code == 1003:
            (error,) = client.events
            assert (error["type"], error["code"], error["fatal"]) == (
                *("error", "invalid_config"),
                True,
            )


async def test_a_page_brings_its_token_as_a_subprotocol_and_the_owner_decides_the_rest(
    tmp_path: Path,
) -> None:
    secrets = {"api_keys": [API_KEY], "room_token_secret": ROOM_SECRET}
    async with scene(tmp_path, **secrets) as stage:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        wanted = {"channel_name": "demo", "role": "user", "may_start": True}
        async with (
            aiohttp.ClientSession(stage.server.url) as http,
            http.post("/token", json=wanted, headers=headers) as answer,
        ):
            token = (await answer.json())["token"]
        protocols = ("agentflow-bearer", token)
        async with connected(
            stage, "/v1/graph/live", {"system_prompt": "Tell all."}, protocols=protocols
        ) as client:
            assert client.socket.protocol == "agentflow-bearer"
            session = await settled(stage)
            assert "Tell all." not in session.settings["instructions"]
            await client.send({"type": "text", "text": "hello"})
            await session.wait_for("response.create")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connected(stage, "/v1/graph/live"):
                pass
        assert refused.value.status == 401


# -- Parley ----------------------------------------------------------------------------------------


async def test_images_over_the_bridge_in_an_event_as_bytes_and_in_chunks(tmp_path: Path) -> None:
    pictures = [jpeg(900_000), jpeg(1024 * 1024), jpeg(130_000)]
    first = {"type": "client_session_create"}
    async with scene(tmp_path) as stage, connected(stage, "/ws/demo", first) as client:
        session = await stage.session()
        ready = await client.until("agent_ready")
        assert ready["has_image_input"] is True
        text = base64.b64encode(pictures[0]).decode()
        await client.send({"type": "client_image_append", "image": text})
        await client.send({"type": "client_image_append", "format": {"type": "image/jpeg"}})
        await client.send(pictures[1])
        for chunk in chunks(pictures[2], "third"):
            await client.send(chunk)
        await client.send({"type": "client_image_append"})
        await client.send(b"no image")
        assert (await client.until("agent_error"))["code"] == "invalid_event"
        await session.wait_for("conversation.item.create", 3)
        assert shown(session.all_of("conversation.item.create")) == pictures
