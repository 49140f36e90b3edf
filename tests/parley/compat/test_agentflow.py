"""A program written for Agentflow's live agents, with other imports and the fake's address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from parley.compat.agentflow import (
    AudioAgent,
    AudioDeltaEvent,
    CompiledGraph,
    ErrorEvent,
    InMemoryCheckpointer,
    InputTranscriptEvent,
    LiveAgent,
    LiveInputQueue,
    OutputTranscriptEvent,
    RealtimeConfig,
    ReconnectConfig,
    StateGraph,
    ToolCallEvent,
    ToolNode,
    ToolResultEvent,
    TurnCompleteEvent,
    VADConfig,
)
from parley.compat.models import agent_name, provider_of
from parley.testing import ScriptedModel, Step, says
from realtime.model import ModelConnectError
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import in_turn

NO_FILE = {"settings": {"PARLEY_ENV_FILE": ""}}


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"sunny in {city}"


def create(server: FakeRealtimeServer) -> AudioAgent:
    return AudioAgent(
        model="gpt-realtime",
        realtime_config=RealtimeConfig(
            voice="alloy", vad=VADConfig(silence_duration_ms=300), reconnect=ReconnectConfig()
        ),
        system_prompt=[{"role": "system", "content": "You are helpful."}],
        tool_node=ToolNode([get_weather]),
        api_key="sk-" + "k" * 40,
        base_url=server.uri,
    )


@pytest.mark.asyncio
async def test_a_call_with_a_tool_gives_their_events_in_order() -> None:
    async with FakeRealtimeServer() as server:
        app = create(server).compile(checkpointer=InMemoryCheckpointer())
        queue = LiveInputQueue()
        seen: list[Any] = []
        played = bytearray()

        async def run() -> None:
            async for event in app.arealtime(
                queue, config={"thread_id": "t1", **NO_FILE}, state={}
            ):
                match event:
                    case AudioDeltaEvent(data=data, sample_rate=24_000):
                        played.extend(data)
                    case _:
                        seen.append(event)

        task = asyncio.get_running_loop().create_task(run())
        session = await server.next_session()
        queue.send_audio(tone(300), sample_rate=24_000)
        await session.wait_loud(250)
        item = await session.speech_started()
        session.reply_with = in_turn(
            lambda each: each.call_tool("get_weather", {"city": "Rome"}, call_id="c1"),
            lambda each: each.say(tone(200), "It is sunny"),
        )
        await session.speech_stopped(item, "How is Rome?")
        queue.close()
        await task
        await app.aclose()
    assert session.settings["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 300
    assert bytes(played) == tone(200)
    finished = [e for e in seen if getattr(e, "finished", True)]
    assert [type(event) for event in finished] == [
        InputTranscriptEvent,
        ToolCallEvent,
        ToolResultEvent,
        OutputTranscriptEvent,
        TurnCompleteEvent,
    ]
    heard, call, result, said, _ = finished
    assert heard.text == "How is Rome?"
    assert (call.id, call.name, call.args) == ("c1", "get_weather", {"city": "Rome"})
    assert (result.id, result.result) == ("c1", "sunny in Rome")
    assert said.text == "It is sunny"


@pytest.mark.asyncio
async def test_a_thread_goes_on_and_a_call_may_have_settings_of_its_own() -> None:
    model = ScriptedModel([says("Hello Ann."), says("Ann.")])
    agent = LiveAgent(system_prompt="Be brief.", create_model=model.create)
    app = agent.compile(checkpointer=InMemoryCheckpointer())
    for text in ("I am Ann.", "Who am I?"):
        queue = LiveInputQueue()
        queue.send_text(text)
        queue.close()
        config = {"thread_id": "ann", "realtime": {"system_instruction": "Be kind."}, **NO_FILE}
        async for event in app.arealtime(queue, config):
            assert event.type != "error"
    assert model.instructions.startswith("Be kind.")
    assert [each.text for each in model.all_sent("text")] == [
        "I am Ann.",
        *("I am Ann.", "Hello Ann.", "Who am I?"),
    ]
    model.assert_complete()


def test_the_synchronous_twin() -> None:
    model = ScriptedModel([says("Hello.")])
    app = LiveAgent(create_model=model.create).compile()
    queue = LiveInputQueue()
    queue.send_text("Hi")
    queue.close()
    types = [event.type for event in app.realtime(queue, NO_FILE)]
    assert types[-1] == "turn_complete"
    assert set(types) == {"input_transcript", "audio_delta", "output_transcript", "turn_complete"}


@pytest.mark.asyncio
async def test_a_lost_provider_is_their_fatal_error() -> None:
    model = ScriptedModel([Step(is_lost=True)])
    agent = LiveAgent(
        create_model=model.create,
        realtime_config=RealtimeConfig(reconnect=ReconnectConfig(max_attempts=1, base_delay=0.01)),
    )
    settings = {"PARLEY_ENV_FILE": "", "RECONNECT_GIVE_UP_S": "0.2"}
    seen: list[Any] = []
    queue = LiveInputQueue()
    queue.send_text("Hello")
    down = ModelConnectError("down", code="unreachable", is_retryable=True)
    model.refuse_later(*[down] * 50)
    async with asyncio.timeout(10):
        async for event in agent.compile().arealtime(queue, {"settings": settings}):
            seen += [event]
    assert isinstance(seen[-1], ErrorEvent)
    assert (seen[-1].code, seen[-1].fatal) == ("reconnect_failed", True)


def test_graphs_have_one_live_agent() -> None:
    graph = StateGraph()
    graph.add_node("LIVE", LiveAgent()).add_node("TOOL", ToolNode([get_weather]))
    graph.set_entry_point("LIVE").add_edge("LIVE", "END")
    assert isinstance(graph.compile(), CompiledGraph)
    with pytest.raises(ValueError, match="exactly one LiveAgent"):
        StateGraph().compile()
    with pytest.raises(ValueError, match="AUDIO"):
        RealtimeConfig(response_modalities=["AUDIO", "TEXT"])


def test_names_of_models_and_agents() -> None:
    names = ("gpt-realtime", "gemini-live-2.5", "qwen3-omni", "grok-voice", "local", "acme", None)
    assert [provider_of(name) for name in names] == [
        *("openai", "gemini", "dashscope", "xai", "local", None, None)
    ]
    assert agent_name("Order Desk (EU)") == "order_desk_eu"
    assert agent_name("7 of 9") == "agent_7_of_9"
    assert agent_name("ann") == "ann"
