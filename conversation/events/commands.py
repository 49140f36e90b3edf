"""API commands for a live agent: `LiveCommand`, and their results. Pure.

A command that participants may send as well is the client event of that name; the others have no
event.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from conversation.events.client_events import (
    MAX_AGENT_CHARACTERS,
    ClientImageAppend,
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
)

MAX_SAID_CHARACTERS: Final = 4_000


class _Owner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Say(_Owner):
    """Speak `text` verbatim; `should_interrupt`: now, otherwise after the reply in progress.

    agent: of several agents in the call, the one that speaks; empty: the one that spoke last
    """

    type: Literal["say"] = "say"
    text: str = Field(min_length=1, max_length=MAX_SAID_CHARACTERS, repr=False)
    should_interrupt: bool = False
    agent: str = Field(default="", max_length=MAX_AGENT_CHARACTERS)


class Mute(_Owner):
    """Stop or resume sending voice; the conversation itself goes on."""

    type: Literal["mute"] = "mute"
    is_muted: bool


class Update(_Owner):
    """Change the agent's settings: the fields that are not None, all of them or none.

    instructions: replace the system message of the start
    tools: replace the pass-through tools of the start
    agent: of several agents in the call, the one that is changed
    """

    type: Literal["update"] = "update"
    instructions: str | None = Field(default=None, repr=False)
    voice: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    turn_detection: dict[str, Any] | None = None
    agent: str = Field(default="", max_length=MAX_AGENT_CHARACTERS)

    def config_changes(self) -> dict[str, Any]:
        """Return the changes as fields of `config.AgentConfig`."""
        changes = {
            "system_message": self.instructions,
            "voice": self.voice,
            "tools": self.tools,
            "turn_detection": self.turn_detection,
        }
        return {name: value for name, value in changes.items() if value is not None}


LiveCommand = Annotated[
    Say
    | Mute
    | Update
    | ClientTextAppend
    | ClientImageAppend
    | ClientResponseCancel
    | ClientToolResult
    | ClientToolApproval,
    Field(discriminator="type"),
]


def config_changes(command: LiveCommand) -> dict[str, Any]:
    """Return the changes that an executed command makes to `config.AgentConfig`, with which another
    process of the same agent starts.
    """
    match command:
        case Update():
            return command.config_changes()
        case Mute():
            return {"is_muted": command.is_muted}
        case _:
            return {}


class CommandResult(BaseModel):
    """Result of a command.

    was_speaking: part of a reply was cut
    item_id: of the written message
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    was_speaking: bool | None = None
    item_id: str | None = None


class CommandRefusedError(Exception):
    """A valid request that cannot be carried out, or not now.

    code: `not_ready`, `too_many_events`, `unsupported_by_model`, `invalid_event`, `unknown_call`,
        ...
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
