"""What an agent's owner asks of it during a call: `LiveCommand`, and what comes of it. Pure.

Whatever people in the room may ask as well is the client event of that name; the rest is the
owner's alone and has no event.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from conversation.client_events import (
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
)

MAX_SAID_CHARACTERS: Final = 4_000


class _Owner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Say(_Owner):
    """Speak `text` word for word; `should_interrupt`: now, else after what is being said."""

    type: Literal["say"] = "say"
    text: str = Field(min_length=1, max_length=MAX_SAID_CHARACTERS, repr=False)
    should_interrupt: bool = False


class Mute(_Owner):
    """Send people no voice, or send it again; the conversation itself goes on."""

    type: Literal["mute"] = "mute"
    is_muted: bool


class Update(_Owner):
    """Change the agent's settings: those that are not None, all of them or none.

    instructions: in the place of the start's system message
    tools: in the place of the start's pass-through tools
    """

    type: Literal["update"] = "update"
    instructions: str | None = Field(default=None, repr=False)
    voice: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    turn_detection: dict[str, Any] | None = None

    def config_changes(self) -> dict[str, Any]:
        """The same as fields of `config.AgentConfig`."""
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
    | ClientResponseCancel
    | ClientToolResult
    | ClientToolApproval,
    Field(discriminator="type"),
]


def config_changes(command: LiveCommand) -> dict[str, Any]:
    """What a command that was carried out changes of `config.AgentConfig`: another process of the
    same agent begins with it.
    """
    match command:
        case Update():
            return command.config_changes()
        case Mute():
            return {"is_muted": command.is_muted}
        case _:
            return {}


class CommandResult(BaseModel):
    """What was done.

    was_speaking: whether something of a reply was cut
    item_id: of the message that was written
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    was_speaking: bool | None = None
    item_id: str | None = None


class CommandRefusedError(Exception):
    """A valid request that cannot be carried out, or not now.

    code: `not_ready`, `too_many_events`, `unsupported_by_model`, `invalid_event`, `unknown_call`, ...
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
