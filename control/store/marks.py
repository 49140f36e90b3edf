"""Which events of an agent are marks on the timeline of its call. Pure."""

from __future__ import annotations

from typing import Final

from control.store.records import CallMark, MarkKind
from conversation.events import server_events as out

MAX_MARKS: Final = 2_000
"""Of one call; of more, the latest are kept."""

MAX_TEXT_CHARACTERS: Final = 128

_HOSTED: Final[dict[str, MarkKind]] = {
    "calling": "tool_call",
    "done": "tool_result",
    "failed": "tool_result",
}


def mark_of(event: out.ServerEvent, at_ms: int) -> CallMark | None:
    """Return the event's mark; None if it has none. at_ms: its time, Unix ms"""
    if isinstance(event, out.AgentTalkMeasured):
        return CallMark(at_ms=event.began_at_ms, kind=event.kind, duration_ms=event.duration_ms)
    found = _of_tool(event) or _of_floor(event)
    if found is None:
        return None
    kind, text = found
    return CallMark(at_ms=at_ms, kind=kind, text=text[:MAX_TEXT_CHARACTERS] or None)


def _of_tool(event: out.ServerEvent) -> tuple[MarkKind, str] | None:
    match event:
        case out.AgentResponseToolUseDone(tool_use=tool):
            return "tool_call", tool.name
        case out.AgentResponseToolResult(tool_result=result):
            return "tool_result", _ended(result.name, is_failed=result.is_error)
        case out.AgentHostedToolProgress(stage=stage, name=name) if stage in _HOSTED:
            return _HOSTED[stage], _ended(name, is_failed=stage == "failed")
        case out.AgentToolApprovalRequired(tool_use=tool):
            return "approval", tool.name
        case _:
            return None


def _of_floor(event: out.ServerEvent) -> tuple[MarkKind, str] | None:
    """Return the mark of who speaks, and of what the agent is connected to."""
    match event:
        case out.AgentInterrupted():
            return "interrupted", ""
        case out.AgentResumed(cause=cause):
            return "false_alarm", cause
        case out.AgentHandedOver(previous=previous, current=current):
            return "transfer", f"{previous} → {current}"
        case out.AgentTransferRequested(target=target):
            return "transfer", f"{target} is asked"
        case out.AgentTransferred(target=target):
            return "transfer", f"{target} has joined"
        case out.AgentConnectionChanged(status=status):
            return "state", f"model {status}"
        case _:
            return None


def _ended(tool: str, *, is_failed: bool) -> str:
    return f"{tool} failed" if is_failed else tool
