"""A program written for the Agents SDK's realtime sessions, with other imports and the fake's address."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import agents.realtime as original
import pytest

from parley.compat import agents_sdk as ours
from parley.compat.agents_sdk import (
    GuardrailFunctionOutput,
    RealtimeAgent,
    RealtimeAgentHooks,
    RealtimeRunner,
    RealtimeSession,
    RunContextWrapper,
    function_tool,
    output_guardrail,
    realtime_handoff,
)
from parley.testing import ScriptedModel, calls, says
from realtime.playback import RealtimePlaybackTracker
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import in_turn
from utils import OwnedTasks

pytestmark = pytest.mark.asyncio


@function_tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"sunny in {city}"


@function_tool(name_override="refund", needs_approval=True)
async def give_refund(wrapper: RunContextWrapper, amount: int) -> str:
    """Give money back."""
    wrapper.context["refunds"].append(amount)
    return "done"


class Hooks(RealtimeAgentHooks):
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.seen.append(f"{agent.name} {tool.name} {result}")

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.seen.append(f"{source.name} to {agent.name}")


class Taken:
    """The events of a session, as its program takes them."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.seen: list[Any] = []
        self.failure: BaseException | None = None
        self._news = asyncio.Event()

    async def take(self) -> None:
        try:
            async for event in self.session:
                self.seen.append(event)
                self._news.set()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error
        self._news.set()

    async def until(self, is_met: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_met():
                self._news.clear()
                await self._news.wait()

    async def until_type(self, name: str, count: int = 1) -> Any:
        await self.until(lambda: len(self.all_of(name)) >= count)
        return self.all_of(name)[count - 1]

    def all_of(self, name: str) -> list[Any]:
        return [event for event in self.seen if event.type == name]

    def order(self) -> list[str]:
        types = [e.type for e in self.seen if e.type not in ("raw_model_event", "history_updated")]
        return [each for at, each in enumerate(types) if at == 0 or types[at - 1] != each]


@asynccontextmanager
async def running(
    agent: RealtimeAgent[Any], *, context: Any = None, **run: Any
) -> AsyncIterator[Taken]:
    runner = RealtimeRunner(
        starting_agent=agent, model=run.pop("model", None), config=run.pop("config", None)
    )
    run.setdefault("options", {"settings": {"PARLEY_ENV_FILE": ""}})
    session = await runner.run(context=context, **run)
    tasks = OwnedTasks(logging.getLogger("test"))
    async with session:
        taken = Taken(session)
        tasks.start(taken.take(), name="events")
        yield taken
    async with asyncio.timeout(DEADLINE_S):
        while len(tasks):  # noqa: ASYNC110 - the end of the iteration
            await asyncio.sleep(0.01)


def model_config(server: FakeRealtimeServer, **more: Any) -> dict[str, Any]:
    return {"api_key": "sk-" + "k" * 40, "url": f"{server.uri}/v1/realtime?model=gpt", **more}


CONFIG = {
    "model_settings": {
        "model_name": "gpt-realtime",
        "audio": {
            "input": {
                "format": "pcm16",
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
            },
            "output": {"format": "pcm16", "voice": "ash"},
        },
    }
}


async def test_a_spoken_question_with_a_tool_gives_their_events_in_order() -> None:
    hooks, raw = Hooks(), list[Any]()
    agent: RealtimeAgent[Any] = RealtimeAgent(
        name="Assistant", instructions="Say {nothing}.", tools=[get_weather], hooks=hooks
    )
    async with (
        FakeRealtimeServer() as server,
        running(agent, config=CONFIG, model_config=model_config(server)) as taken,
    ):
        provider = await server.next_session()
        taken.session.model.add_listener(raw.append)
        await taken.session.send_audio(tone(400))
        await provider.wait_loud(300)
        item = await provider.speech_started()
        provider.reply_with = in_turn(
            lambda each: each.call_tool("get_weather", {"city": "Rome"}, call_id="c1"),
            lambda each: each.say(tone(300), "It is sunny"),
        )
        await provider.speech_stopped(item, "How is Rome?")
        await taken.until_type("agent_end", 2)
        await taken.until_type("audio_end")
    order = [each for each in taken.order() if each != "history_added"]
    assert order == [
        *("agent_start", "tool_start", "agent_end", "tool_end"),
        *("agent_start", "audio", "audio_end", "agent_end"),
    ]
    started, ended = taken.all_of("tool_start")[0], taken.all_of("tool_end")[0]
    assert (started.agent, started.tool) == (agent, get_weather)
    assert (started.arguments, ended.output) == ('{"city": "Rome"}', "sunny in Rome")
    assert b"".join(event.audio.data for event in taken.all_of("audio")) == tone(300)
    assert [item.type for item in taken.session.history] == ["message", "function_call", "message"]
    user, call, reply = taken.session.history
    assert (user.role, user.content[0].transcript) == ("user", "How is Rome?")  # type: ignore[union-attr]
    assert (call.call_id, call.output) == ("c1", "sunny in Rome")  # type: ignore[union-attr]
    assert reply.content[0].transcript == "It is sunny"  # type: ignore[union-attr]
    assert hooks.seen == ["Assistant get_weather sunny in Rome"]
    assert "turn_started" in [event.type for event in raw]
    settings = provider.settings
    assert settings["instructions"].startswith("Say {nothing}.")
    assert settings["audio"]["output"]["voice"] == "ash"
    assert settings["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert taken.failure is None


async def test_an_interruption_is_exact_by_the_tracker() -> None:
    tracker = RealtimePlaybackTracker()
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Assistant")
    async with (
        FakeRealtimeServer() as server,
        running(
            agent, config=CONFIG, model_config=model_config(server, playback_tracker=tracker)
        ) as taken,
    ):
        provider = await server.next_session()
        provider.reply_with = lambda each: each.say(tone(2000), "one two three four")
        await taken.session.send_message("Count")
        await taken.until_type("agent_end")
        audio = taken.all_of("audio")[0]
        tracker.on_play_ms(audio.item_id, audio.content_index, 700)
        await provider.speech_started()
        interrupted = await taken.until_type("audio_interrupted")
        assert interrupted.item_id == audio.item_id
        truncated = await provider.wait_for("conversation.item.truncate")
        assert truncated["audio_end_ms"] == 700


async def test_an_approval_is_asked_for_and_given() -> None:
    context: dict[str, Any] = {"refunds": []}
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Desk", tools=[give_refund])
    model = ScriptedModel([calls("refund", call_id="c1", amount=5), says("Done.")])
    async with running(agent, context=context, model=model.create) as taken:
        await taken.session.send_message("My money, please.")
        required = await taken.until_type("tool_approval_required")
        assert (required.call_id, required.tool) == ("c1", give_refund)
        assert not taken.all_of("tool_start")
        await taken.session.approve_tool_call("c1")
        await taken.until_type("tool_end")
        await taken.until_type("audio_end")
        await taken.session.reject_tool_call("unknown")
    assert context["refunds"] == [5]
    order = [each for each in taken.order() if each.startswith("tool")]
    assert order == ["tool_approval_required", "tool_start", "tool_end"]


async def test_a_handoff_changes_the_agent() -> None:
    hooks = Hooks()
    billing: RealtimeAgent[Any] = RealtimeAgent(
        name="Billing Agent",
        handoff_description="Bills.",
        instructions=lambda _context, agent: f"You are {agent.name}.",
        hooks=hooks,
    )
    agent: RealtimeAgent[Any] = RealtimeAgent(
        name="Assistant", handoffs=[realtime_handoff(billing)]
    )
    billing.handoffs.append(agent)
    model = ScriptedModel([calls("transfer_to_billing_agent"), says("Which bill?")])
    async with running(agent, model=model.create) as taken:
        await taken.session.send_message("A bill!")
        handoff = await taken.until_type("handoff")
        assert (handoff.from_agent, handoff.to_agent) == (agent, billing)
        await taken.until_type("audio_end")
        assert taken.all_of("agent_start")[-1].agent is billing
        assert not taken.all_of("tool_start")
        assert model.instructions.startswith("You are Billing Agent.")
        await taken.session.interrupt()
        await taken.session.update_agent(billing)
    assert hooks.seen[:1] == ["Assistant to Billing Agent"]


async def test_a_guardrail_cuts_and_the_model_tries_again() -> None:
    @output_guardrail
    async def no_prices(_context: Any, _agent: Any, output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput({"seen": output}, "dollars" in output)

    agent: RealtimeAgent[Any] = RealtimeAgent(name="Assistant", output_guardrails=[no_prices])
    model = ScriptedModel([says("It costs five dollars or more."), says("Ask the desk.")])
    async with running(agent, model=model.create) as taken:
        await taken.session.send_message("How much?")
        tripped = await taken.until_type("guardrail_tripped")
        (result,) = tripped.guardrail_results
        assert result.guardrail.get_name() == "no_prices"
        assert "dollars" in result.output.output_info["seen"]
        await taken.until(lambda: len(taken.all_of("agent_end")) >= 2)


async def test_a_key_that_a_function_gives_and_a_start_that_fails() -> None:
    async with FakeRealtimeServer() as server:
        server.faults.reject_status = 401
        runner = RealtimeRunner(RealtimeAgent(name="Assistant"), config=CONFIG)
        session = await runner.run(
            model_config={"api_key": lambda: "sk-x", "url": server.uri},
            options={"settings": {"PARLEY_ENV_FILE": ""}},
        )
        with pytest.raises(Exception, match="401"):
            await session.enter()


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


async def test_calls_of_theirs_are_calls_of_ours() -> None:
    names = ("send_message", "send_audio", "interrupt", "update_agent", "approve_tool_call")
    for name in (*names, "reject_tool_call", "close", "enter"):
        theirs = getattr(original.RealtimeSession, name)
        assert _parameters(theirs) <= _parameters(getattr(RealtimeSession, name)), name
    assert _parameters(original.RealtimeRunner) <= _parameters(RealtimeRunner)
    assert _parameters(original.RealtimeRunner.run) <= _parameters(RealtimeRunner.run)
    assert _parameters(original.RealtimeAgent) <= _parameters(RealtimeAgent) | {"mcp_config"}
    assert {each for each in ours.__all__ if each.startswith("Realtime")} <= set(original.__all__)
