"""From what agents and their processes tell to spans, one trace a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import Tracer

from config import AgentConfig
from control.observers import CallObserver
from control.placement import ExitRecord
from control.processes.link import ChildMessage, Event, StartFailed
from control.tracing.call import CallTrace
from control.tracing.clock import SpanClock
from conversation import server_events as out
from conversation.lifecycle import ExitReason
from conversation.server_events import ServerEvent

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
    """Follows all calls. Spans hold ids, names and figures; no words, arguments or secrets."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
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
    match event:
        case out.AgentTurnMeasured():
            trace.add_turn(event.timings, first_audio_ns=now_ns)
        case out.AgentResponseCreated():
            trace.begin("response", _response(event.response_id), at_ns=now_ns)
        case out.AgentResponseDone():
            trace.end(
                _response(event.response_id),
                at_ns=now_ns,
                failure="failed" if event.status == "failed" else None,
                status=event.status,
                input_tokens=event.input_tokens,
                output_tokens=event.output_tokens,
            )
        case out.AgentResponseToolUseDone():
            parent = _response(event.response_id)
            key = f"tool {event.tool_use.id}"
            trace.begin("tool", key, at_ns=now_ns, parent=parent, tool=event.tool_use.name)
        case out.AgentResponseToolResult():
            result = event.tool_result
            failure = "error" if result.is_error else None
            trace.end(f"tool {result.id}", at_ns=now_ns, failure=failure)
        case out.AgentConnectionChanged(status="reconnecting"):
            trace.begin("model outage", "outage", at_ns=now_ns)
        case out.AgentConnectionChanged():
            failure = "given up" if event.status == "closed" else None
            trace.end("outage", at_ns=now_ns, failure=failure)
        case _:
            pass


def _response(response_id: str) -> str:
    return f"response {response_id}"
