"""A program written for AgentScope's realtime agent, with other imports and the fake's address."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from parley.compat.agentscope import (
    AudioFormat,
    ClientEvents,
    LocalRealtimeModel,
    OpenAIRealtimeModel,
    RealtimeAgent,
    ServerEvents,
    Toolkit,
)
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import in_turn

pytestmark = pytest.mark.asyncio


@dataclass
class ToolResponse:
    """A result as their toolkits return it."""

    content: list[dict[str, Any]]


async def get_weather(city: str) -> ToolResponse:
    """Get the weather.

    Args:
        city: Name of the city.
    """
    return ToolResponse([{"type": "text", "text": f"sunny in {city}"}])


class Frontend:
    """The queue of a program, read until something is there."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.seen: list[dict[str, Any]] = []

    async def until(self, is_met: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_met():
                # As their programs send it on to a WebSocket.
                self.seen.append((await self.queue.get()).model_dump())

    async def until_type(self, name: str) -> dict[str, Any]:
        await self.until(lambda: any(event["type"] == name for event in self.seen))
        return next(event for event in self.seen if event["type"] == name)

    def order(self) -> list[str]:
        types = [event["type"] for event in self.seen]
        return [each for at, each in enumerate(types) if at == 0 or types[at - 1] != each]


def create(server: FakeRealtimeServer) -> RealtimeAgent:
    toolkit = Toolkit()
    toolkit.register_tool_function(get_weather)
    return RealtimeAgent(
        name="Friday",
        sys_prompt="You are a helpful assistant named Friday.",
        model=OpenAIRealtimeModel(
            model_name="gpt-4o-realtime-preview",
            api_key="sk-" + "k" * 40,
            voice="alloy",
            enable_input_audio_transcription=True,
            websocket_url=server.uri,
        ),
        toolkit=toolkit,
        options={"settings": {"PARLEY_ENV_FILE": ""}},
    )


def audio(pcm: bytes, rate: int) -> dict[str, Any]:
    return {
        "type": "client_audio_append",
        "session_id": "s1",
        "audio": base64.b64encode(pcm).decode(),
        "format": {"type": "audio/pcm", "rate": rate},
    }


async def test_a_spoken_question_with_a_tool_gives_their_events_in_order() -> None:
    frontend = Frontend()
    async with FakeRealtimeServer() as server:
        agent = create(server)
        await agent.start(frontend.queue)
        session = await server.next_session()
        # At another rate than the model's: the original sends it as it is.
        await agent.handle_input(ClientEvents.from_json(audio(tone(400), 24_000)))
        await session.wait_loud(300)
        item = await session.speech_started()
        session.reply_with = in_turn(
            lambda each: each.call_tool("get_weather", {"city": "Rome"}, call_id="c1"),
            lambda each: each.say(tone(200), "It is sunny"),
        )
        await session.speech_stopped(item, "How is Rome?")
        await frontend.until_type("agent_response_tool_result")
        output = await session.wait_for("conversation.item.create")
        assert output["item"]["output"] == "sunny in Rome"
        await frontend.until_type("agent_response_audio_transcript_done")
        await frontend.until(lambda: frontend.order().count("agent_response_done") == 2)
        await agent.stop()
    await frontend.until_type("agent_ended")
    order = frontend.order()
    spoken = ("agent_response_audio_delta", "agent_response_audio_transcript_delta")
    assert [each for each in order if each not in spoken] == [
        "agent_ready",
        "agent_input_started",
        "agent_input_done",
        "agent_input_transcription_delta",
        "agent_input_transcription_done",
        "agent_response_created",
        "agent_response_tool_use_delta",
        "agent_response_tool_use_done",
        "agent_response_done",
        "agent_response_tool_result",
        "agent_response_created",
        "agent_response_audio_done",
        "agent_response_audio_transcript_done",
        "agent_response_done",
        "agent_ended",
    ]
    heard = next(e for e in frontend.seen if e["type"] == "agent_input_transcription_done")
    assert heard["transcript"] == "How is Rome?"
    use = next(e for e in frontend.seen if e["type"] == "agent_response_tool_use_done")
    assert use["tool_use"] == {
        "type": "tool_use",
        "id": "c1",
        "name": "get_weather",
        "input": {"city": "Rome"},
    }
    pcm = b"".join(
        base64.b64decode(event["delta"])
        for event in frontend.seen
        if event["type"] == "agent_response_audio_delta"
    )
    assert pcm == tone(200)
    assert all(event["agent_name"] == "Friday" for event in frontend.seen)
    created = [session.settings["instructions"], session.settings["audio"]["output"]["voice"]]
    assert created[0].startswith("You are a helpful assistant named Friday.")
    assert created[1] == "alloy"


async def test_every_client_event_is_carried_out_or_answered() -> None:
    frontend = Frontend()
    async with FakeRealtimeServer() as server:
        agent = create(server)
        await agent.start(frontend.queue)
        session = await server.next_session()
        session.reply_with = lambda each: each.say(tone(100), "yes")
        await agent.handle_input({"type": "client_session_create", "config": {}})
        await frontend.until_type("server_session_created")
        await agent.handle_input({"type": "client_text_append", "text": "Hello", "session_id": "s"})
        await frontend.until_type("agent_response_done")
        await agent.handle_input({"type": "client_response_create"})
        await session.wait_for("response.create", 2)
        await agent.handle_input({"type": "client_response_cancel"})
        await agent.handle_input(
            {"type": "client_tool_result", "id": "x", "name": "n", "output": "o"}
        )
        refused = await frontend.until_type("agent_error")
        assert refused["code"] == "unknown_call"
        frontend.seen.clear()
        await agent.handle_input({"type": "client_nonsense"})
        assert (await frontend.until_type("agent_error"))["code"] == "invalid_event"
        await agent.handle_input({"type": "client_session_end", "session_id": "s"})
        await frontend.until_type("server_session_ended")
        await frontend.until_type("agent_ended")
        await agent.stop()


async def test_a_start_that_fails_leaves_nothing() -> None:
    async with FakeRealtimeServer() as server:
        server.faults.reject_status = 401
        agent = create(server)
        with pytest.raises(Exception, match="401"):
            await agent.start(asyncio.Queue())
        await agent.stop()
    with pytest.raises(RuntimeError, match="start"):
        await agent.handle_input({"type": "client_response_create"})


async def test_names_of_events_are_theirs() -> None:
    assert (
        ServerEvents.AgentResponseAudioDeltaEvent(
            agent_id="a",
            agent_name="b",
            response_id="r",
            item_id="i",
            delta="",
            format=AudioFormat(type="audio/pcm", rate=24_000),
        ).type
        == "agent_response_audio_delta"
    )
    assert ClientEvents.ClientTextAppendEvent(session_id="s", text="t").type == "client_text_append"
    with pytest.raises(ValueError, match="client_nothing"):
        ClientEvents.from_json({"type": "client_nothing"})
    with pytest.raises(AttributeError):
        _ = ServerEvents.NothingEvent
    assert LocalRealtimeModel().choice.settings() == {}
