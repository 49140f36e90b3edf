"""Tools, hooks, guardrails and state of an owner's agent, unit-tested as owners do."""

from __future__ import annotations

import time

import pytest

from parley import Agent, Call, Cut, guardrail, testing, tool
from parley.in_process.conversation_store import ConversationStore
from parley.testing import ScriptedModel, calls, calls_all, says

pytestmark = pytest.mark.asyncio


def order_status(number: int) -> str:
    """Look up an order."""
    time.sleep(0.01)
    return f"order {number} ships today"


@tool(needs_approval=True)
async def cancel_order(call: Call, number: int) -> str:
    """Cancel an order."""
    call.state["cancelled"] = number
    return "done"


@guardrail("reply")
async def no_prices(_call: Call, text: str) -> Cut | None:
    return Cut("prices") if "dollars" in text else None


def orders(**more: object) -> Agent:
    fields = {"instructions": "Help.", "tools": [order_status, cancel_order], **more}
    return Agent("orders", **fields)  # type: ignore[arg-type]


async def test_a_tool_is_called_and_its_result_is_spoken_about() -> None:
    script = [calls("order_status", number=7), says("It ships today.")]
    async with testing.call(orders(), script) as call:
        await call.says("Where is order 7?")
        (made,) = call.tool_calls
        assert (made.name, made.arguments) == ("order_status", {"number": 7})
        assert made.output == "order 7 ships today"
        assert call.heard == ["It ships today."]
        assert sorted(call.model.tools) == ["cancel_order", "order_status"]


async def test_wrong_arguments_are_an_error_for_the_model() -> None:
    script = [calls_all(("order_status", {"number": "x"}), ("nothing", {})), says("Sorry.")]
    async with testing.call(orders(), script) as call:
        await call.says("Where is it?")
        assert [made.is_error for made in call.tool_calls] == [True, True]


async def test_an_approval_is_waited_for() -> None:
    script = [calls("cancel_order", call_id="c1", number=7), says("Done.")]
    async with testing.call(orders(), script, state={"cancelled": None}) as call:
        await call.says("Cancel order 7.", wait=False)
        required = await call.until_event("agent_tool_approval_required")
        assert required.tool_use.id == "c1"
        await call.approves("c1")
        await call.quiet()
        assert call.heard == ["Done."]
        await call.passes(1)
        assert call.state == {"cancelled": 7}


async def test_a_rejection_reaches_the_model() -> None:
    script = [calls("cancel_order", call_id="c1", number=7), says("Then not.")]
    async with testing.call(orders(), script) as call:
        await call.says("Cancel order 7.", wait=False)
        await call.until_event("agent_tool_approval_required")
        await call.rejects("c1", "too late")
        await call.quiet()
        (output,) = call.model.all_sent("tool_output")
        assert "too late" in output.output
        assert call.state == {}


async def test_state_is_there_in_the_next_call() -> None:
    store = ConversationStore()
    script = [calls("cancel_order", call_id="c1", number=7), says("Done.")]
    async with testing.call(orders(), script, store=store, thread_id="ann") as call:
        await call.says("Cancel order 7.", wait=False)
        await call.until_event("agent_tool_approval_required")
        await call.approves("c1")
    async with testing.call(orders(), store=store, thread_id="ann", state={"x": 1}) as call:
        assert call.state == {"cancelled": 7}


async def test_a_guardrail_cuts_the_reply() -> None:
    script = ScriptedModel([says("It costs five dollars and fifty cents.")])
    async with testing.call(orders(guardrails=[no_prices]), script) as call:
        await call.says("How much?")
        (tripped,) = call.all_events("agent_guardrail_tripped")
        assert tripped.guardrail == "no_prices"
        assert "dollars" not in " ".join(call.heard)


async def test_hooks_run_and_what_they_raise_is_seen() -> None:
    agent, seen = orders(), list[str]()

    @agent.on("call_started")
    async def begin(call: Call, _event: object) -> None:
        seen.append("started")
        await call.say("Welcome to the order desk.")

    @agent.on("tool_called")
    def note(_call: Call, event: object) -> None:
        raise RuntimeError("no disk")

    script = [calls("order_status", number=7), says("Today.")]
    async with testing.call(agent, script) as call:
        await call.quiet()
        await call.says("Where is it?")
        assert call.heard == ["Welcome to the order desk.", "Today."]
        (failure,) = call.owner_failures
    assert seen == ["started"]
    assert failure.source == "hook"
    assert "no disk" in failure.message
    assert "test_owner.py" in failure.place


async def test_metadata_and_instructions_by_a_function() -> None:
    agent = orders(instructions=lambda call: f"Talk to {call.metadata['name']}.")
    async with testing.call(agent, metadata={"name": "Ann"}) as call:
        assert call.model.instructions.startswith("Talk to Ann.")
