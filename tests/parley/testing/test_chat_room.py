"""Chat rooms under test: a scripted model for each agent, and moderators in virtual time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from conversation.events import server_events as out
from parley import Agent, ChatRoom, ModelModerator, testing
from parley.chat_room import Moderator
from parley.testing import ScriptedModel, Step, calls, says, writes
from realtime import events as model
from realtime.model import ModelConnectError

pytestmark = pytest.mark.asyncio


def find_order(number: str) -> str:
    """Look up an order."""
    return f"order {number} is on its way"


ADA = Agent("ada", display_name="Ada", instructions="You explain.", voice="marin")
BEN = Agent("ben", display_name="Ben", instructions=lambda _call: "You doubt.", tools=[find_order])


def room(moderator: Moderator = "addressed", **values: Any) -> ChatRoom:
    return ChatRoom("panel", agents=[ADA, BEN], moderator=moderator, **values)


def speakers(call: testing.CallUnderTest) -> list[str]:
    created = call.all_events(out.AgentResponseCreated)
    return [each.agent_name for each in created if not each.is_out_of_band]


async def test_each_agent_has_a_script_and_hears_the_other() -> None:
    script = {"ada": [says("What do you think, Ben?")], "ben": [says("I doubt it.")]}
    async with testing.call(room(), script) as call:
        await call.says("Is it true?")
        assert call.heard == ["What do you think, Ben?", "I doubt it."]
        assert speakers(call) == ["Ada", "Ben"]
        ada, ben = call.models["ada"], call.models["ben"]
        assert ada.instructions.startswith("You explain.")
        assert ben.instructions.startswith("You doubt.")
        assert (ada.settings["voice"], ada.tools, ben.tools) == ("marin", [], ["find_order"])
        got = [each.text for each in ben.all_sent("text")]
        assert got == ["user: Is it true?", "Ada: What do you think, Ben?"]


async def test_a_script_that_did_not_come_to_its_end_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="did not come: reply"):
        async with testing.call(room(), {"ada": [says("Yes.")], "ben": [says("never")]}) as call:
            await call.says("Ada?")
    with pytest.raises(AssertionError, match="scripts are for ada, ben"):
        async with testing.call(room(), {"cleo": []}):
            pass


async def test_a_moderator_is_tested_in_no_time() -> None:
    views: list[tuple[list[str], str]] = []

    async def moderator(view: Any) -> str | None:
        await asyncio.sleep(1.0)
        views.append((list(view.agents), view.turns[-1].text))
        return "ben" if not view.turns[-1].is_agent else None

    began_s = time.perf_counter()
    async with testing.call(room(moderator), {"ben": [says("Always me.")] * 3}) as call:
        for _ in range(3):
            await call.says("Next?")
        assert speakers(call) == ["Ben"] * 3
    assert time.perf_counter() - began_s < 5
    assert views[:2] == [(["ada", "ben"], "Next?"), (["ada", "ben"], "Always me.")]


def raises(_view: Any) -> str:
    raise ValueError("no idea")


async def sleeps(_view: Any) -> str:
    await asyncio.sleep(60)
    return "ben"


@pytest.mark.parametrize(
    ("moderator", "message"),
    [
        (raises, "ValueError: no idea"),
        (sleeps, "took longer than 3 s"),
        (lambda _view: "cleo", "named no agent of the call"),
        (lambda _view: 7, "named no agent of the call"),
        (lambda _view: ["ben"], "named no agent of the call"),
    ],
)
async def test_the_rule_decides_where_a_moderator_fails(moderator: Any, message: str) -> None:
    one_turn = room(moderator, max_agent_turns=1)
    async with testing.call(one_turn, {"ada": [says("I am Ada.")]}) as call:
        await call.says("Who are you?")
        assert speakers(call) == ["Ada"]
        assert [(each.source, each.message) for each in call.owner_failures] == [
            ("moderator", message)
        ]


async def test_a_moderator_that_names_none_leaves_a_persons_turn_to_the_last_speaker() -> None:
    script = {"ben": [says("I am Ben."), says("Still me.")]}
    async with testing.call(room(lambda _view: None), script) as call:
        await call.sends({"type": "client_text_append", "text": "who?", "agent": "ben"})
        await call.quiet()
        await call.says("And now?")
        assert speakers(call) == ["Ben", "Ben"]
        assert call.owner_failures == []


def is_question(command: object) -> bool:
    """A request for a written answer beside the conversation."""
    return isinstance(command, model.CreateResponse) and command.out_of_band is not None


def answer(text: str) -> Step:
    return Step(writes(text), expect=is_question)


async def test_a_model_chooses_the_speaker_beside_the_conversation() -> None:
    ada = ScriptedModel([answer("Ben"), answer("PEOPLE.")])
    script = {"ada": ada, "ben": ScriptedModel([says("I doubt it.")])}
    async with testing.call(room(ModelModerator("The doubter begins.")), script) as call:
        await call.says("Is it true?")
        assert call.heard == ["I doubt it."]
        assert speakers(call) == ["Ben"]
        asked, after = [one for one in call.model.all_sent("reply") if one.out_of_band]
        assert asked.instructions is not None
        assert "The doubter begins." in asked.instructions
        assert "Ada, Ben" in asked.instructions
        assert [each.text for each in asked.input_items] == ["user: Is it true?"]
        assert [each.text for each in after.input_items] == ["user: Is it true?\nBen: I doubt it."]


async def test_a_model_that_names_no_agent_leaves_it_to_the_rule() -> None:
    moderator = room(ModelModerator("The wisest begins."), max_agent_turns=1)
    async with testing.call(moderator, {"ada": [answer("Socrates"), says("Yes?")]}) as call:
        await call.says("Who is wise?")
        assert call.heard == ["Yes?"]
        assert [each.message for each in call.owner_failures] == [
            "ValueError: the model named none of the agents"
        ]


async def test_a_person_interrupts_while_an_agents_tool_runs() -> None:
    release = asyncio.Event()

    async def look_up(number: str) -> str:
        """Look up an order."""
        await release.wait()
        return f"{number} ships"

    ben = Agent("ben", display_name="Ben", tools=[look_up])
    panel = ChatRoom("panel", agents=[ADA, ben])
    script = {
        "ada": [says("I am here.")],
        "ben": [calls("look_up", number="7"), says("It ships.")],
    }
    async with testing.call(panel, script) as call:
        await call.says("Ben, where is order 7?", wait=False)
        await call.until_event(out.AgentResponseToolUseDone)
        await call.says("Ada, are you there?", wait=False)
        await call.until(lambda: "I am here." in call.said)
        release.set()
        await call.quiet()
        (used,) = call.tool_calls
        assert (used.name, used.output) == ("look_up", "7 ships")
        assert call.said == ["I am here.", "It ships."]
        assert [each.output for each in call.models["ben"].all_sent("tool_output")] == ["7 ships"]
        assert call.models["ada"].all_sent("tool_output") == []


async def test_an_agent_whose_model_is_lost_for_good_leaves_and_the_others_go_on() -> None:
    ben = ScriptedModel()
    ben.refuse_later(ModelConnectError("no", code="refused", is_retryable=False))
    ada = ScriptedModel([says("I am here."), says("So am I.")])
    async with testing.call(room(), {"ada": ada, "ben": ben}) as call:
        ben.lose()
        await call.until_event(out.AgentError)
        await call.says("Ben, are you there?")
        await call.says("And Ada?")
        assert speakers(call) == ["Ada", "Ada"]
        assert not call.is_over
        (error,) = call.all_events(out.AgentError)
        assert error.message.startswith("ben left the call")
