"""Hooks: an owner's functions that run at moments of a call, off the audio path.

A hook is called with the call and an event of this module; it may be plain (it runs in a thread) or
async. Its deadline is `HOOK_TIMEOUT_S`. What it raises goes to the call's record and ends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

HookName = Literal[
    "call_started",
    "user_joined",
    "user_left",
    "user_turn_finished",
    "reply_finished",
    "tool_called",
    "tool_finished",
    "agent_handed_over",
    "error",
    "call_ended",
]
"""Moments at which hooks run."""

Hook = Callable[..., Any]

HOOK_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The agent is ready. is_restart: an earlier process of this call was lost"""

    is_restart: bool = False


@dataclass(frozen=True, slots=True)
class UserJoined:
    """A person joined."""

    uid: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class UserLeft:
    """A person left."""

    uid: int
    reason: str = ""


@dataclass(slots=True)
class UserTurnFinished:
    """A user's turn is over and not yet answered.

    add_text: a hook may set it: text that the model gets before it answers
    """

    text: str
    uid: int | None = None
    add_text: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """A reply was spoken. text: as heard; is_cut: by an interruption or a guardrail"""

    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model called a tool; it has not run yet."""

    call_id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has an outcome."""

    call_id: str
    name: str
    output: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class AgentHandedOver:
    """Another definition has the floor."""

    previous: str
    current: str


@dataclass(frozen=True, slots=True)
class ErrorHappened:
    """Something failed without ending the call.

    source: `provider`, `tool`, `hook`, `guardrail`, ...; place: file and line in the owner's code
    """

    source: str
    message: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over. record: as `GET /calls/{id}` shows it"""

    reason: str
    record: dict[str, Any]
