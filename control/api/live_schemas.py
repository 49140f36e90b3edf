"""Bodies of commands to a live agent."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

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
from conversation.events.client_events import (
    MAX_AGENT_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
)
from conversation.events.commands import MAX_SAID_CHARACTERS, Mute, Say, Update
from conversation.prompt import MAX_PROMPT_CHARACTERS

AGENT: Final = Field(
    default="",
    max_length=MAX_AGENT_CHARACTERS,
    description="of several agents in the call, the one that is meant",
)


class SayRequest(Request):
    """A text that the agent speaks word for word, in the model's voice."""

    text: str = Field(min_length=1, max_length=MAX_SAID_CHARACTERS)
    interrupt: bool = Field(default=False, description="speak now, interrupting the current reply")
    agent: str = AGENT

    def command(self) -> Say:
        """Return the command for the agent."""
        return Say(text=self.text, should_interrupt=self.interrupt, agent=self.agent)


class InterruptRequest(Request):
    """Silence the agent now; the body may be absent."""

    playback_only: bool = Field(
        default=False,
        description="the model goes on with its reply, of which nothing more is heard",
    )
    cancel_response_only: bool = Field(
        default=False, description="the model stops, and what came of its reply is played"
    )
    force_response_cancel: bool = Field(
        default=False,
        description="ask the model to stop even if no reply of it is known to be in progress",
    )

    @model_validator(mode="after")
    def _check_scope(self) -> InterruptRequest:
        self.command()
        return self

    def command(self) -> ClientResponseCancel:
        """Return the command for the agent."""
        return ClientResponseCancel(**self.model_dump())


class TextRequest(Request):
    """A message as if written by the user: it interrupts the reply and is answered."""

    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)
    agent: str = AGENT

    def command(self) -> ClientTextAppend:
        """Return the command for the agent."""
        return ClientTextAppend(text=self.text, agent=self.agent)


class UpdateRequest(Request):
    """Changes of the agent, applied all or none; they last until its end, across restarts."""

    instructions: str | None = Field(
        default=None,
        validation_alias=INSTRUCTIONS_NAMES,
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
        description="replaces the system message; skills and memory stay",
    )
    voice: str | None = Field(
        default=None, pattern=VOICE_PATTERN, description="only before the agent has spoken"
    )
    tools: tuple[ToolDeclaration, ...] | None = Field(
        default=None, max_length=MAX_TOOLS, description="replaces the pass-through tools"
    )
    turn_detection: TurnDetection | None = None
    agent: str = AGENT

    @model_validator(mode="after")
    def _check_changes(self) -> UpdateRequest:
        if not self.model_dump(exclude_none=True, exclude={"agent"}):
            raise ValueError("nothing to change: give at least one field")
        require_small_tools(self._declarations() or ())
        return self

    def _declarations(self) -> tuple[dict[str, Any], ...] | None:
        if self.tools is None:
            return None
        return tuple(tool.model_dump(exclude_none=True) for tool in self.tools)

    def command(self) -> Update:
        """Return the command for the agent."""
        detection = self.turn_detection
        return Update(
            instructions=self.instructions,
            voice=self.voice,
            tools=self._declarations(),
            turn_detection=detection.model_dump(exclude_none=True) if detection else None,
            agent=self.agent,
        )


class ToolResultRequest(Request):
    """The result of a pass-through call; the model sees it as text."""

    id: str = Field(min_length=1, max_length=200, description="`tool_use.id` of the call")
    name: str = Field(default="", max_length=64)
    output: Any = Field(description="text, or any other JSON value: the model sees it as JSON")
    start_response: bool = Field(
        default=True, description="let the model reply to it; false: it only has to know it"
    )

    def command(self) -> ClientToolResult:
        """Return the command for the agent."""
        output = self.output if isinstance(self.output, str) else json.dumps(self.output)
        return ClientToolResult(
            id=self.id, name=self.name, output=output, start_response=self.start_response
        )


class MuteRequest(Request):
    """Mute or unmute the agent's voice; the conversation itself goes on."""

    muted: bool = True

    def command(self) -> Mute:
        """Return the command for the agent."""
        return Mute(is_muted=self.muted)


class ApproveRequest(Request):
    """Allow or forbid a tool call; `always`: every call of this tool until the end."""

    id: str = Field(min_length=1, max_length=200, description="`tool_use.id` of the call")
    approve: bool
    always: bool = False
    reason: str = Field(default="", max_length=1_000, description="passed to the model")

    def command(self) -> ClientToolApproval:
        """Return the command for the agent."""
        return ClientToolApproval(
            id=self.id, approve=self.approve, always=self.always, reason=self.reason
        )


class LiveAnswer(BaseModel):
    """The command was executed."""

    status: Literal["done"] = "done"
    channel_name: str
    agent_id: str
    was_speaking: bool | None = Field(
        default=None, description="say and interrupt: true if a reply was cut"
    )
    item_id: str | None = Field(default=None, description="text: id of the message")
