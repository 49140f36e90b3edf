"""API for owners: declare agents in one Python file, or run them in-process.

Everything exported here is stable and documented in `docs/agents.md`; everything else of the project
is internal and may change with any version.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from parley.agent import Agent
from parley.call import Call, CallError, HeardTurn, Participant
from parley.chat_room import ChatRoom, ModelModerator
from parley.guardrails import (
    Action,
    Check,
    Cut,
    EndCall,
    Guardrail,
    ModelGuardrail,
    Replace,
    Retry,
    guardrail,
)
from parley.hooks import HookName
from parley.http_tool import HttpTool, secret
from parley.live_events import RealtimeEvent
from parley.live_input import LiveInputQueue
from parley.mcp_server import McpServer
from parley.tool_definition import Tool, tool
from realtime.playback import RealtimePlaybackTracker
from tool_generators import Progress
from tool_results import Result
from tools import ToolError

if TYPE_CHECKING:
    from parley.in_process.conversation_store import ConversationStore as ConversationStore

__all__ = [
    "Action",
    "Agent",
    "Call",
    "CallError",
    "ChatRoom",
    "Check",
    "ConversationStore",
    "Cut",
    "EndCall",
    "Guardrail",
    "HeardTurn",
    "HookName",
    "ModelGuardrail",
    "ModelModerator",
    "LiveInputQueue",
    "McpServer",
    "HttpTool",
    "Participant",
    "Progress",
    "RealtimeEvent",
    "RealtimePlaybackTracker",
    "Replace",
    "Result",
    "Retry",
    "Tool",
    "ToolError",
    "guardrail",
    "secret",
    "tool",
]

_LATER: Final = {"ConversationStore": "parley.in_process.conversation_store"}
"""Imported when asked for: to declare agents costs nothing of what runs them."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'parley' has no attribute {name!r}")
