"""A later call goes on with what was said before, the same text with every dialect."""

from __future__ import annotations

import pytest

from conversation.lifecycle import ExitReason
from conversation.snapshot import SnapshotText, SnapshotToolCall, continued
from tests.loopback.provider_sides import SCRIPTED_SIDES, OpenSide
from tests.loopback.stage import Stage
from tests.loopback.test_conversation_everywhere import (
    GREETING,
    WEATHER,
    Listener,
    call_a_tool,
    recall_name,
)

EARLIER = (
    SnapshotText(number=0, role="user", text="My name is Robert."),
    SnapshotText(number=1, role="assistant", text="Nice to meet you, Robert."),
    SnapshotToolCall(
        number=2,
        call_id="call_before",
        name="get_weather",
        arguments='{"city": "Tokyo"}',
        output="It is sunny in Tokyo.",
    ),
    # Cut where the earlier call ended: nobody waits for the rest, or for an answer.
    SnapshotText(number=3, role="assistant", text="It is sun", is_open=True),
    SnapshotText(number=4, role="user", text="Wait."),
)


@pytest.mark.asyncio
@pytest.mark.parametrize("open_side", SCRIPTED_SIDES)
async def test_a_later_call_knows_what_was_said(open_side: OpenSide) -> None:
    async with open_side() as side, Stage() as stage:
        seed = continued(EARLIER)
        await stage.run_until_ready(
            provider=side.config, tools=(WEATHER,), greeting=GREETING, conversation_seed=seed
        )
        await side.attach()
        person = await stage.join()
        listener = Listener(person)

        # Greeted anew, before anything else.
        await side.greet(GREETING)
        await listener.hears("welcome")
        await side.ask(person, "What is my name?", recall_name)
        await listener.hears("your name is robert")
        # The call of before is answered; a new one is a call of its own.
        await call_a_tool(side, person, listener)
        await side.drop()
        await listener.is_back(1)
        await side.ask(person, "What is my name?", recall_name)
        await listener.hears("your name is robert")

        await side.close()
        assert stage.agent is not None
        told = stage.agent.conversation()
        stage.agent.stop()
        assert await stage.ended() is ExitReason.STOPPED
    # What was known from before keeps its places; what is new follows.
    assert told[: len(seed.entries)] == list(seed.entries)
    assert [entry.number for entry in told] == list(range(told[0].number, told[-1].number + 1))
