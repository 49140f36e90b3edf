"""Record of a call as its agent knows it, for the hook `call_ended`."""

from __future__ import annotations

from typing import Any

from config.agent import AgentConfig
from conversation.lifecycle import ExitReason
from conversation.limits import LimitWatch
from conversation.snapshot import SnapshotToolCall
from session.owner import Owner
from utils import wall_clock_ms


def call_record(
    config: AgentConfig,
    owner: Owner,
    limits: LimitWatch,
    *,
    started_at_ms: int,
    exit_reason: ExitReason | None,
) -> dict[str, Any]:
    """Return the record: JSON values, with the field names of `GET /calls/{id}`.

    limits: counts what was used
    """
    entries = [entry for entry, _ in owner.entries()]
    tools = {"call_id", "name", "arguments", "output"}
    return {
        "call_id": config.agent_id,
        "thread_id": config.thread_id,
        "channel_name": config.channel_name,
        "uid": config.uid,
        "agent": owner.definition.name,
        "provider": config.provider.name,
        "model": config.provider.model,
        "language": config.language,
        "metadata": dict(config.metadata),
        "started_at_ms": started_at_ms,
        "ended_at_ms": wall_clock_ms(),
        "exit_reason": str(exit_reason) if exit_reason else None,
        "usage": {"tokens": limits.tokens, "cost": limits.cost},
        "transcript": [entry.model_dump(mode="json") for entry in entries],
        "tool_calls": [
            entry.model_dump(mode="json", include=tools)
            for entry in entries
            if isinstance(entry, SnapshotToolCall)
        ],
        "state": dict(owner.state),
        "owner_errors": [failure.model_dump(mode="json") for failure in owner.failures],
    }
