"""Spans of a call: their tree and attributes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from config.agent import AgentConfig
from control.ipc.link import Event, StartFailed
from control.placement import ExitRecord
from control.tracing import genai
from control.tracing.call import MAX_OPEN
from control.tracing.calls import CallTraces
from conversation.events import server_events as out
from conversation.events.parts import ToolResult, ToolUse
from conversation.lifecycle import ExitReason
from conversation.turn_timings import TurnTimings
from tests.control.metrics.test_metrics import agent, event


class Traced:
    """Calls as their observer sees them, and the spans that ended."""

    def __init__(self, *, has_content: bool = False) -> None:
        self._memory = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.calls = CallTraces(provider.get_tracer("test"), has_content=has_content)
        self.config: AgentConfig = agent()

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._memory.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def say(self, kind: Any, **fields: Any) -> None:
        self.calls.handle_message(self.config, Event(event=event(kind, **fields)))

    def end(self, reason: ExitReason, *, is_restarted: bool = False) -> None:
        self.calls.handle_exit(
            ExitRecord(
                agent_id=self.config.agent_id,
                channel_name="demo",
                uid=1,
                pid=7,
                exit_reason=reason,
                exit_code=0,
                stopped_by=None,
                uptime_s=1.0,
                ended_at_ms=1,
                is_restarted=is_restarted,
            )
        )


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def length_ms(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e6


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert parent.context is not None
    return bool(parent_of(child) == parent.context.span_id)


def test_a_whole_call() -> None:
    traced = Traced()
    traced.calls.handle_start(traced.config, restarts=0)
    timings = {"process": 5.0, "joining": 20.0, "connecting": 30.0, "total": 40.0}
    traced.calls.handle_ready(traced.config, timings)
    traced.say(out.AgentResponseCreated, response_id="r1")
    use = ToolUse(id="c1", name="look_up", input={"what": "a secret"})
    traced.say(out.AgentResponseToolUseDone, response_id="r1", item_id="i1", tool_use=use)
    traced.say(out.AgentResponseDone, response_id="r1", input_tokens=7, output_tokens=2)
    result = ToolResult(id="c1", name="look_up", output="a secret", is_error=True)
    traced.say(out.AgentResponseToolResult, tool_result=result)
    turn = TurnTimings(turn=1, speech_end_to_endpoint_ms=500.0, endpoint_to_first_byte_ms=250.0)
    traced.say(out.AgentTurnMeasured, timings=turn)
    traced.say(out.AgentConnectionChanged, status="reconnecting")
    traced.say(out.AgentConnectionChanged, status="open")
    traced.end(ExitReason.STOPPED)
    call = traced.one("call")
    assert parent_of(call) is None
    assert call.status.is_ok or call.status.is_unset
    assert dict(call.attributes or {}) == {
        "agent_id": "a1",
        "channel": "demo",
        "provider": "openai",
        "model": "m",
        "exit_reason": "stopped",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.conversation.id": "a1",
        "gen_ai.agent.id": "a1",
        "gen_ai.agent.name": "Parley",
    }
    for name in ("start", "response", "turn", "model outage"):
        assert is_child(traced.one(name), call), name
    for name, length in (("process", 5), ("joining", 20), ("connecting", 30)):
        phase = traced.one(f"start.{name}")
        assert is_child(phase, traced.one("start"))
        assert length_ms(phase) == length
    response, tool = traced.one("response"), traced.one("tool")
    assert is_child(tool, response)
    assert dict(tool.attributes or {}) == {
        "tool": "look_up",
        "error.type": "error",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.conversation.id": "a1",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.type": "function",
    }
    assert not tool.status.is_ok
    assert (response.attributes or {})["input_tokens"] == 7
    assert length_ms(traced.one("turn")) == 750
    assert length_ms(traced.one("turn.model")) == 250
    assert is_child(traced.one("turn.endpointing"), traced.one("turn"))
    assert "a secret" not in "".join(span.to_json() for span in traced.spans)


def test_one_trace_over_a_restart_in_which_nothing_stays_open() -> None:
    traced = Traced()
    traced.calls.handle_start(traced.config, restarts=0)
    traced.calls.handle_ready(traced.config, {})
    traced.say(out.AgentResponseCreated, response_id="r1")
    traced.end(ExitReason.CRASHED, is_restarted=True)
    response = traced.one("response")
    assert response.status.description == "crashed"
    traced.calls.handle_start(traced.config, restarts=1)
    failed = StartFailed(phase="connecting", code="invalid_api_key", message="a secret")
    traced.calls.handle_message(traced.config, failed)
    traced.end(ExitReason.START_FAILED)
    first, second = [span for span in traced.spans if span.name == "start"]
    assert not first.status.description
    assert second.status.description == "connecting: invalid_api_key"
    assert (second.attributes or {})["restarts"] == 1
    call = traced.one("call")
    assert call.status.description == "start_failed"
    assert len({span.context.trace_id for span in traced.spans if span.context}) == 1


def test_what_never_ends_is_bounded() -> None:
    traced = Traced()
    traced.calls.handle_start(traced.config, restarts=0)
    for number in range(3 * MAX_OPEN):
        traced.say(out.AgentResponseCreated, response_id=f"r{number}")
    lost = [span for span in traced.spans if span.status.description == "lost"]
    assert len(lost) == 2 * MAX_OPEN + 1
    traced.end(ExitReason.STOPPED)
    assert len([span for span in traced.spans if span.name == "response"]) == 3 * MAX_OPEN


def test_a_call_without_a_begin_is_no_error() -> None:
    traced = Traced()
    traced.say(out.AgentResponseCreated, response_id="r1")
    traced.end(ExitReason.STOPPED)
    assert traced.spans == []


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, control.server, control.child.main, agent\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=50, check=False).returncode == 0


def test_the_names_are_those_of_the_conventions() -> None:
    traced = Traced(has_content=True)
    traced.calls.handle_start(traced.config, restarts=0)
    talk(traced)
    traced.end(ExitReason.STOPPED)
    known = {
        value
        for name, value in vars(gen_ai_attributes).items()
        if name.startswith("GEN_AI_") and isinstance(value, str)
    }
    used = {name for span in traced.spans for name in span.attributes or {} if "gen_ai" in name}
    assert len(used) > 15
    assert used <= known
    providers = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}
    assert {genai._PROVIDERS.get(name, name) for name in ("openai", "azure", "xai")} <= providers


def talk(traced: Traced) -> None:
    """A turn with a tool, whose answer is a second reply."""
    traced.say(out.AgentInputTranscriptionDone, transcript="where is it", item_id="u1")
    traced.say(out.AgentResponseCreated, response_id="r1")
    use = ToolUse(id="c1", name="look_up", input={"what": "order"})
    traced.say(out.AgentResponseToolUseDone, response_id="r1", item_id="i1", tool_use=use)
    traced.say(out.AgentResponseDone, response_id="r1", input_tokens=7, output_tokens=2)
    result = ToolResult(id="c1", name="look_up", output="Rome")
    traced.say(out.AgentResponseToolResult, tool_result=result)
    traced.say(out.AgentResponseCreated, response_id="r2")
    words: dict[str, str] = {"item_id": "i2", "transcript": "It is in Rome."}
    traced.say(out.AgentResponseAudioTranscriptDone, response_id="r2", **words)
    traced.say(out.AgentResponseDone, response_id="r2", input_tokens=9, output_tokens=4)


def test_content_is_in_spans_where_it_is_asked_for() -> None:
    traced = Traced(has_content=True)
    traced.config = traced.config.model_copy(update={"system_message": "Be brief."})
    traced.calls.handle_start(traced.config, restarts=0)
    talk(traced)
    traced.end(ExitReason.STOPPED)
    first, second = [
        dict(span.attributes or {}) for span in traced.spans if span.name == "response"
    ]
    user = {"role": "user", "parts": [{"type": "text", "content": "where is it"}]}
    part = {"type": "tool_call", "id": "c1", "name": "look_up", "arguments": '{"what": "order"}'}
    said = {"type": "text", "content": "It is in Rome."}
    assert read(first, "gen_ai.input.messages") == [user]
    assert read(first, "gen_ai.output.messages") == [
        {"role": "assistant", "parts": [part], "finish_reason": "tool_call"}
    ]
    assert first["gen_ai.response.finish_reasons"] == ("tool_call",)
    answered = {"type": "tool_call_response", "id": "c1", "response": "Rome"}
    assert read(second, "gen_ai.input.messages") == [{"role": "tool", "parts": [answered]}]
    assert second["gen_ai.usage.output_tokens"] == 4
    tool = dict(traced.one("tool").attributes or {})
    assert tool["gen_ai.tool.call.arguments"] == '{"what": "order"}'
    assert tool["gen_ai.tool.call.result"] == "Rome"
    call = dict(traced.one("call").attributes or {})
    assert read(call, "gen_ai.input.messages") == [user]
    assert read(call, "gen_ai.output.messages")[-1]["parts"] == [said]
    assert read(call, "gen_ai.system_instructions") == [{"type": "text", "content": "Be brief."}]


def read(attributes: dict[str, Any], name: str) -> Any:
    return json.loads(attributes[name])


def test_content_is_bounded() -> None:
    traced = Traced(has_content=True)
    traced.calls.handle_start(traced.config, restarts=0)
    for number in range(3 * genai.MAX_MESSAGES):
        long = "w" * (2 * genai.MAX_TEXT_CHARACTERS)
        traced.say(out.AgentInputTranscriptionDone, transcript=long, item_id=f"u{number}")
    traced.end(ExitReason.STOPPED)
    heard = read(dict(traced.one("call").attributes or {}), "gen_ai.input.messages")
    assert len(heard) == genai.MAX_MESSAGES
    assert {len(one["parts"][0]["content"]) for one in heard} == {genai.MAX_TEXT_CHARACTERS}
