"""Turns the events of calls and agent processes into spans, one trace per call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import SpanKind, Tracer

from config.agent import AgentConfig
from control.ipc.link import ChildMessage, Event, StartFailed
from control.observers import CallObserver
from control.placement import ExitRecord
from control.tracing.call import CallTrace
from control.tracing.clock import SpanClock
from control.tracing.genai import GenAi
from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import ExitReason

_FAILURES: Final = frozenset(
    {
        ExitReason.PROVIDER_FAILED,
        ExitReason.ROOM_LOST,
        ExitReason.START_FAILED,
        ExitReason.CRASHED,
        ExitReason.UNRESPONSIVE,
        ExitReason.UNHEALTHY,
        ExitReason.OUT_OF_MEMORY,
    }
)


class CallTraces(CallObserver):
    """Traces all calls. Spans have ids, names and figures; no secrets, and no words or arguments unless
    they are asked for.
    """

    def __init__(self, tracer: Tracer, *, has_content: bool = False) -> None:
        """has_content: with the words of people and agents, and what tools were given and returned"""
        self._tracer = tracer
        self._has_content = has_content
        self._clock = SpanClock()
        self._traces: dict[str, CallTrace] = {}

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """See `CallObserver.handle_start`."""
        now_ns = self._clock.now_ns()
        if config.agent_id not in self._traces:
            self._traces[config.agent_id] = CallTrace(
                self._tracer,
                {
                    "agent_id": config.agent_id,
                    "channel": config.channel_name,
                    "provider": config.provider.name,
                    "model": config.provider.model,
                },
                GenAi(config, has_content=self._has_content),
                at_ns=now_ns,
            )
        self._traces[config.agent_id].begin_start(restarts=restarts, at_ns=now_ns)

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """See `CallObserver.handle_ready`."""
        if (trace := self._traces.get(config.agent_id)) is not None:
            trace.end_start(timings_ms, at_ns=self._clock.now_ns())

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """See `CallObserver.handle_message`."""
        if (trace := self._traces.get(config.agent_id)) is None:
            return
        match message:
            case Event():
                _follow(trace, message.event, self._clock.now_ns())
            case StartFailed():
                failure = f"{message.phase}: {message.code}"
                trace.end("start", at_ns=self._clock.now_ns(), failure=failure)
            case _:
                pass

    def handle_exit(self, record: ExitRecord) -> None:
        """See `CallObserver.handle_exit`."""
        now_ns, reason = self._clock.now_ns(), record.exit_reason
        if record.is_restarted:
            if (trace := self._traces.get(record.agent_id)) is not None:
                trace.end_process(reason, at_ns=now_ns)
        elif (trace := self._traces.pop(record.agent_id, None)) is not None:
            trace.close(reason, at_ns=now_ns, is_failure=reason in _FAILURES)


def _follow(trace: CallTrace, event: ServerEvent, now_ns: int) -> None:
    genai = trace.genai
    match event:
        case out.AgentInputTranscriptionDone(transcript=words):
            genai.hear(words)
        case out.AgentResponseAudioTranscriptDone(response_id=response_id, transcript=words):
            genai.say(response_id, words)
        case out.AgentTurnMeasured():
            trace.add_turn(event.timings, first_audio_ns=now_ns)
        case out.AgentResponseCreated():
            trace.begin(
                "response",
                _response(event.response_id),
                at_ns=now_ns,
                kind=SpanKind.CLIENT,
                genai=genai.of_response(event.response_id),
            )
        case out.AgentResponseDone():
            trace.end(
                _response(event.response_id),
                at_ns=now_ns,
                failure="failed" if event.status == "failed" else None,
                status=event.status,
                input_tokens=event.input_tokens,
                output_tokens=event.output_tokens,
                genai=genai.end_of_response(
                    event.response_id,
                    status=event.status,
                    input_tokens=event.input_tokens,
                    output_tokens=event.output_tokens,
                ),
            )
        case out.AgentResponseToolUseDone():
            parent = _response(event.response_id)
            key = f"tool {event.tool_use.id}"
            trace.begin(
                "tool",
                key,
                at_ns=now_ns,
                parent=parent,
                tool=event.tool_use.name,
                genai=genai.of_tool(event.response_id, event.tool_use),
            )
        case out.AgentResponseToolResult():
            result = event.tool_result
            failure = "error" if result.is_error else None
            trace.end(
                f"tool {result.id}",
                at_ns=now_ns,
                failure=failure,
                genai=genai.end_of_tool(result),
            )
        case out.AgentConnectionChanged(status="reconnecting"):
            trace.begin("model outage", "outage", at_ns=now_ns)
        case out.AgentConnectionChanged():
            failure = "given up" if event.status == "closed" else None
            trace.end("outage", at_ns=now_ns, failure=failure)
        case _:
            pass


def _response(response_id: str) -> str:
    return f"response {response_id}"
