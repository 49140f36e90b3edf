"""Input of the dialogue when it must answer, and the decisions open to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said or written; for the assistant, what was heard of it.

    is_cut: the user interrupted this reply, or it ended at a limit
    """

    role: Literal["user", "assistant", "system"]
    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the assistant asked for."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The result of a tool call."""

    call_id: str
    output: str


Entry = Turn | ToolCall | ToolOutput


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the session offers; `parameters` is its JSON Schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """Everything an answer may depend on.

    request: instructions of this one response
    now: local time with its zone, whose IANA name is `zone_name`
    forced_tool: the tool that must be called; `must_call_tool`: any, but one
    """

    history: tuple[Entry, ...]
    now: datetime
    zone_name: str = "UTC"
    instructions: str = ""
    request: str = ""
    tools: tuple[Tool, ...] = ()
    forced_tool: str | None = None
    must_call_tool: bool = False


@dataclass(frozen=True, slots=True)
class Say:
    """Speak this; plain readable text with figures, as in a transcript."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Ask for a tool."""

    name: str
    arguments: Mapping[str, Any]


Action = Say | Call


def open_turns(history: tuple[Entry, ...]) -> list[Entry]:
    """Return the turns after the assistant's last words: the question to answer now.

    A reply of which nothing was heard does not count, so a sentence that a pause cut in two is
    understood as one.
    """
    pending: list[Entry] = []
    for entry in reversed(history):
        if isinstance(entry, ToolCall):
            break
        if isinstance(entry, Turn) and entry.role == "assistant":
            if entry.text:
                break
            continue
        pending.append(entry)
    return pending[::-1]


def user_words(entries: list[Entry]) -> str:
    """The user's words among `entries`, joined."""
    said = [e.text for e in entries if isinstance(e, Turn) and e.role == "user" and e.text]
    return " ".join(said)
