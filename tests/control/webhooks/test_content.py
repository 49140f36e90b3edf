"""Notices with content: only when asked for, in the order of their call, bounded, none once it is deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.notices import CONTENT_KINDS, LIFECYCLE_KINDS, NoticeKind, parse_kinds
from control.ipc.link import Event
from control.store.records import TextEntry
from control.webhooks.notices import (
    MAX_TEXT_CHARACTERS,
    MAX_TRANSCRIPT_CHARACTERS,
    CallData,
    TranscriptData,
    kept_entries,
)
from control.webhooks.retries import RetryPolicy
from control.webhooks.schedule import Schedule
from control.webhooks.sender import Webhooks
from control.webhooks.tool_calls import MAX_OPEN, ToolCalls
from conversation.events.parts import ToolResult, ToolUse
from conversation.events.server_events import (
    AgentHostedToolProgress,
    AgentResponseToolResult,
    AgentResponseToolUseDone,
)
from tests.control.event_stream.test_streams import end
from tests.control.webhooks.test_webhooks import QUICK, SECRET, Receiver, receiving
from tests.processes.conftest import agent_config, until

ALL = parse_kinds(["agent.*", "call.*"])
AGENT: dict[str, Any] = {"agent_id": "id-demo", "agent_name": "Ada"}


def opened(receiver: Receiver, kinds: tuple[NoticeKind, ...] = ALL) -> Webhooks:
    webhooks = Webhooks(SecretStr(receiver.url), SECRET, kinds=kinds, retries=QUICK)
    webhooks.start()
    return webhooks


def call_tool(webhooks: Webhooks, call_id: str, given: dict[str, Any]) -> None:
    use = ToolUse(id=call_id, name="look_up", input=given)
    event = AgentResponseToolUseDone(**AGENT, response_id="r", item_id="i", tool_use=use)
    webhooks.handle_message(agent_config(), Event(event=event))


def answer_tool(webhooks: Webhooks, call_id: str, output: str, *, is_error: bool = False) -> None:
    result = ToolResult(id=call_id, name="look_up", output=output, is_error=is_error)
    event = AgentResponseToolResult(**AGENT, tool_result=result)
    webhooks.handle_message(agent_config(), Event(event=event))


def about_call(name: str = "demo") -> CallData:
    return CallData(channel_name=name, agent_id=f"id-{name}", uid=1, thread_id="t")


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in receiver.received]


def test_kinds_are_named_one_by_one_or_by_group() -> None:
    assert parse_kinds(["agent.*"]) == LIFECYCLE_KINDS
    assert parse_kinds(["call.usage", "agent.exited", "call.usage"]) == (
        "call.usage",
        "agent.exited",
    )
    with pytest.raises(ValueError, match=r"known are: agent\.started"):
        parse_kinds(["call.everything"])


@pytest.mark.asyncio
async def test_content_is_sent_only_if_it_is_asked_for() -> None:
    async with receiving() as receiver:
        for kinds in (LIFECYCLE_KINDS, ("call.usage",)):
            webhooks = opened(receiver, kinds)
            webhooks.handle_start(agent_config(), restarts=0)
            call_tool(webhooks, "c", {"what": "a secret"})
            answer_tool(webhooks, "c", "a secret")
            for kind in CONTENT_KINDS[1:]:
                webhooks.send(kind, about_call())
            await webhooks.close()
        assert [one.kind for one in receiver.received] == ["agent.started", "call.usage"]
        assert "a secret" not in str(receiver.received)


@pytest.mark.asyncio
async def test_tool_calls_are_told_as_they_end() -> None:
    async with receiving() as receiver:
        webhooks = opened(receiver, ("call.tool_call", "agent.restarting"))
        call_tool(webhooks, "one", {"what": "hours", "more": None})
        call_tool(webhooks, "two", {"text": "x" * (2 * MAX_TEXT_CHARACTERS)})
        call_tool(webhooks, "three", {})
        answer_tool(webhooks, "two", "no", is_error=True)
        answer_tool(webhooks, "one", "y" * (2 * MAX_TEXT_CHARACTERS))
        answer_tool(webhooks, "one", "again")
        end(webhooks, agent_config(), is_restarted=True)  # type: ignore[arg-type]
        await webhooks.close()
    told = bodies(receiver)
    two, one, three = (each["data"] for each in told[:3])
    assert told[3]["type"] == "agent.restarting"
    assert (two["state"], two["error"], two["cut"]) == ("failed", "no", ["arguments"])
    assert len(two["arguments"]) == MAX_TEXT_CHARACTERS
    assert (one["state"], one["cut"]) == ("done", ["result"])
    assert one["arguments"] == {"what": "hours", "more": None}
    assert one["result"] == "y" * MAX_TEXT_CHARACTERS
    assert (three["state"], three["tool_call_id"]) == ("lost", "three")
    assert all(each["data"]["duration_ms"] >= 0 for each in told[:3])


def test_tools_that_the_provider_calls_are_told_too() -> None:
    calls, config = ToolCalls(), agent_config()
    about = {"item_id": "i", "server_label": "crm", "name": "find", "arguments": '{"id": 7}'}

    def step(stage: str, now_s: float, **more: Any) -> Any:
        event = AgentHostedToolProgress(**AGENT, stage=stage, **({"item_id": "i"} | more))
        return calls.follow_hosted(config, event, now_s=now_s)

    assert step("calling", 1.0) is None
    assert step("failed", 2.0) is None
    told = step("failed", 2.0, error="away", **about)
    assert (told.state, told.error, told.duration_ms) == ("failed", "away", 1000)
    assert (told.name, told.server_label, told.arguments) == ("find", "crm", {"id": 7})
    assert step("calling", 3.0) is None
    told = step("done", 3.5, output="Ada", **about)
    assert (told.state, told.result, told.duration_ms) == ("done", "Ada", 500)
    # Of one that is lost nothing is known.
    assert step("calling", 4.0) is None
    assert calls.lose("id-demo", channel_name="demo", uid=1, now_s=5.0) == []


def test_open_tool_calls_are_bounded() -> None:
    calls = ToolCalls()
    for number in range(2 * MAX_OPEN):
        calls.begin("a", ToolUse(id=f"c{number}", name="f"), now_s=number)
    lost = calls.lose("a", channel_name="demo", uid=1, now_s=200)
    assert [one.tool_call_id for one in lost] == [f"c{n}" for n in range(MAX_OPEN, 2 * MAX_OPEN)]
    assert lost[0].duration_ms == (200 - MAX_OPEN) * 1000
    assert calls.lose("a", channel_name="demo", uid=1, now_s=200) == []


@pytest.mark.asyncio
async def test_notices_of_one_call_follow_one_another_and_hold_up_no_other() -> None:
    async with receiving() as receiver:
        webhooks = opened(receiver)
        receiver.hung.add("demo")
        for number in range(20):
            call_tool(webhooks, f"c{number}", {})
            answer_tool(webhooks, f"c{number}", "done")
        for _ in range(3):
            webhooks.send("call.usage", about_call("other"))
        await until(lambda: len(receiver.of("other")) == 3)
        assert len(receiver.of("demo")) == 1
        receiver.hung.clear()
        receiver.release.set()
        await webhooks.close()
    told = [one for one in bodies(receiver) if one["data"]["channel_name"] == "demo"]
    assert [one["data"]["tool_call_id"] for one in told] == [f"c{n}" for n in range(20)]
    stamps = [one["timestamp"] for one in told]
    assert stamps == sorted(set(stamps))


@pytest.mark.asyncio
async def test_a_refused_notice_is_retried_apart_and_holds_up_none_of_its_call() -> None:
    async with receiving() as receiver:
        webhooks = opened(receiver)
        patient = RetryPolicy(attempts=2, first_s=60.0, cap_s=60.0)
        webhooks._retries = patient
        statuses = iter([500])
        receiver.status = lambda: next(statuses, 204)
        for number in range(3):
            call_tool(webhooks, f"c{number}", {})
            answer_tool(webhooks, f"c{number}", "done")
        await until(lambda: len(receiver.received) == 3)
        # The end of the server waits for no pause.
        await webhooks.close()
    told = bodies(receiver)
    assert [one["data"]["tool_call_id"] for one in told] == ["c0", "c1", "c2", "c0"]
    assert sorted(told[1:], key=lambda one: str(one["timestamp"]))[0] == told[0]


@pytest.mark.asyncio
async def test_nothing_of_a_deleted_call_is_sent_or_tried_again() -> None:
    async with receiving() as receiver:
        webhooks = opened(receiver)
        receiver.gate.clear()
        receiver.refused.add("demo")
        for _ in range(4):
            webhooks.send("call.usage", about_call())
        await until(lambda: receiver.received)
        webhooks.forget_calls({"id-demo"})
        assert webhooks.waiting == 0
        receiver.gate.set()
        await webhooks.close()
        assert len(receiver.received) == 1


def test_of_a_long_transcript_the_end_is_kept() -> None:
    entries = [
        TextEntry(number=number, at_ms=0, role="user", text="w" * 16_000) for number in range(40)
    ]
    kept = kept_entries(entries)
    assert kept == tuple(entries[-len(kept) :])
    data = TranscriptData(**about_call().model_dump(), entries=kept, left_out=40 - len(kept))
    assert MAX_TRANSCRIPT_CHARACTERS / 2 < len(data.model_dump_json()) < MAX_TRANSCRIPT_CHARACTERS
    assert kept_entries(entries[:3]) == tuple(entries[:3])
    assert kept_entries([]) == ()


def test_waiting_deliveries_are_bounded_in_bytes() -> None:
    schedule: Schedule[int] = Schedule(100, limit_bytes=1_000)
    for number in range(10):
        schedule.add(number, 300)
    assert (list(schedule), schedule.dropped) == ([7, 8, 9], 7)
    taken = schedule.take(0, may_be_refused=True, may_begin=lambda thing: thing == 8)
    assert taken is not None
    schedule.add(10, 300)
    assert list(schedule) == [7, 9, 10]
    schedule.put_back(*taken, due_s=5.0, size_bytes=300)
    assert (list(schedule), schedule.dropped) == ([9, 10, 8], 8)
    schedule.drop(lambda thing: thing in (8, 9))
    schedule.add(11, 600)
    assert list(schedule) == [10, 11]
