"""Tools that the model wants run, and those that its provider runs by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call's JSON arguments; `name` is empty where the provider did not say it yet."""

    response_id: str
    item_id: str
    call_id: str
    delta: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallRequested:
    """The model wants a tool run; emitted once a call. `arguments` is JSON text as received."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallCancelled:
    """The provider no longer wants these calls' outputs."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolApprovalRequested:
    """The provider wants to call a tool by itself and waits for an `AnswerToolApproval`."""

    request_id: str
    server_label: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class HostedToolProgress:
    """Progress of a tool, or of a tool server, that the provider calls by itself.

    stage: `listing`, `listed`, `listing_failed` of a server's tools; `calling`, `done`, `failed`
        of one call. The names, arguments and output are set where the provider sends them.
    """

    item_id: str
    stage: Literal["listing", "listed", "listing_failed", "calling", "done", "failed"]
    server_label: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    error: str = ""
