"""Calls and words to store."""

from __future__ import annotations

from typing import Any

from config.agent import AgentConfig
from config.providers import ProviderConfig
from control.store.changes import PutCall, PutEntry
from control.store.records import CallRecord
from conversation.lifecycle import AgentState
from conversation.snapshot import SnapshotEntry, SnapshotText


def config(call_id: str = "agent-1", **more: Any) -> AgentConfig:
    provider = ProviderConfig(name="local", model="local", base_uri="ws://127.0.0.1:9")
    values: dict[str, Any] = {"channel_name": "demo", "uid": 1000, "room_url": "http://127.0.0.1:9"}
    return AgentConfig(agent_id=call_id, provider=provider, **(values | more))


def record(call_id: str = "agent-1", **more: Any) -> CallRecord:
    values: dict[str, Any] = {
        "call_id": call_id,
        "thread_id": call_id,
        "channel_name": "demo",
        "uid": 1000,
        "provider": "local",
        "model": "local",
        "language": "en",
        "started_at_ms": 1_700_000_000_000,
        "updated_at_ms": 1_700_000_000_500,
        "state": AgentState.RUNNING,
    }
    return CallRecord(**(values | more))


def put_call(call_id: str = "agent-1", **more: Any) -> PutCall:
    return PutCall(record(call_id, **more))


def text(number: int, words: str = "", role: Any = "user", **more: Any) -> SnapshotText:
    return SnapshotText(number=number, role=role, text=words or f"word {number}", **more)


def put_entry(
    number: int, entry: SnapshotEntry | None, call_id: str = "agent-1", thread_id: str = ""
) -> PutEntry:
    return PutEntry(thread_id or call_id, number, call_id, 1_700_000_000_000 + number, entry)
