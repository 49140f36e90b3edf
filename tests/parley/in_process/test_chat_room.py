"""A chat room in-process, its agents at fakes of their providers."""

from __future__ import annotations

import asyncio

import pytest

from config.settings import AgentConfigError
from parley import Agent, ChatRoom
from parley.live_events import AgentChangedEvent, OutputTranscriptEvent
from parley.live_input import LiveInputQueue
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import LiveTalk, settings_of, talking
from utils import cancel_and_wait

pytestmark = pytest.mark.asyncio

OWN_KEY = "sk-" + "b" * 40


def find_order(number: str) -> str:
    """Look up an order."""
    return f"order {number} is on its way"


ADA = Agent("ada", provider="openai", model="gpt-ada", voice="marin", instructions="You explain.")
BEN = Agent(
    "ben",
    display_name="Ben",
    provider="openai",
    model="gpt-ben",
    voice="cedar",
    instructions=lambda call: f"You doubt, {call.metadata['shop']}.",
    api_key=lambda: OWN_KEY,
    tools=[find_order],
)
PANEL = ChatRoom("panel", agents=[ADA, BEN])


async def test_each_agent_has_its_own_session_and_events_say_which_one_speaks() -> None:
    async with FakeRealtimeServer() as server:
        async with talking(server, PANEL, metadata={"shop": "shop"}) as (talk, first):
            by_model = {
                str(each.settings["model"]): each for each in (first, await server.next_session())
            }
            ada, ben = by_model["gpt-ada"], by_model["gpt-ben"]
            await talk.until_type("session_started")
            assert "You explain." in str(ada.settings["instructions"])
            assert str(ben.settings["instructions"]).startswith("You doubt, shop.")
            assert [one["name"] for one in ben.settings["tools"]] == ["find_order"]
            assert not ada.settings["tools"]
            keys = [one["Authorization"].removeprefix("Bearer ") for one in server.asked_headers]
            assert sorted(keys) == [OWN_KEY, settings_of(server)["OPENAI_API_KEY"]]
            talk.queue.send_text("Ben, where is order 7?")
            await ben.wait_for("response.create")
            await ben.call_tool("find_order", {"number": "7"})
            await ben.wait_for("response.create", 2)
            await ben.say(tone(100), "On its way, says Ada.")
            await ada.wait_for("response.create")
            await ada.say(tone(100), "So it is.")
            talk.queue.close()
            await talk.until_over()
        assert [(each.previous, each.author) for each in talk.all_of("agent_changed")] == [
            ("", "ben"),
            ("ben", "ada"),
        ]
        said = [
            each.author if isinstance(each, AgentChangedEvent) else each.text
            for each in talk.seen
            if isinstance(each, AgentChangedEvent)
            or (isinstance(each, OutputTranscriptEvent) and each.finished)
        ]
        assert said == ["ben", "On its way, says Ada.", "ada", "So it is."]
        (result,) = talk.all_of("tool_result")
        assert result.result == "order 7 is on its way"


async def test_a_program_without_a_loop_runs_a_room() -> None:
    async with FakeRealtimeServer() as server:
        queue = LiveInputQueue()
        queue.send_text("Ben?")
        queue.close()
        metadata = {"shop": "x"}

        def run() -> list[str]:
            events = PANEL.realtime(queue, settings=settings_of(server), metadata=metadata)
            return [each.author for each in events if isinstance(each, AgentChangedEvent)]

        running = asyncio.get_running_loop().create_task(asyncio.to_thread(run))
        sessions = [await server.next_session() for _ in range(2)]
        [ben] = [each for each in sessions if each.settings["model"] == "gpt-ben"]
        await ben.wait_for("response.create")
        await ben.say(tone(100), "Yes.")
        assert await running == ["ben"]


async def test_a_room_that_cannot_begin_says_why() -> None:
    eve = Agent("eve", provider="openai", handoffs=[BEN])
    async with FakeRealtimeServer() as server:
        for room, start, text in (
            (ChatRoom("panel", agents=[ADA, "cleo"]), {}, "no agent cleo"),
            (ChatRoom("panel", agents=[ADA, eve]), {}, "eve has handoffs"),
            (PANEL, {"voice": "marin"}, "voice: each of several agents has its own"),
        ):
            talk = LiveTalk()
            events = room.arealtime(talk.queue, settings=settings_of(server), start=start)
            task = asyncio.get_running_loop().create_task(talk.take(events))
            await talk.until_over()
            await cancel_and_wait(task)
            assert isinstance(talk.failure, AgentConfigError)
            assert text in str(talk.failure)
