"""Unit tests of agents: a scripted model, people who join, speak and leave, and virtual time.

Everything here is stable and documented in `docs/testing-your-agent.md`.
"""

from __future__ import annotations

from parley.testing.call import CallUnderTest, ToolCall, call
from parley.testing.replies import Wait, calls, calls_all, fails, says, writes
from parley.testing.scripted_model import FULL, ScriptedModel, Step
from parley.testing.virtual_time import VirtualTime

__all__ = [
    "FULL",
    "CallUnderTest",
    "ScriptedModel",
    "Step",
    "ToolCall",
    "VirtualTime",
    "Wait",
    "call",
    "calls",
    "calls_all",
    "fails",
    "says",
    "writes",
]
