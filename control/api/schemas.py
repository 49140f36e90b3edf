"""The bodies of the control API. What they allow is checked here, before anything is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from config import PROVIDER_PATTERN, ChannelName, ThreadId, ToolsShown, Uid
from control.api.model_options import ModelOptions
from control.api.skills import SKILL_PATTERN
from control.placement import AgentStatus, ExitRecord
from conversation.interruption import InterruptPolicy
from conversation.lifecycle import AgentState, ExitReason
from conversation.prompt import MAX_PROMPT_CHARACTERS, PLACEHOLDER_PATTERN, PromptError, fill
from limit_settings import MAX_GOODBYE_CHARACTERS
from tools import ToolContext, ToolDeclarationError
from toolsets import NoServices, build_toolset, toolset_names
from toolsets.mcp_server import is_mcp_toolset

VOICE_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"
MAX_TOOLS: Final = 64
MAX_TOOLS_BYTES: Final = 128 * 1024
MAX_TOKEN_TTL_S: Final = 24 * 3600

MetadataKey = Annotated[str, Field(pattern=PLACEHOLDER_PATTERN)]
MetadataValue = Annotated[str, Field(max_length=500)]
SkillName = Annotated[str, Field(pattern=SKILL_PATTERN)]
MemoryText = Annotated[str, Field(min_length=1, max_length=500)]


class Request(BaseModel):
    """Base of what clients send: whatever is unknown is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerVad(Request):
    """Turns end after silence."""

    type: Literal["server_vad"]
    threshold: float | None = Field(default=None, ge=0, le=1)
    prefix_padding_ms: int | None = Field(default=None, ge=0, le=10_000)
    silence_duration_ms: int | None = Field(default=None, ge=0, le=10_000)
    idle_timeout_ms: int | None = Field(default=None, ge=1_000, le=60_000)
    create_response: bool | None = None
    interrupt_response: bool | None = None


class SemanticVad(Request):
    """Turns end when the words sound finished."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class NoTurnDetection(Request):
    """People say themselves when they speak: `client_activity_start` and `client_activity_end`."""

    type: Literal["none"]


TurnDetection = Annotated[ServerVad | SemanticVad | NoTurnDetection, Field(discriminator="type")]


class ToolDeclaration(Request):
    """A tool that the caller's program runs; its calls come to it as events."""

    type: Literal["function"] = "function"
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str = Field(default="", max_length=4_000)
    parameters: dict[str, Any] | None = Field(default=None, description="JSON Schema, an object")


INSTRUCTIONS_NAMES: Final = AliasChoices("instructions", "system_message")

Answerers = Literal["http", "anyone"] | Annotated[tuple[Uid, ...], Field(max_length=32)]


def require_small_tools(declarations: Sequence[Mapping[str, Any]]) -> None:
    """Refuse more than a provider would take.

    Raises:
        ValueError: they are too large together.
    """
    if len(json.dumps(declarations)) > MAX_TOOLS_BYTES:
        raise ValueError(f"tools are larger than {MAX_TOOLS_BYTES} bytes together")


class StartAgentRequest(Request):
    """Which agent to start, and where. Absent settings are the server's."""

    channel_name: ChannelName
    uid: Uid = Field(description="the agent's number in its channel")
    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$",
        description="ISO 639: what people are expected to speak, a hint for transcription, and whose "
        "agreeing noises interrupt nothing. What the agent speaks is up to the instructions",
    )
    provider: str | None = Field(
        default=None, pattern=PROVIDER_PATTERN, description="a name of docs/providers.md"
    )
    model: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")
    voice: str | None = Field(default=None, pattern=VOICE_PATTERN)
    instructions: str | None = Field(
        default=None,
        validation_alias=INSTRUCTIONS_NAMES,
        max_length=MAX_PROMPT_CHARACTERS,
        description="`{name}` becomes that value of metadata, in greeting and goodbye too; write {{ "
        "and }} for braces. `system_message` is another name of it",
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=32)
    skills: tuple[SkillName, ...] = Field(
        default=(), max_length=8, description="texts of the server that join the system message"
    )
    memory: tuple[MemoryText, ...] = Field(
        default=(), max_length=32, description="what the agent knows from before, newest last"
    )
    greeting: str | None = Field(default=None, min_length=1, max_length=1_000)
    goodbye: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_GOODBYE_CHARACTERS,
        description="said when a limit or a drain ends the call; absent: GOODBYE",
    )
    turn_detection: TurnDetection | None = None
    interrupt: InterruptPolicy = InterruptPolicy()
    model_settings: ModelOptions = ModelOptions()
    tools: tuple[ToolDeclaration, ...] = Field(default=(), max_length=MAX_TOOLS)
    toolset: str | None = Field(default=None, description="name of a tool set, or mcp:NAME")
    tool_results_from: Answerers = Field(
        default="http",
        description="who answers pass-through tools: http, the control API only; anyone in the room; "
        "or a list of uids in the room. The control API always may",
    )
    tool_approvals_from: Answerers | None = Field(
        default=None,
        description="who allows tools that need approval, likewise; absent: user_uid, else anyone",
    )
    show_tools: ToolsShown = Field(
        default="names",
        description="what people in the room see of tool calls: none, names, or full with arguments "
        "and outputs. Whoever may answer or allow a call sees what it asks",
    )
    reads_chat: bool = Field(
        default=True, description="what people write in the room's chat is a turn of theirs"
    )
    thread_id: ThreadId | None = Field(
        default=None, description="a conversation to continue, or to begin under this name"
    )
    user_uid: Uid | None = Field(default=None, description="whom to wait for; else the first")
    max_duration_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    idle_timeout_s: float | None = Field(
        default=None, gt=0, le=24 * 3600, description="so long nobody may say anything"
    )
    max_tokens: int | None = Field(default=None, gt=0, le=10**12, description="of all replies")
    max_cost: float | None = Field(
        default=None, gt=0, le=10**9, description="of all replies, by the server's price table"
    )
    user_wait_s: float = Field(
        default=30.0,
        gt=0,
        le=24 * 3600,
        description="so long nobody need join or, over HTTP, write",
    )
    rejoin_grace_s: float = Field(
        default=10.0, ge=0, le=24 * 3600, description="so long the last user may be away"
    )
    recording: bool = Field(default=False, description="keep the call's sound as a file")
    wait: bool = Field(default=True, description="answer when ready, not at once")

    @model_validator(mode="after")
    def _check_uids(self) -> StartAgentRequest:
        if self.user_uid == self.uid:
            raise ValueError("user_uid and uid must differ: one is the user's, one the agent's")
        return self

    @model_validator(mode="after")
    def _check_texts(self) -> StartAgentRequest:
        for name in ("instructions", "greeting", "goodbye"):
            try:
                self.filled(name)
            except PromptError as error:
                raise ValueError(f"{name}: {error}") from error
        return self

    @model_validator(mode="after")
    def _check_tools(self) -> StartAgentRequest:
        known, toolset = toolset_names(), self.toolset
        if toolset is not None and toolset not in known and not is_mcp_toolset(toolset):
            raise ValueError(f"toolset is unknown, known are: {', '.join(known)}")
        declarations = self.tool_declarations()
        require_small_tools(declarations)
        try:
            # Together with those of the tool set, whose names may be taken.
            context = build_toolset(self.toolset, NoServices()) if self.toolset else ToolContext()
            for declaration in declarations:
                context.register_client_function(declaration)
        except ToolDeclarationError as error:
            raise ValueError(f"tools: {error}") from error
        return self

    def filled(self, name: Literal["instructions", "greeting", "goodbye"]) -> str | None:
        """The text with the metadata in its placeholders.

        Raises:
            PromptError: it cannot be filled; a request that was validated can.
        """
        text: str | None = getattr(self, name)
        return None if text is None else fill(text, self.metadata)

    def turn_detection_settings(self) -> dict[str, Any] | None:
        """Only what was asked for: the rest is for the model to choose."""
        detection = self.turn_detection
        return None if detection is None else detection.model_dump(exclude_none=True)

    def tool_declarations(self) -> tuple[dict[str, Any], ...]:
        """The pass-through tools as `ToolContext` takes them."""
        return tuple(tool.model_dump(exclude_none=True) for tool in self.tools)


class StartAgentAnswer(BaseModel):
    """The agent is ready; with `wait` false, on its way."""

    status: Literal["Agent started!", "Agent starting"]
    channel_name: str
    uid: int
    agent_id: str
    thread_id: str = Field(description="a later start may continue the conversation by it")
    state: AgentState
    timings_ms: dict[str, float] = Field(description="duration of each phase of the start")


class StopAgentRequest(Request):
    """Whose agent to stop."""

    channel_name: ChannelName


class StopAgentAnswer(BaseModel):
    """The agent's process is gone."""

    status: Literal["Agent process terminated"] = "Agent process terminated"
    channel_name: str
    uid: int
    agent_id: str
    exit_reason: ExitReason
    exit_code: int | None
    stopped_by: str | None
    uptime_s: float
    is_stored: bool = Field(description="the whole call is on disk; else it will be when it can")

    @classmethod
    def of(cls, record: ExitRecord, *, is_stored: bool) -> StopAgentAnswer:
        """The answer that tells of this end."""
        known = record.model_dump(include=set(cls.model_fields))
        return cls(**known, is_stored=is_stored)


class AgentList(BaseModel):
    """All live agents."""

    agents: list[AgentStatus]


class TokenRequest(Request):
    """For whom to mint a room token."""

    channel_name: ChannelName
    uid: Uid | None = Field(
        default=None, description="absent, for users only: one that nobody has, chosen by the room"
    )
    role: Literal["user", "agent"] = "user"
    ttl_s: int = Field(default=3600, ge=1, le=MAX_TOKEN_TTL_S)

    @model_validator(mode="after")
    def _check_uid_of_agents(self) -> TokenRequest:
        if self.role == "agent" and self.uid is None:
            raise ValueError("uid: the token of an agent names its uid")
        return self


class TokenAnswer(BaseModel):
    """`token` is null when this server's rooms need none."""

    token: str | None
    channel_name: str
    uid: int | None
    role: str
    expires_in_s: int | None


class DrainRequest(Request):
    """How long calls may go on."""

    deadline_s: float | None = Field(
        default=None, ge=0, le=7 * 24 * 3600, description="absent: DRAIN_DEADLINE_S"
    )


class DrainAnswer(BaseModel):
    """No agent is started any more; `agents` are left, which end within `deadline_s`."""

    status: Literal["draining"] = "draining"
    agents: int
    deadline_s: float


class Health(BaseModel):
    """The server's loop turns."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether agents can be started; `problems` say what is missing."""

    status: Literal["ready", "not_ready"]
    agents: int
    is_draining: bool = False
    local_model: str = Field(
        description="off, starting, ready, silent, backoff, failed or external"
    )
    local_model_uri: str | None = Field(
        default=None, description="for holders of an API key; without keys for this machine"
    )
    problems: list[str]
    store: Literal["ready", "opening", "unavailable"] = "ready"
    warnings: list[str] = Field(default=[], description="what is wrong, though agents can start")


class ErrorDetail(BaseModel):
    """One thing that is wrong: a field of the request, or a phase of a start and its cause."""

    msg: str
    field: str | None = None
    phase: str | None = None
    cause: str | None = None
    figures: dict[str, float] | None = Field(
        default=None, description="what was measured and its limits; names carry the units"
    )


class ErrorBody(BaseModel):
    """Every answer that is not a success."""

    error: str = Field(description="for people")
    code: str = Field(description="for programs")
    details: list[ErrorDetail] | None = None
