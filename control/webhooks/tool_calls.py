"""`ToolCalls`: the tool calls of live agents that have no result yet. Time is an argument. Pure."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Literal

from config.agent import AgentConfig
from control.webhooks.notices import MAX_TEXT_CHARACTERS, ToolCallData
from conversation.events.parts import ToolResult, ToolUse
from conversation.events.server_events import AgentHostedToolProgress

MAX_OPEN: Final = 64
"""Open calls of one agent; past it the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class _Open:
    """name: empty of a tool that the provider calls by itself, until its result is there"""

    call_id: str
    name: str
    arguments: dict[str, Any] | str
    began_s: float


class ToolCalls:
    """Open calls by agent and id."""

    def __init__(self) -> None:
        self._open: dict[str, OrderedDict[str, _Open]] = {}

    def begin(self, agent_id: str, use: ToolUse, *, now_s: float) -> None:
        """Note that a tool is called."""
        self._add(agent_id, _Open(use.id, use.name, use.input, now_s))

    def end(self, config: AgentConfig, result: ToolResult, *, now_s: float) -> ToolCallData | None:
        """Return the call of this result; None if it is not known."""
        call = self._take(config.agent_id, result.id)
        if call is None:
            return None
        state: Literal["done", "failed"] = "failed" if result.is_error else "done"
        return _data(call, _about(config), state=state, outcome=result.output, now_s=now_s)

    def follow_hosted(
        self, config: AgentConfig, event: AgentHostedToolProgress, *, now_s: float
    ) -> ToolCallData | None:
        """Take a step of a tool that the provider calls by itself; return the call once it is complete."""
        if event.stage == "calling":
            self._add(config.agent_id, _Open(event.item_id, "", "", now_s))
        # A failure is reported twice, the second time with all that is known.
        if not event.name or event.stage not in ("done", "failed"):
            return None
        known = self._take(config.agent_id, event.item_id)
        began_s = now_s if known is None else known.began_s
        call = _Open(event.item_id, event.name, _parsed(event.arguments), began_s)
        about = {**_about(config), "server_label": event.server_label or None}
        if event.stage == "done":
            return _data(call, about, state="done", outcome=event.output, now_s=now_s)
        return _data(call, about, state="failed", outcome=event.error, now_s=now_s)

    def lose(
        self, agent_id: str, *, channel_name: str, uid: int, now_s: float
    ) -> list[ToolCallData]:
        """Return the open calls of a process that ended."""
        about: dict[str, Any] = {"agent_id": agent_id, "channel_name": channel_name, "uid": uid}
        calls = self._open.pop(agent_id, None) or OrderedDict[str, _Open]()
        return [
            _data(call, about, state="lost", outcome=None, now_s=now_s)
            for call in calls.values()
            if call.name
        ]

    def _add(self, agent_id: str, call: _Open) -> None:
        calls = self._open.setdefault(agent_id, OrderedDict())
        calls[call.call_id] = call
        while len(calls) > MAX_OPEN:
            calls.popitem(last=False)

    def _take(self, agent_id: str, call_id: str) -> _Open | None:
        calls = self._open.get(agent_id)
        return None if calls is None else calls.pop(call_id, None)


def _about(config: AgentConfig) -> dict[str, Any]:
    return {
        "channel_name": config.channel_name,
        "agent_id": config.agent_id,
        "uid": config.uid,
    }


def _data(
    call: _Open,
    about: dict[str, Any],
    *,
    state: Literal["done", "failed", "lost"],
    outcome: str | None,
    now_s: float,
) -> ToolCallData:
    given = call.arguments
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    name = "error" if state == "failed" else "result"
    told: dict[str, Any] = {} if outcome is None else {name: _cut(outcome)}
    lengths = {"arguments": len(text), name: len(outcome or "")}
    return ToolCallData(
        **about,
        tool_call_id=call.call_id,
        name=call.name,
        arguments=given if lengths["arguments"] <= MAX_TEXT_CHARACTERS else _cut(text),
        state=state,
        duration_ms=round((now_s - call.began_s) * 1000),
        cut=tuple(field for field, length in lengths.items() if length > MAX_TEXT_CHARACTERS),
        **told,
    )


def _cut(text: str) -> str:
    return text[:MAX_TEXT_CHARACTERS]


def _parsed(arguments: str) -> dict[str, Any] | str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
