"""Tool calls as people in the room and the observer see them grow, by what the start shows."""

from __future__ import annotations

from typing import Any

import pytest

from conversation.events.server_events import AgentHostedToolProgress, AgentResponseToolUseDelta
from realtime import events as model
from realtime.events import ModelEvent
from tests.session.running import OTHER, USER, RunningSession
from tools import ToolContext

GROWTH = (
    model.ToolCallDelta("r", "i", "c1", '{"card', "pay"),
    model.ToolCallDelta("r", "i", "c1", '": 4711}', "pay"),
)


async def seen(
    event_type: str, *events: ModelEvent, **config: Any
) -> tuple[dict[int | None, list[dict[str, Any]]], list[Any]]:
    """What each participant got of one type, and what the observer got of all, after these events."""
    tools = ToolContext()
    tools.register_client_function({"name": "pay"})
    async with RunningSession(tools, **config) as running:
        running.say(*events, model.ResponseDone("last", model.ResponseStatus.COMPLETED))
        await running.channel.wait_event("agent_response_done")
        sent = [(event, to) for event, to in running.channel.sent if event["type"] == event_type]
        published = list(running.published)
    return {
        uid: [event for event, to in sent if to == uid] for uid in (None, USER, OTHER)
    }, published


def raw_inputs(events: list[dict[str, Any]]) -> list[str]:
    return [event["tool_use"]["raw_input"] for event in events]


@pytest.mark.asyncio
async def test_a_growing_call_reaches_those_that_may_see_it() -> None:
    kind = "agent_response_tool_use_delta"
    told, published = await seen(kind, *GROWTH, tool_results_from=(USER,), show_tools="names")
    whole = ['{"card', '{"card": 4711}']
    assert told[None] == []
    assert raw_inputs(told[USER]) == whole
    assert raw_inputs(told[OTHER]) == [""], "who sees names only is told once that it began"
    first = told[USER][0]
    assert (first["response_id"], first["item_id"]) == ("r", "i")
    assert first["tool_use"] == {
        "type": "tool_use",
        "id": "c1",
        "name": "pay",
        "input": {},
        "raw_input": '{"card',
    }
    deltas = [each for each in published if isinstance(each, AgentResponseToolUseDelta)]
    assert [each.tool_use.raw_input for each in deltas] == whole
    assert all((each.agent_id, each.agent_name) == ("a1", "Ada") for each in deltas)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("shown", "raw"), [("none", []), ("names", [""]), ("full", ['{"card', '{"card": 4711}'])]
)
async def test_a_growing_call_is_shown_as_the_start_says(shown: str, raw: list[str]) -> None:
    kind = "agent_response_tool_use_delta"
    told, published = await seen(kind, *GROWTH, tool_results_from="http", show_tools=shown)
    assert raw_inputs(told[USER]) == raw
    assert sum(isinstance(each, AgentResponseToolUseDelta) for each in published) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("shown", "seen_output"), [("none", None), ("names", ""), ("full", "4 letters")]
)
async def test_a_tool_of_the_provider_is_shown_as_the_start_says(
    shown: str, seen_output: str | None
) -> None:
    done = model.HostedToolProgress("i", "done", "mail", "find", "{}", "4 letters")
    told, published = await seen("agent_hosted_tool_progress", done, show_tools=shown)
    outputs = [event["output"] for event in told[USER]]
    assert outputs == ([] if seen_output is None else [seen_output])
    (event,) = [each for each in published if isinstance(each, AgentHostedToolProgress)]
    assert (event.stage, event.server_label, event.name) == ("done", "mail", "find")
    assert (event.arguments, event.output) == ("{}", "4 letters")
