"""A program written for AgentScope's chat room, with other imports and the fake's address."""

from __future__ import annotations

import base64

import pytest

from parley.compat.agentscope import ChatRoom, ClientEvents, OpenAIRealtimeModel, RealtimeAgent
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.compat.test_agentscope import Frontend, audio

pytestmark = pytest.mark.asyncio


def agent(name: str, server: FakeRealtimeServer, key: str = "a") -> RealtimeAgent:
    return RealtimeAgent(
        name=name,
        sys_prompt=f"You are {name}.",
        model=OpenAIRealtimeModel(
            model_name=f"gpt-{name.lower()}", api_key="sk-" + key * 40, websocket_url=server.uri
        ),
    )


async def test_agents_talk_with_a_person_and_with_one_another() -> None:
    frontend = Frontend()
    async with FakeRealtimeServer() as server:
        room = ChatRoom(
            agents=[agent("Alice", server), agent("Bob", server, "b")],
            options={"settings": {"PARLEY_ENV_FILE": ""}},
        )
        await room.start(frontend.queue)
        opened = [await server.next_session() for _ in range(2)]
        models = {str(each.settings["model"]): each for each in opened}
        alice, bob = models["gpt-alice"], models["gpt-bob"]
        keys = {one["Authorization"].removeprefix("Bearer ") for one in server.asked_headers}
        assert keys == {"sk-" + "a" * 40, "sk-" + "b" * 40}
        await room.handle_input(ClientEvents.from_json(audio(tone(400), 24_000)))
        await alice.wait_loud(300)
        item = await alice.speech_started()
        await alice.speech_stopped(item, "Bob, who are you?")
        await bob.wait_for("response.create")
        await bob.say(tone(200), "I am Bob. And you, Alice?")
        await alice.wait_for("response.create")
        await alice.say(tone(100), "I am Alice.")
        done = "agent_response_done"
        await frontend.until(lambda: [one["type"] for one in frontend.seen].count(done) == 2)
        named = {"type": "client_text_append", "text": "Alone?", "session_id": "s", "agent": "bob"}
        await room.handle_input(named)
        await bob.wait_for("response.create", 2)
        await room.handle_input(named | {"agent": "carol"})
        assert (await frontend.until_type("agent_error"))["code"] == "unknown_agent"
        await room.stop()
    await frontend.until(lambda: [one["type"] for one in frontend.seen].count("agent_ended") == 2)
    for kind in ("agent_ready", "agent_ended"):
        names = [each["agent_name"] for each in frontend.seen if each["type"] == kind]
        assert names == ["Alice", "Bob"]
    spoken = [
        (each["agent_name"], each["transcript"])
        for each in frontend.seen
        if each["type"] == "agent_response_audio_transcript_done"
    ]
    assert spoken == [("Bob", "I am Bob. And you, Alice?"), ("Alice", "I am Alice.")]
    voices = {
        each["agent_name"]: len(base64.b64decode(each["delta"]))
        for each in frontend.seen
        if each["type"] == "agent_response_audio_delta"
    }
    assert set(voices) == {"Alice", "Bob"}
    ids = {each["agent_name"]: each["agent_id"] for each in frontend.seen if each["agent_id"]}
    assert ids["Bob"] == room.agents[1].id != ids["Alice"]


async def test_agents_of_one_provider_share_its_address() -> None:
    async with FakeRealtimeServer() as one, FakeRealtimeServer() as other:
        with pytest.raises(ValueError, match="Bob: another agent has another REALTIME_API_BASE"):
            ChatRoom([agent("Alice", one), agent("Bob", other)])
