"""Tools in a call, over real WebRTC, against a scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from conversation.snapshot import ResumeState, SnapshotToolCall
from parley import Agent, HttpTool, Progress, Result
from tests.fakes.http_server import serving
from tests.fakes.openai_frames import Reply, frame, new_id
from tests.fakes.openai_realtime import FakeSession
from tests.fakes.openai_session import tone
from tests.loopback.gemini_stage import GeminiStage
from tests.loopback.stage import Stage
from tools import ToolContext
from toolsets import everyday, registry
from toolsets.services import ToolServices


class Bench:
    """Tools that a test can hold back and follow."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.ended: list[str] = []
        self.is_free = asyncio.Event()
        self.paid = 0
        self.approval_timeout_s = 10.0

    def create(self, _services: ToolServices) -> ToolContext:
        tools = ToolContext(approval_timeout_s=self.approval_timeout_s)
        tools.register_function("quick", "Answer at once.", self.quick)
        tools.register_function("note", "Take a note.", self.quick, start_response=False)
        tools.register_function("hang", "Never answer.", self.hang, timeout_s=0.05)
        tools.register_function("work", "Work on.", self.work)
        tools.register_function("pay", "Pay.", self.pay, needs_approval=True)
        tools.register_function("search", "Search.", self.search, cancel_on_interrupt=True)
        return tools

    async def quick(self) -> str:
        return "quick done"

    async def pay(self) -> str:
        self.paid += 1
        return "paid"

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def work(self) -> str:
        return await self._wait("work")

    async def search(self) -> str:
        return await self._wait("search")

    async def _wait(self, name: str) -> str:
        self.started.put_nowait(name)
        try:
            await self.is_free.wait()
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        self.ended.append(f"{name} done")
        return f"{name} done"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The tool set `bench`."""
    made = Bench()
    monkeypatch.setitem(registry._TOOLSETS, "bench", made.create)
    return made


async def call_tools(session: FakeSession, *names: str) -> dict[str, str]:
    """One reply that calls several tools; returns their call ids by name."""
    reply = Reply()
    await session.send(reply.begin())
    calls = {name: new_id("call") for name in names}
    endings: list[Any] = []
    for name, call_id in calls.items():
        reply.item_id = new_id("item")
        await session.send(*reply.add_item(reply.call_item(name, call_id, "", "in_progress")))
        await session.send(*reply.arguments(call_id, name, "{}"))
        *ending, done, _limits = reply.end_item(reply.call_item(name, call_id, "{}", "completed"))
        await session.send(*ending)
        endings.append(done)
    await session.send(endings[-1])
    return calls


async def outputs(session: FakeSession, count: int) -> dict[str, str]:
    """What the model was told, by call id, once it was told `count` things."""
    await session.wait_for("conversation.item.create", count)
    items = [event["item"] for event in session.all_of("conversation.item.create")]
    assert len(items) == count
    return {item["call_id"]: item["output"] for item in items}


@pytest.mark.asyncio
async def test_several_calls_at_once_run_side_by_side_and_are_followed_up_once(
    bench: Bench,
) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        calls = await call_tools(session, "work", "quick", "hang", "search")
        assert {await bench.started.get(), await bench.started.get()} == {"work", "search"}
        told = await outputs(session, 2)  # the quick one, and the one that never answers
        assert told[calls["quick"]] == "quick done"
        assert "no answer within 0.05 seconds" in json.loads(told[calls["hang"]])["error"]
        assert session.all_of("response.create") == []
        bench.is_free.set()
        told = await outputs(session, 4)
        assert (told[calls["work"]], told[calls["search"]]) == ("work done", "search done")
        await session.wait_for("response.create")
        await person.wait_event("agent_response_tool_result", 4)
        assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
async def test_a_silent_result_reaches_the_model_and_asks_for_no_reply(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        calls = await call_tools(session, "note")
        assert await outputs(session, 1) == {calls["note"]: "quick done"}
        await person.wait_event("agent_response_tool_result")
        await person.wait_event("agent_response_done")
        # Another call of the same kind beside one that is not silent: one follow-up.
        calls = await call_tools(session, "note", "quick")
        await outputs(session, 3)
        await session.wait_for("response.create")
        await person.wait_event("agent_response_tool_result", 3)
        assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("21 degrees", "21 degrees"),
        (21.5, "21.5"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        ({"degrees": [21, None]}, '{"degrees": [21, null]}'),
        ([1, "two"], '[1, "two"]'),
    ],
)
async def test_a_client_answers_with_any_json_value(
    output: object, told: str, bench: Bench
) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench", tools=({"name": "thermometer"},))
        person = await stage.join()
        calls = await call_tools(session, "thermometer")
        call_id = calls["thermometer"]
        await person.wait_event("agent_response_tool_use_done")
        person.send(type="client_tool_result", id=call_id, name="thermometer", output=output)
        assert await outputs(session, 1) == {call_id: told}
        await session.wait_for("response.create")


@pytest.mark.asyncio
async def test_a_client_may_answer_silently(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench", tools=({"name": "thermometer"},))
        person = await stage.join()
        calls = await call_tools(session, "thermometer")
        call_id = calls["thermometer"]
        await person.wait_event("agent_response_tool_use_done")
        answer = {"id": call_id, "name": "thermometer", "output": 21, "start_response": False}
        person.send(type="client_tool_result", **answer)
        assert await outputs(session, 1) == {call_id: "21"}
        await person.wait_event("agent_response_tool_result")
        # Whatever would have been asked for by the result is asked for before this.
        person.send(type="client_response_create")
        await session.wait_for("response.create")
        person.send(type="client_text_append", text="well?")
        await session.wait_for("response.create", 2)
        assert len(session.all_of("response.create")) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "arguments", [r'{"q": "\ud83d"}', "[" * 2_000, '{"q": ' * 300, "\x00", r'"\udc00', "{" * 60_000]
)
async def test_odd_arguments_cost_no_more_than_their_call(bench: Bench, arguments: str) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        odd = await session.call_tool("quick", arguments)
        told = await outputs(session, 1)
        assert told[odd] == "quick done" or "error" in json.loads(told[odd])
        await person.wait_event("agent_response_tool_use_done")
        sound = await session.call_tool("quick", {})
        assert (await outputs(session, 2))[sound] == "quick done"
        assert stage.agent is not None
        assert not any(stage.agent.vitals().input_failures.model_dump().values())


@pytest.mark.asyncio
async def test_an_interruption_gives_up_the_tools_that_allow_it_and_no_others(
    bench: Bench,
) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        calls = await call_tools(session, "work", "search")
        await bench.started.get()
        await bench.started.get()
        person.send(type="client_response_cancel")
        told = await outputs(session, 1)
        assert "the user interrupted" in json.loads(told[calls["search"]])["error"]
        result = await person.wait_event("agent_response_tool_result")
        assert result["tool_result"]["is_error"]
        assert bench.ended == ["search cancelled"]
        bench.is_free.set()
        assert (await outputs(session, 2))[calls["work"]] == "work done"
        await session.wait_for("response.create")
        assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
async def test_words_over_a_silent_search_give_it_up_and_are_answered_once(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        await stage.join()
        await call_tools(session, "search")
        await bench.started.get()
        item_id = await session.speech_started()
        await session.speech_stopped(item_id, "never mind, what is the weather like")
        await outputs(session, 1)
        assert bench.ended == ["search cancelled"]
        await session.wait_for("response.create")
        await session.say(b"", "sunny")
        assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
async def test_agreeing_noises_do_not_stop_a_search(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        calls = await call_tools(session, "search")
        await bench.started.get()
        item_id = await session.speech_started()
        await session.speech_stopped(item_id, "mhm")
        await person.wait_event("agent_input_transcription_done")
        bench.is_free.set()
        assert (await outputs(session, 1))[calls["search"]] == "search done"
        await session.wait_for("response.create")


@pytest.mark.asyncio
async def test_calls_that_the_provider_withdraws_are_stopped_and_not_answered(
    bench: Bench,
) -> None:
    async with GeminiStage() as stage:
        session = await stage.start_gemini(toolset="bench")
        person = await stage.join()
        await session.hear("search for it")
        await session.call_tools(("c1", "work", {}))
        await bench.started.get()
        await session.hear("no, stop")
        result = await person.wait_event("agent_response_tool_result")
        assert "no longer wants it" in result["tool_result"]["output"]
        assert bench.ended == ["work cancelled"]
        assert session.answers == {}


@pytest.mark.asyncio
async def test_a_tool_that_needs_approval_runs_once_somebody_allows_it(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        call_id = await session.call_tool("pay", {})
        asked = await person.wait_event("agent_tool_approval_required")
        assert (asked["tool_use"]["id"], asked["tool_use"]["name"]) == (call_id, "pay")
        assert (asked["server_label"], asked["timeout_ms"]) == ("", 10_000)
        assert bench.paid == 0
        person.send(type="client_tool_approval", id=call_id, approve=True)
        assert (await outputs(session, 1))[call_id] == "paid"
        await session.wait_for("response.create")
        # One yes is for one call.
        call_id = await session.call_tool("pay", {})
        await person.wait_event("agent_tool_approval_required", 2)
        person.send(type="client_tool_approval", id=call_id, approve=False, reason="too expensive")
        told = (await outputs(session, 2))[call_id]
        assert json.loads(told) == {"error": "not approved: too expensive"}
        assert bench.paid == 1
        person.send(type="client_tool_approval", id=call_id, approve=True)
        assert (await person.wait_event("agent_error"))["code"] == "unknown_call"


@pytest.mark.asyncio
async def test_always_holds_for_the_tool_until_the_call_ends(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        person = await stage.join()
        call_id = await session.call_tool("pay", {})
        await person.wait_event("agent_tool_approval_required")
        person.send(type="client_tool_approval", id=call_id, approve=True, always=True)
        await outputs(session, 1)
        again = await session.call_tool("pay", {})
        assert (await outputs(session, 2))[again] == "paid"
        kinds = [event["type"] for event in person.events]
        assert kinds.count("agent_tool_approval_required") == 1


@pytest.mark.asyncio
async def test_silence_is_no_approval(bench: Bench) -> None:
    bench.approval_timeout_s = 0.05
    async with Stage() as stage:
        session = await stage.start(toolset="bench")
        await stage.join()
        call_id = await session.call_tool("pay", {})
        told = (await outputs(session, 1))[call_id]
        assert json.loads(told) == {"error": "not approved: no approval came in time"}
        await session.wait_for("response.create")
        assert bench.paid == 0


@pytest.mark.asyncio
async def test_tools_that_the_provider_runs_are_approved_in_the_room(bench: Bench) -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        asking = {
            "type": "mcp_approval_request",
            "server_label": "docs",
            "name": "find",
            "arguments": '{"word": "parley"}',
        }
        item = "conversation.item.done"
        await session.send(frame(item, item={**asking, "id": "ask_1"}, previous_item_id=None))
        asked = await person.wait_event("agent_tool_approval_required")
        assert (asked["server_label"], asked["tool_use"]["input"]) == ("docs", {"word": "parley"})
        person.send(
            type="client_tool_approval", id="ask_1", approve=False, always=True, reason="no"
        )
        await session.wait_for("conversation.item.create")
        await session.send(frame(item, item={**asking, "id": "ask_2"}, previous_item_id=None))
        await session.wait_for("conversation.item.create", 2)
        answers = [event["item"] for event in session.all_of("conversation.item.create")]
        assert [
            (answer["type"], answer["approval_request_id"], answer["approve"], answer["reason"])
            for answer in answers
        ] == [("mcp_approval_response", f"ask_{n}", False, "no") for n in (1, 2)]


@pytest.mark.asyncio
async def test_a_timer_outlives_the_process_that_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everyday, "SETTLE_S", 0.5)
    rings_at = datetime.now(UTC).isoformat()
    entry = SnapshotToolCall(
        number=0,
        call_id="c",
        name="set_timer",
        arguments="{}",
        output=json.dumps({"status": "timer set", "label": "tea", "rings_at": rings_at}),
    )
    async with Stage() as stage:
        seed = ResumeState(entries=(entry,))
        session = await stage.start(toolset="everyday", conversation_seed=seed)
        request = await session.wait_for("response.create")
        assert "Your tea timer is done." in request["response"]["instructions"]
    async with Stage() as stage:
        seed = ResumeState(entries=(entry,), is_of_earlier_call=True)
        await stage.start(toolset="everyday", conversation_seed=seed)
        assert stage.agent is not None
        assert not stage.agent.take_past_outputs("set_timer"), "timers end with their call"


@pytest.mark.asyncio
async def test_progress_of_an_owners_tool_is_spoken_while_it_runs() -> None:
    is_spoken = asyncio.Event()

    async def look_up() -> AsyncIterator[Any]:
        yield Progress("One moment")
        await is_spoken.wait()
        yield Result("found", shown="It was found.")

    async with Stage() as stage:
        session = await stage.start(definition=Agent("orders", tools=[look_up]))
        person = await stage.join()
        calls = await call_tools(session, "look_up")
        asked = await session.wait_for("response.create")
        assert asked["response"]["instructions"] == "Say exactly: One moment"
        assert session.all_of("conversation.item.create") == []
        await session.say(tone(100), "One moment")
        is_spoken.set()
        assert await outputs(session, 1) == {calls["look_up"]: "found"}
        await session.wait_for("response.create", 2)
        result = await person.wait_event("agent_response_tool_result")
        assert result["tool_result"]["output"] == "It was found."


@pytest.mark.asyncio
async def test_an_http_tool_and_a_rule_for_approvals_in_a_call() -> None:
    async def show(request: web.Request) -> web.Response:
        return web.json_response({"order": request.match_info["order"], "state": "on its way"})

    app = web.Application()
    app.router.add_get("/orders/{order}", show)
    async with serving(app) as port, Stage() as stage:
        look_up = HttpTool(
            name="look_up",
            description="State of an order.",
            url=f"http://127.0.0.1:{port}/orders/{{order}}",
            needs_approval=lambda call, arguments: call.channel == arguments["order"],
        )
        session = await stage.start(
            definition=Agent("orders", tools=[look_up]), http_tool_hosts=[f"127.0.0.1:{port}"]
        )
        person = await stage.join()
        await session.call_tool("look_up", {"order": "7"})
        told = await session.wait_for("conversation.item.create")
        assert json.loads(told["item"]["output"]) == {"order": "7", "state": "on its way"}
        await session.call_tool("look_up", {"order": "demo"})
        asked = await person.wait_event("agent_tool_approval_required")
        assert asked["tool_use"]["input"] == {"order": "demo"}
        person.send(type="client_tool_approval", id=asked["tool_use"]["id"], approve=False)
        told = await session.wait_for("conversation.item.create", 2)
        assert "not approved" in told["item"]["output"]
