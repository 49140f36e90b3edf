"""Spans of one call: starts of its processes, turns, replies, tools and outages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from control.tracing.genai import GenAi, Value
from conversation.turn_timings import TurnTimings

MAX_OPEN: Final = 64
"""Open spans of one call; past it the oldest is ended as lost."""

_NS_PER_MS: Final = 1_000_000
_TURN_STEPS: Final = {
    "endpointing": "speech_end_to_endpoint_ms",
    "model": "endpoint_to_first_byte_ms",
    "playout": "first_byte_to_first_audio_ms",
    "listener": "first_audio_to_heard_ms",
}


class CallTrace:
    """The trace of one call. Times are Unix nanoseconds."""

    def __init__(
        self, tracer: Tracer, attributes: Mapping[str, Value], genai: GenAi, *, at_ns: int
    ) -> None:
        """genai: attributes of the conventions, which join those of ours"""
        self.genai = genai
        self._tracer = tracer
        attributes = {**attributes, **genai.of_call()}
        self._call = tracer.start_span("call", attributes=attributes, start_time=at_ns)
        self._open: OrderedDict[str, Span] = OrderedDict()
        self._start_at_ns = at_ns

    # -- open spans -------------------------------------------------------------------------

    def begin(
        self,
        name: str,
        key: str,
        *,
        at_ns: int,
        parent: str = "",
        kind: SpanKind = SpanKind.INTERNAL,
        genai: Mapping[str, Value] | None = None,
        **attributes: Value,
    ) -> None:
        """Begin a span; `key` identifies it until its end. parent: key of an open span."""
        attributes |= genai or {}
        self._open[key] = self._child(name, at_ns, self._open.get(parent), attributes, kind)
        while len(self._open) > MAX_OPEN:
            oldest = next(iter(self._open))
            self.end(oldest, at_ns=at_ns, failure="lost")

    def end(
        self,
        key: str,
        *,
        at_ns: int,
        failure: str | None = None,
        genai: Mapping[str, Value] | None = None,
        **attributes: Value,
    ) -> None:
        """End the span of this key, if it is open."""
        attributes |= genai or {}
        if (span := self._open.pop(key, None)) is not None:
            _finish(span, at_ns, failure, attributes)

    def _child(
        self,
        name: str,
        at_ns: int,
        parent: Span | None,
        attributes: Mapping[str, Value],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        context = set_span_in_context(self._call if parent is None else parent)
        return self._tracer.start_span(
            name, context=context, kind=kind, attributes=attributes, start_time=at_ns
        )

    # -- the start of a process ------------------------------------------------------------------

    def begin_start(self, *, restarts: int, at_ns: int) -> None:
        """Begin the span of a process start."""
        self._start_at_ns = at_ns
        self.begin("start", "start", at_ns=at_ns, restarts=restarts)

    def end_start(self, timings_ms: Mapping[str, float], *, at_ns: int) -> None:
        """End the start; add a span per phase. Only durations are known: the room is joined while tools
        and then the model are connected, after the local model and the process are ready.
        """
        began_ns = self._start_at_ns
        for phase in ("model", "process"):
            began_ns = self._phase(phase, timings_ms, began_ns)
        self._phase("joining", timings_ms, began_ns)
        self._phase("connecting", timings_ms, self._phase("tools", timings_ms, began_ns))
        self.end("start", at_ns=at_ns)

    def _phase(self, phase: str, timings_ms: Mapping[str, float], began_ns: int) -> int:
        if phase not in timings_ms:
            return began_ns
        end_ns = began_ns + int(timings_ms[phase] * _NS_PER_MS)
        self._child(f"start.{phase}", began_ns, self._open.get("start"), {}).end(end_ns)
        return end_ns

    # -- turns -----------------------------------------------------------------------------------

    def add_turn(self, timings: TurnTimings, *, first_audio_ns: int) -> None:
        """Add the spans of a measured turn, back from the first audio of its reply."""
        heard_ms = timings.first_audio_to_heard_ms or 0.0
        began_ns = first_audio_ns - int((timings.total_ms - heard_ms) * _NS_PER_MS)
        turn = self._child("turn", began_ns, None, {"turn": timings.turn})
        at_ns = began_ns
        for step, name in _TURN_STEPS.items():
            if (duration_ms := getattr(timings, name)) is not None:
                span = self._child(f"turn.{step}", at_ns, turn, {})
                at_ns += int(duration_ms * _NS_PER_MS)
                span.end(at_ns)
        turn.end(at_ns)

    # -- the end ---------------------------------------------------------------------------------

    def end_process(self, reason: str, *, at_ns: int) -> None:
        """End all spans that the process left open."""
        for key in list(self._open):
            self.end(key, at_ns=at_ns, failure=reason)

    def close(self, reason: str, *, at_ns: int, is_failure: bool) -> None:
        """End the call's span."""
        self.end_process(reason, at_ns=at_ns)
        attributes = {"exit_reason": reason, **self.genai.end_of_call()}
        _finish(self._call, at_ns, reason if is_failure else None, attributes)


def _finish(span: Span, at_ns: int, failure: str | None, attributes: Mapping[str, Value]) -> None:
    span.set_attributes(attributes)
    if failure is not None:
        span.set_attribute("error.type", failure)
        span.set_status(Status(StatusCode.ERROR, failure))
    span.end(at_ns)
