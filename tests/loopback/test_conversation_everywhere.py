"""One conversation, the same text with every provider: real WebRTC, a real agent, no word lost."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from conversation.lifecycle import AgentState, ExitReason
from tests.loopback.provider_sides import SIDES, AnySide, OpenSide
from tests.loopback.stage import Person, Stage

GREETING = "Welcome aboard."
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Listener:
    """Follows the agent's replies one after the other."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._replies = 0

    async def hears(self, words: str) -> None:
        """A reply with these words comes, is heard, and ends."""
        before_ms = self._person.loud_ms
        done: dict[str, Any] = {"transcript": ""}
        while words not in done["transcript"].lower():
            self._replies += 1
            done = await self._person.wait_event(
                "agent_response_audio_transcript_done", self._replies
            )
        playouts = 1
        while (await self._person.wait_event("agent_playout_done", playouts))["item_id"] != done[
            "item_id"
        ]:
            playouts += 1
        await self._person.wait_loud(before_ms + 100)

    async def is_back(self, times: int) -> None:
        """The connection to the model was replaced so often; the caller's own never was."""
        count = 0
        statuses: list[str] = []
        while statuses.count("open") < times:
            count += 1
            event = await self._person.wait_event("agent_connection_changed", count)
            statuses.append(event["status"])


def recall_name(known: str) -> str:
    """What a model answers that knows no more than it was told."""
    is_known = "my name is robert" in known.lower()
    return "Your name is Robert." if is_known else "You have not told me your name."


@pytest.mark.asyncio
@pytest.mark.parametrize("open_side", SIDES)
async def test_one_conversation(open_side: OpenSide) -> None:
    async with open_side() as side, Stage() as stage:
        await stage.run_until_ready(provider=side.config, tools=(WEATHER,), greeting=GREETING)
        await side.attach()
        person = await stage.join()
        listener = Listener(person)

        await side.greet(GREETING)
        await listener.hears("welcome")

        await side.ask(person, "My name is Robert.", lambda _: "Nice to meet you, Robert.")
        await listener.hears("nice to meet you, robert")

        await call_a_tool(side, person, listener)
        await interrupt_a_story(side, person, listener)
        await show_a_picture(side, person)

        await side.drop()
        await listener.is_back(1)
        await side.ask(person, "What is my name?", recall_name)
        await listener.hears("your name is robert")

        await side.expire()
        await side.ask(person, "What is my name?", recall_name)
        await listener.hears("your name is robert")
        await side.ask(person, "How much is three plus six?", lambda _: "That is 9.")
        await listener.hears("9")

        await side.close()
        assert AgentState.STOPPING not in stage.states, "one agent, one call, from first to last"
        assert stage.agent is not None
        stage.agent.stop()
        assert await stage.ended() is ExitReason.STOPPED
        assert (await person.wait_event("agent_ended"))["reason"] == "stopped"


async def call_a_tool(side: AnySide, person: Person, listener: Listener) -> None:
    """The caller's program answers the call, and the model says what it answered."""
    await side.call(person, "What is the weather in Tokyo?", "get_weather", {"city": "Tokyo"})
    use = (await person.wait_event("agent_response_tool_use_done"))["tool_use"]
    assert (use["name"], use["input"]) == ("get_weather", {"city": "Tokyo"})
    output = "It is sunny in Tokyo."
    person.send(type="client_tool_result", id=use["id"], name=use["name"], output=output)
    await side.say_result(output)
    await listener.hears("sunny")


async def interrupt_a_story(side: AnySide, person: Person, listener: Listener) -> None:
    """The reply falls silent, a part of it counts as heard, the interruption is answered."""
    before_ms = person.loud_ms
    await side.tell_story(person, "Tell me a short story about a lonely robot.")
    await person.wait_loud(before_ms + 1500)
    await side.ask(person, "Stop. How much is five plus two?", lambda _: "That is 7.")
    interrupted = await person.wait_event("agent_interrupted")
    assert interrupted["heard"], "what was heard of it is known"
    assert interrupted["audio_end_ms"] > 500
    await listener.hears("7")


async def show_a_picture(side: AnySide, person: Person) -> None:
    """It reaches a model that sees; of another the caller is told that it is blind."""
    person.send(type="client_image_append", image=base64.b64encode(JPEG).decode())
    if side.capabilities.has_image_input:
        assert await side.seen() == JPEG
    else:
        assert (await person.wait_event("agent_error"))["code"] == "unsupported_by_model"
