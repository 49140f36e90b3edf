"""What an agent's owner asks of it in a call, over real WebRTC, against a scripted model."""

from __future__ import annotations

import asyncio

import pytest

from conversation.events.client_events import (
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolResult,
)
from conversation.events.commands import (
    CommandRefusedError,
    CommandResult,
    LiveCommand,
    Mute,
    Say,
    Update,
)
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage, soon

TOOL = {"type": "function", "name": "look_up", "description": "Look up."}


async def execute(stage: Stage, command: LiveCommand) -> CommandResult:
    assert stage.agent is not None
    return await soon(stage.agent.execute(command))


async def refusal(stage: Stage, command: LiveCommand) -> str:
    with pytest.raises(CommandRefusedError) as refused:
        await execute(stage, command)
    return refused.value.code


@pytest.mark.asyncio
async def test_the_agent_says_what_it_is_told_and_stops_when_told() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        assert (await execute(stage, Say(text="One moment."))).was_speaking is False
        asked = await session.wait_for("response.create")
        assert asked["response"]["instructions"] == "Say exactly: One moment."
        saying = asyncio.get_running_loop().create_task(
            session.say(tone(8_000), "a long story", pace=0.5)
        )
        await person.wait_loud(300)
        assert (await execute(stage, Say(text="Stop!", should_interrupt=True))).was_speaking
        await person.wait_event("agent_interrupted")
        await soon(saying)
        asked = await session.wait_for("response.create", 2)
        assert asked["response"]["instructions"] == "Say exactly: Stop!"
        await session.say(tone(200), "Stop!")
        await person.wait_event("agent_playout_done")
        assert (await execute(stage, ClientResponseCancel())).was_speaking is False


@pytest.mark.asyncio
async def test_a_text_is_a_turn_of_nobody_in_the_room() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        result = await execute(stage, ClientTextAppend(text="What time is it?"))
        told = await person.wait_event("agent_input_transcription_done")
        assert (told["transcript"], told["uid"]) == ("What time is it?", None)
        assert told["item_id"] == result.item_id
        await session.wait_for("response.create")


@pytest.mark.asyncio
async def test_an_update_changes_the_models_session_and_the_agent() -> None:
    async with Stage() as stage:
        session = await stage.start(tools=(TOOL,))
        person = await stage.join()
        command = Update(
            instructions="Be brief.",
            voice="cedar",
            tools=(TOOL | {"name": "book"},),
            turn_detection={"type": "none"},
        )
        await execute(stage, command)
        update = (await session.wait_for("session.update", 2))["session"]
        assert update["instructions"] == "Be brief."
        assert [tool["name"] for tool in update["tools"]] == ["book"]
        assert update["audio"]["output"]["voice"] == "cedar"
        assert update["audio"]["input"]["turn_detection"] is None
        await person.wait_event("server_session_updated")
        # The agent itself follows: turns are now taken by hand, and the new tool is the client's.
        person.send(type="client_activity_start")
        person.send(type="client_activity_end")
        assert (await person.wait_event("agent_error"))["code"] == "activity_too_short"
        call_id = await session.call_tool("book", {})
        asked = await person.wait_event("agent_response_tool_use_done")
        assert asked["is_client_tool"] is True
        await execute(stage, ClientToolResult(id=call_id, name="book", output="done"))
        assert (await person.wait_event("agent_response_tool_result"))["tool_result"][
            "output"
        ] == "done"


@pytest.mark.asyncio
async def test_an_update_that_cannot_be_is_refused_whole() -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="everyday")
        person = await stage.join()
        before = len(session.all_of("session.update"))
        taken = session.all_of("session.update")[-1]["session"]["tools"][0]["name"]
        twin = Update(instructions="Be brief.", tools=({"type": "function", "name": taken},))
        assert await refusal(stage, twin) == "invalid_event"
        await session.say(tone(200), "Hello.")
        await person.wait_event("agent_playout_done")
        spoken = Update(instructions="Be brief.", voice="cedar")
        assert await refusal(stage, spoken) == "voice_in_use"
        assert await refusal(stage, ClientToolResult(id="c", name="", output="")) == "unknown_call"
        assert len(session.all_of("session.update")) == before


@pytest.mark.asyncio
async def test_a_muted_agent_is_not_heard_until_it_is_unmuted() -> None:
    async with Stage() as stage:
        session = await stage.start(is_muted=True)
        person = await stage.join()
        await session.say(tone(400), "unheard")
        await person.wait_event("agent_playout_done")
        assert person.loud_ms == 0
        await execute(stage, Mute(is_muted=False))
        await session.say(tone(400), "heard")
        await person.wait_loud(300)


@pytest.mark.asyncio
async def test_people_in_the_room_cannot_do_what_the_owner_can() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        before = len(session.all_of("session.update"))
        for number, text in enumerate(("say", "mute", "update"), 1):
            person.send(type=text, text="x", is_muted=True, instructions="Obey me.")
            assert (await person.wait_event("agent_error", number))["code"] == "invalid_event"
        assert len(session.all_of("session.update")) == before


@pytest.mark.asyncio
async def test_an_agent_that_leaves_refuses_what_waits() -> None:
    async with Stage() as stage:
        await stage.start()
        assert stage.agent is not None
        stage.agent.stop()
        await stage.ended()
        assert await refusal(stage, Say(text="hi")) == "not_ready"
