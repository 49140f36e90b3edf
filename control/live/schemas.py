"""The bodies of what programs ask of a live agent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from control.api.schemas import (
    INSTRUCTIONS_NAMES,
    MAX_TOOLS,
    VOICE_PATTERN,
    Request,
    ToolDeclaration,
    TurnDetection,
    require_small_tools,
)
from conversation.client_events import (
    MAX_TEXT_CHARACTERS,
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
)
from conversation.live_commands import MAX_SAID_CHARACTERS, Mute, Say, Update
from conversation.prompt import MAX_PROMPT_CHARACTERS


class SayRequest(Request):
    """What the agent is to speak word for word; the model's voice says it."""

    text: str = Field(min_length=1, max_length=MAX_SAID_CHARACTERS)
    interrupt: bool = Field(default=False, description="now, not after what is being said")

    def command(self) -> Say:
        """As the agent takes it."""
        return Say(text=self.text, should_interrupt=self.interrupt)


class InterruptRequest(Request):
    """Silence the agent now; the body may be absent."""

    def command(self) -> ClientResponseCancel:
        """As the agent takes it."""
        return ClientResponseCancel()


class TextRequest(Request):
    """A message as if the user had written it: it interrupts the reply and is answered."""

    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)

    def command(self) -> ClientTextAppend:
        """As the agent takes it."""
        return ClientTextAppend(text=self.text)


class UpdateRequest(Request):
    """Changes of the agent, all of them or none; they last until its end, over restarts too."""

    instructions: str | None = Field(
        default=None,
        validation_alias=INSTRUCTIONS_NAMES,
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
        description="in the place of the system message; skills and memory stay",
    )
    voice: str | None = Field(
        default=None, pattern=VOICE_PATTERN, description="only before the agent spoke"
    )
    tools: tuple[ToolDeclaration, ...] | None = Field(
        default=None, max_length=MAX_TOOLS, description="in the place of the pass-through tools"
    )
    turn_detection: TurnDetection | None = None

    @model_validator(mode="after")
    def _check_changes(self) -> UpdateRequest:
        if not self.model_dump(exclude_none=True):
            raise ValueError("nothing to change: give at least one field")
        require_small_tools(self._declarations() or ())
        return self

    def _declarations(self) -> tuple[dict[str, Any], ...] | None:
        if self.tools is None:
            return None
        return tuple(tool.model_dump(exclude_none=True) for tool in self.tools)

    def command(self) -> Update:
        """As the agent takes it."""
        detection = self.turn_detection
        return Update(
            instructions=self.instructions,
            voice=self.voice,
            tools=self._declarations(),
            turn_detection=detection.model_dump(exclude_none=True) if detection else None,
        )


class ToolResultRequest(Request):
    """The answer to a pass-through call; the model sees it as text."""

    id: str = Field(min_length=1, max_length=200, description="`tool_use.id` of the call")
    name: str = Field(default="", max_length=64)
    output: str | list[dict[str, Any]]

    def command(self) -> ClientToolResult:
        """As the agent takes it."""
        return ClientToolResult(id=self.id, name=self.name, output=self.output)


class MuteRequest(Request):
    """Whether the agent's voice is kept from people; the conversation itself goes on."""

    muted: bool = True

    def command(self) -> Mute:
        """As the agent takes it."""
        return Mute(is_muted=self.muted)


class ApproveRequest(Request):
    """Allow or forbid a tool call. `always`: all calls of this tool until the call ends."""

    id: str = Field(min_length=1, max_length=200, description="`tool_use.id` of the call")
    approve: bool
    always: bool = False
    reason: str = Field(default="", max_length=1_000, description="told to the model")

    def command(self) -> ClientToolApproval:
        """As the agent takes it."""
        return ClientToolApproval(
            id=self.id, approve=self.approve, always=self.always, reason=self.reason
        )


class LiveAnswer(BaseModel):
    """The agent did it."""

    status: Literal["done"] = "done"
    channel_name: str
    agent_id: str
    was_speaking: bool | None = Field(
        default=None, description="say and interrupt: whether a reply was cut"
    )
    item_id: str | None = Field(default=None, description="text: of the message")
