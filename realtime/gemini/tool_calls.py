"""Open tool calls, and the moment at which their results are sent. Pure; one a session.

A model that waits for its tools gets the answers to calls of one message together, since it goes
on with the first message of answers that it gets. To one that talks on each answer is news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from realtime.gemini import wire
from realtime.gemini.settings import scheduling_of
from untrusted.json_reader import InvalidJsonError, mend_text, read_json
from utils import BoundedDict

MAX_REMEMBERED = 256
"""Cancelled calls whose answers are still expected, and calls of earlier sessions."""


@dataclass(slots=True)
class _Batch:
    """Calls that are answered together; an answer that came is a response."""

    answers: dict[str, wire.FunctionResponse | None] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return all(answer is not None for answer in self.answers.values())


@dataclass(frozen=True, slots=True)
class _Call:
    wire_id: str | None
    name: str
    batch: _Batch


class ToolCallTracker:
    """Open calls by our id."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], *, is_blocking: bool) -> None:
        """
        tools: declarations in our form
        is_blocking: whether the model waits for tools that do not say so themselves
        """
        self._is_blocking = is_blocking
        self._tools: dict[str, Mapping[str, Any]] = {}
        self._open: dict[str, _Call] = {}
        self._cancelled: BoundedDict[str, None] = BoundedDict(MAX_REMEMBERED)
        self._earlier: BoundedDict[str, str] = BoundedDict(MAX_REMEMBERED)
        self.declare(tools)

    def declare(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """These are the tools from now on."""
        self._tools = {str(tool.get("name")): tool for tool in tools}

    def knows(self, call_id: str) -> bool:
        """True if this call was emitted already."""
        return call_id in self._open or call_id in self._cancelled

    def open_call(self, wire_id: str) -> str | None:
        """Our id of the open call that the server calls so; of several, of the last."""
        named = [call_id for call_id, call in self._open.items() if call.wire_id == wire_id]
        return named[-1] if named else None

    def note_calls(self, calls: Sequence[tuple[str, wire.FunctionCall]]) -> None:
        """One message asked for these calls; ours is the first id of each."""
        together = _Batch()
        for call_id, call in calls:
            batch = together if self._waits_for(call.name) else _Batch()
            batch.answers[call_id] = None
            self._open[call_id] = _Call(call.id, call.name, batch)

    def _waits_for(self, name: str) -> bool:
        behavior = self._tools.get(name, {}).get("behavior")
        return self._is_blocking if behavior is None else bool(behavior == "BLOCKING")

    def note_earlier_call(self, call_id: str, name: str) -> None:
        """Record a call of an earlier session that is replayed."""
        self._earlier[call_id] = name

    def earlier_answer(self, call_id: str, output: str) -> wire.FunctionResponse | None:
        """The answer to a call of an earlier session, or None when it is none."""
        if (name := self._earlier.pop(call_id, None)) is None:
            return None
        return wire.FunctionResponse(id=call_id, name=name, response=_as_object(output))

    def cancel(self, call_ids: Sequence[str]) -> list[wire.FunctionResponse]:
        """The model does not want these any more; returns answers that waited for them."""
        released: list[wire.FunctionResponse] = []
        for call_id in call_ids:
            if (call := self._open.pop(call_id, None)) is None:
                continue
            self._cancelled[call_id] = None
            del call.batch.answers[call_id]
            released += _released(call.batch)
        return released

    def answer(
        self, call_id: str, output: str, *, is_silent: bool = False
    ) -> list[wire.FunctionResponse]:
        """A tool is done; returns what may be sent now, nothing for a call that is not open."""
        if (call := self._open.pop(call_id, None)) is None:
            self._cancelled.pop(call_id, None)
            return []
        scheduling = scheduling_of(self._tools.get(call.name, {}))
        if is_silent and not self._waits_for(call.name):
            scheduling = "SILENT"
        call.batch.answers[call_id] = wire.FunctionResponse(
            id=call.wire_id, name=call.name, response=_as_object(output), scheduling=scheduling
        )
        return _released(call.batch)


def _released(batch: _Batch) -> list[wire.FunctionResponse]:
    if not batch.is_complete:
        return []
    answers = [answer for answer in batch.answers.values() if answer is not None]
    batch.answers.clear()
    return answers


def _as_object(output: str) -> dict[str, Any]:
    """An answer must be an object: what is not one becomes the `output` of one."""
    parsed: Any
    try:
        parsed = read_json(output)
    except InvalidJsonError:
        parsed = mend_text(output)
    return parsed if isinstance(parsed, dict) else {"output": parsed}
