"""Counts the events of calls and agent processes as metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from config.agent import AgentConfig
from control.ipc.link import ChildMessage, Event, Pong, StartFailed
from control.metrics.figures import Figures
from control.observers import CallObserver
from control.placement import ExitRecord
from conversation.counters import CounterTotals
from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from conversation.turn_timings import TurnTimings

# Values from a link become labels only if they are one of these.
_PHASES: Final = frozenset({"model", "process", "joining", "tools", "connecting", "total"})
_FAILED_PHASES: Final = _PHASES | {"starting"}
_STATUSES: Final = frozenset({"completed", "cancelled", "incomplete", "failed"})
_CAUSES: Final = frozenset({"noise", "backchannel", "few_words", "echo", "short", "unconfirmed"})
_OTHER: Final = "other"

_STEPS: Final = {
    "endpointing": "speech_end_to_endpoint_ms",
    "model": "endpoint_to_first_byte_ms",
    "playout": "first_byte_to_first_audio_ms",
    "listener": "first_audio_to_heard_ms",
    "total": "total_ms",
}


class _Call:
    """State of one call that its metrics need."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.has_process = False
        self.lost_model_at_s: float | None = None


class CallMetrics(CallObserver):
    """Updates the metrics. No label is a channel, a user or a text."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._calls: dict[str, _Call] = {}
        self._media = CounterTotals()
        self._input_failures = CounterTotals()

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """See `CallObserver.handle_start`."""
        self._figures.starts.inc()
        if restarts:
            self._figures.restarts.inc()
        call = self._calls.setdefault(config.agent_id, _Call(time.monotonic()))
        call.has_process = True
        call.lost_model_at_s = None

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """See `CallObserver.handle_ready`."""
        self._figures.provider_sessions.labels(config.provider.name).inc()
        for phase, duration_ms in timings_ms.items():
            label = _known(phase, _PHASES)
            self._figures.start_seconds.labels(label).observe(duration_ms / 1000)

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """See `CallObserver.handle_message`."""
        match message:
            case Pong():
                self._handle_pong(config, message)
            case Event():
                self._handle_event(config, message.event)
            case StartFailed():
                self._figures.start_failures.labels(_known(message.phase, _FAILED_PHASES)).inc()
            case _:
                pass

    def handle_exit(self, record: ExitRecord) -> None:
        """See `CallObserver.handle_exit`; called twice if a call ends between two processes."""
        call = self._calls.get(record.agent_id)
        if call is None or call.has_process:
            is_restarted = str(record.is_restarted).lower()
            self._figures.exits.labels(record.exit_reason, is_restarted).inc()
        if call is not None:
            call.has_process = False
        if not record.is_restarted:
            self._calls.pop(record.agent_id, None)
            if call is not None:
                self._figures.call_seconds.observe(time.monotonic() - call.began_s)
        # The next process of this call counts from zero.
        for totals in (self._media, self._input_failures):
            totals.retain(self._calls.keys() - {record.agent_id})

    # -- messages --------------------------------------------------------------------------------

    def _handle_pong(self, config: AgentConfig, pong: Pong) -> None:
        self._figures.loop_lag_seconds.observe(pong.loop_lag_ms / 1000)
        if pong.vitals.jitter_delay_ms is not None:
            self._figures.jitter_delay_seconds.observe(pong.vitals.jitter_delay_ms / 1000)
        rises = self._media.update(config.agent_id, pong.vitals.media.model_dump())
        for count, rise in rises.items():
            self._figures.media.labels(count).inc(rise)
        failures = pong.vitals.input_failures.model_dump()
        for kind, rise in self._input_failures.update(config.agent_id, failures).items():
            self._figures.input_failures.labels(kind).inc(rise)

    def _handle_event(self, config: AgentConfig, event: ServerEvent) -> None:
        provider = config.provider.name
        match event:
            case out.AgentTurnMeasured():
                self._handle_turn(provider, event.timings)
            case out.AgentResponseDone():
                self._handle_response(provider, event)
            case out.AgentConnectionChanged():
                self._handle_connection(config, event)
            case out.AgentInterrupted():
                self._figures.interruptions.inc()
            case out.AgentResumed():
                self._figures.false_alarms.labels(_known(event.cause, _CAUSES)).inc()
            case out.AgentResponseToolResult():
                self._figures.tool_calls.labels(str(event.tool_result.is_error).lower()).inc()
            case out.AgentError(error_type="provider"):
                self._figures.provider_errors.labels(provider).inc()
            case _:
                pass

    def _handle_turn(self, provider: str, timings: TurnTimings) -> None:
        for step, name in _STEPS.items():
            if (duration_ms := getattr(timings, name)) is not None:
                self._figures.turn_seconds.labels(step, provider).observe(duration_ms / 1000)

    def _handle_response(self, provider: str, event: out.AgentResponseDone) -> None:
        status = _known(event.status, _STATUSES)
        self._figures.responses.labels(provider, status).inc()
        self._figures.tokens.labels(provider, "input").inc(max(0, event.input_tokens))
        self._figures.tokens.labels(provider, "output").inc(max(0, event.output_tokens))

    def _handle_connection(self, config: AgentConfig, event: out.AgentConnectionChanged) -> None:
        call, provider = self._calls.get(config.agent_id), config.provider.name
        if event.status == "reconnecting":
            self._figures.provider_drops.labels(provider).inc()
            if call is not None:
                call.lost_model_at_s = time.monotonic()
        elif call is not None and call.lost_model_at_s is not None:
            if event.status == "open":
                outage_s = time.monotonic() - call.lost_model_at_s
                self._figures.provider_outage_seconds.labels(provider).observe(outage_s)
            call.lost_model_at_s = None


def _known(value: str, known: frozenset[str]) -> str:
    return value if value in known else _OTHER
