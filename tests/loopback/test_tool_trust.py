"""Who in the room may answer and allow tool calls, and what each one sees of them."""

from __future__ import annotations

from typing import Any

import pytest

from conversation.events.client_events import ClientToolApproval, ClientToolResult
from conversation.events.commands import CommandRefusedError
from conversation.events.server_events import AgentResponseToolResult, AgentResponseToolUseDone
from tests.loopback.stage import Person, Stage
from tests.loopback.test_tools import Bench, bench, outputs

__all__ = ["bench"]

REFUND = {
    "type": "function",
    "name": "refund",
    "parameters": {"type": "object", "properties": {"account": {"type": "string"}}},
}
DEFAULTS: dict[str, Any] = {"tool_results_from": "http", "show_tools": "names"}


async def refused(person: Person, count: int = 1) -> str:
    return str((await person.wait_event("agent_error", count))["code"])


@pytest.mark.asyncio
async def test_nobody_in_the_room_answers_for_the_owners_program() -> None:
    async with Stage() as stage:
        session = await stage.start(tools=(REFUND,), **DEFAULTS)
        person = await stage.join()
        call_id = await session.call_tool("refund", {"account": "secret"})
        seen = await person.wait_event("agent_response_tool_use_done")
        assert not seen["is_client_tool"]
        assert seen["tool_use"] == {
            "type": "tool_use",
            "id": call_id,
            "name": "refund",
            "input": {},
        }
        person.send(type="client_tool_result", id=call_id, name="refund", output="refund 1000")
        assert await refused(person) == "not_allowed"
        # Nobody learns in this way which calls wait.
        person.send(type="client_tool_result", id="none", name="refund", output="refund 1000")
        assert await refused(person, 2) == "not_allowed"
        assert stage.agent is not None
        await stage.agent.execute(ClientToolResult(id=call_id, name="refund", output="denied"))
        assert await outputs(session, 1) == {call_id: "denied"}
        result = (await person.wait_event("agent_response_tool_result"))["tool_result"]
        assert (result["name"], result["output"], result["is_error"]) == ("refund", "", False)
        (use,) = (one for one in stage.published if isinstance(one, AgentResponseToolUseDone))
        assert (use.is_client_tool, use.tool_use.input) == (True, {"account": "secret"})
        (told,) = (one for one in stage.published if isinstance(one, AgentResponseToolResult))
        assert told.tool_result.output == "denied"


@pytest.mark.asyncio
async def test_those_whom_the_start_names_answer_and_see_what_is_asked() -> None:
    async with Stage() as stage:
        session = await stage.start(tools=(REFUND,), tool_results_from=(8,), show_tools="none")
        caller, clerk = await stage.join(7), await stage.join(8)
        call_id = await session.call_tool("refund", {"account": "secret"})
        seen = await clerk.wait_event("agent_response_tool_use_done")
        assert (seen["is_client_tool"], seen["tool_use"]["input"]) == (True, {"account": "secret"})
        caller.send(type="client_tool_result", id=call_id, name="refund", output="refund 1000")
        assert await refused(caller) == "not_allowed"
        clerk.send(type="client_tool_result", id=call_id, name="refund", output="10 euros")
        assert await outputs(session, 1) == {call_id: "10 euros"}
        await session.say(b"", "done")
        await caller.wait_event("agent_response_audio_transcript_done")
        assert [
            event["type"] for event in caller.events if "agent_response_tool" in event["type"]
        ] == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("show", "shown"),
    [("none", None), ("names", ({}, "")), ("full", ({}, "quick done"))],
)
async def test_people_see_of_the_agents_own_tools_what_the_start_says(
    bench: Bench, show: str, shown: Any
) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench", show_tools=show)
        person = await stage.join()
        await session.call_tool("quick", {})
        await outputs(session, 1)
        await session.say(b"", "done")
        await person.wait_event("agent_response_audio_transcript_done")
        uses = person.all_of("agent_response_tool_use_done")
        results = person.all_of("agent_response_tool_result")
        if shown is None:
            assert (uses, results) == ([], [])
        else:
            seen = (uses[0]["tool_use"]["input"], results[0]["tool_result"]["output"])
            assert seen == shown


@pytest.mark.asyncio
async def test_only_the_agents_user_allows_its_tools(bench: Bench) -> None:
    """Where a start names its user, others in the room are strangers."""
    async with Stage() as stage:
        session = await stage.start(toolset="bench", user_uid=8, **DEFAULTS)
        stranger, user = await stage.join(7), await stage.join(8)
        call_id = await session.call_tool("pay", {})
        await user.wait_event("agent_tool_approval_required")
        stranger.send(type="client_tool_approval", id=call_id, approve=True)
        assert await refused(stranger) == "not_allowed"
        assert stranger.all_of("agent_tool_approval_required") == []
        user.send(type="client_tool_approval", id=call_id, approve=True)
        assert (await outputs(session, 1))[call_id] == "paid"


@pytest.mark.asyncio
async def test_approvals_may_be_the_owners_alone(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench", tool_approvals_from="http")
        person = await stage.join()
        call_id = await session.call_tool("pay", {})
        person.send(type="client_tool_approval", id=call_id, approve=True)
        assert await refused(person) == "not_allowed"
        assert bench.paid == 0
        assert stage.agent is not None
        with pytest.raises(CommandRefusedError, match="no call other"):
            await stage.agent.execute(ClientToolApproval(id="other", approve=True))
        await stage.agent.execute(ClientToolApproval(id=call_id, approve=True))
        assert (await outputs(session, 1))[call_id] == "paid"


@pytest.mark.asyncio
async def test_calls_under_one_id_are_run_told_and_allowed_one_by_one(bench: Bench) -> None:
    """Some servers count the calls of each reply from zero."""
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        for name in ("work", "pay"):
            await session.call_tool(name, {}, call_id=f"{name}_0")
        await bench.started.get()
        await person.wait_event("agent_tool_approval_required")
        person.send(type="client_tool_approval", id="pay_0", approve=True)
        await person.wait_event("agent_response_tool_result")
        bench.is_free.set()
        await person.wait_event("agent_response_tool_result", 2)
        assert await outputs(session, 2) == {"work_0": "work done", "pay_0": "paid"}
