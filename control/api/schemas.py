"""Bodies of the control API, validated before anything is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from config.agent import (
    DEFAULT_AGENT_NAME,
    DEFAULT_AGENT_UID,
    DEFAULT_LANGUAGE,
    AgentName,
    AgentRequest,
    AgentUid,
    ThreadId,
    ToolsShown,
)
from config.cascade import Cascade, StartCascade
from config.extraction import ExtractionSchema
from config.hosted_tools import HostedTool
from config.limits import MAX_GOODBYE_CHARACTERS
from config.skills import SKILL_PATTERN
from config.sounds import Sounds
from control.api.model_options import ModelOptions
from control.placement import AgentStatus, ExitRecord
from conversation.lifecycle import AgentState, ExitReason
from conversation.moderation import ModeratorRule
from conversation.prompt import MAX_PROMPT_CHARACTERS, PLACEHOLDER_PATTERN, PromptError, fill
from conversation.turn_taking.interrupt_policy import InterruptPolicy
from line.participants import Role
from parley.agent import NAME_PATTERN
from realtime.group.model import MAX_MEMBERS
from realtime.providers import PROVIDER_PATTERN
from rtc.identifiers import ChannelName, Uid
from tools import ToolContext, ToolDeclarationError
from toolsets.mcp_server import is_mcp_toolset
from toolsets.registry import build_toolset, toolset_names
from toolsets.services import NoServices

VOICE_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"
MAX_TOOLS: Final = 64
MAX_TOOLS_BYTES: Final = 128 * 1024
MAX_TOKEN_TTL_S: Final = 24 * 3600

MetadataKey = Annotated[str, Field(pattern=PLACEHOLDER_PATTERN)]
MetadataValue = Annotated[str, Field(max_length=500)]
SkillName = Annotated[str, Field(pattern=SKILL_PATTERN)]
MemoryText = Annotated[str, Field(min_length=1, max_length=500)]


class Request(BaseModel):
    """Base of request bodies; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerVad(Request):
    """Turn detection by silence."""

    type: Literal["server_vad"]
    threshold: float | None = Field(default=None, ge=0, le=1)
    prefix_padding_ms: int | None = Field(default=None, ge=0, le=10_000)
    silence_duration_ms: int | None = Field(default=None, ge=0, le=10_000)
    idle_timeout_ms: int | None = Field(default=None, ge=1_000, le=60_000)
    create_response: bool | None = None
    interrupt_response: bool | None = None


class SemanticVad(Request):
    """Turn detection by meaning: a turn ends when the words sound finished."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class NoTurnDetection(Request):
    """Push-to-talk: clients send `client_activity_start` and `client_activity_end`."""

    type: Literal["none"]


TurnDetection = Annotated[ServerVad | SemanticVad | NoTurnDetection, Field(discriminator="type")]


class ToolDeclaration(Request):
    """A tool run by the caller's program, which receives its calls as events."""

    type: Literal["function"] = "function"
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str = Field(default="", max_length=4_000)
    parameters: dict[str, Any] | None = Field(default=None, description="JSON Schema, an object")


class HostedToolDeclaration(Request, HostedTool):
    """An MCP server that the provider calls by itself; the server's `HOSTED_MCP_URLS` allow its address."""

    type: Literal["mcp"]

    def hosted_tool(self) -> HostedTool:
        """Return it for the agent's configuration."""
        return HostedTool(**self.model_dump(exclude={"type"}))


def _kind_of_tool(value: Any) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return "mcp" if kind == "mcp" else "function"


AnyTool = Annotated[
    Annotated[ToolDeclaration, Tag("function")] | Annotated[HostedToolDeclaration, Tag("mcp")],
    Discriminator(_kind_of_tool),
]

INSTRUCTIONS_NAMES: Final = AliasChoices("instructions", "system_message")

Answerers = Literal["http", "anyone"] | Annotated[tuple[Uid, ...], Field(max_length=32)]


def require_small_tools(declarations: Sequence[Mapping[str, Any]]) -> None:
    """Refuse declarations larger than a provider accepts.

    Raises:
        ValueError: they are too large in total.
    """
    if len(json.dumps(declarations)) > MAX_TOOLS_BYTES:
        raise ValueError(f"tools are larger than {MAX_TOOLS_BYTES} bytes in total")


DefinitionName = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


class StartAgentRequest(Request):
    """An agent to start, and its channel. The server's settings hold for absent fields."""

    channel_name: ChannelName
    uid: AgentUid = Field(
        default=DEFAULT_AGENT_UID,
        description=f"the agent's number in its channel; 0: the server's choice, {DEFAULT_AGENT_UID}",
    )
    agent: str | None = Field(
        default=None,
        pattern=f"^{NAME_PATTERN}$",
        description="an agent of the server's app (`GET /agents/definitions`), which fills absent fields",
    )
    agents: tuple[DefinitionName, ...] = Field(
        default=(),
        max_length=MAX_MEMBERS,
        description="several agents of the server's app that share the conversation, the one that hears "
        "the people first (docs/chat-rooms.md)",
    )
    moderator: ModeratorRule | None = Field(
        default=None, description="which of several agents speaks next"
    )
    max_agent_turns: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="turns that several agents may take without a word of a person",
    )
    name: AgentName | None = Field(
        default=None,
        description="the agent's display name in its channel; absent: of `agent`, else "
        f"{DEFAULT_AGENT_NAME}",
    )
    language: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$",
        description=f"ISO 639 (of `agent`, else {DEFAULT_LANGUAGE}): expected language of the users: a hint for transcription, and the language "
        "of backchannels, which do not interrupt. The instructions decide what the agent speaks",
    )
    provider: str | None = Field(
        default=None, pattern=PROVIDER_PATTERN, description="a name of docs/providers.md"
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$",
        description="of the provider; with local, the language model at LLM_BASE_URL",
    )
    voice: str | None = Field(default=None, pattern=VOICE_PATTERN)
    instructions: str | None = Field(
        default=None,
        validation_alias=INSTRUCTIONS_NAMES,
        max_length=MAX_PROMPT_CHARACTERS,
        description="`{name}` is replaced by that value of metadata, in greeting and goodbye too; write "
        "{{ and }} for braces. `system_message` is an alias",
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=32)
    skills: tuple[SkillName, ...] = Field(
        default=(),
        max_length=8,
        description="named texts of the server, appended to the system message",
    )
    memory: tuple[MemoryText, ...] = Field(
        default=(), max_length=32, description="facts from earlier calls, newest last"
    )
    greeting: str | None = Field(default=None, min_length=1, max_length=1_000)
    goodbye: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_GOODBYE_CHARACTERS,
        description="spoken when a limit or a drain ends the call; absent: GOODBYE",
    )
    turn_detection: TurnDetection | None = None
    interrupt: InterruptPolicy | None = None
    sounds: Sounds | None = Field(
        default=None,
        description="what people hear besides replies: idle prompts, a sound while tools run, a background, "
        "one loudness (docs/sounds.md)",
    )
    model_settings: ModelOptions = ModelOptions()
    cascade: StartCascade | None = Field(
        default=None,
        description="recogniser, language model and voice of the provider local "
        "(docs/local-model.md); addresses are those of the settings and of CASCADE_BASE_URLS",
    )
    tools: tuple[AnyTool, ...] = Field(default=(), max_length=MAX_TOOLS)
    toolset: str | None = Field(default=None, description="name of a tool set, or mcp:NAME")
    tool_results_from: Answerers = Field(
        default="http",
        description="sources of pass-through tool results: `http`: the control API only; `anyone` in the "
        "room; or a list of uids in the room. The control API is always allowed",
    )
    tool_approvals_from: Answerers | None = Field(
        default=None,
        description="sources of tool approvals, likewise; absent: user_uid, else anyone",
    )
    show_tools: ToolsShown = Field(
        default="names",
        description="tool calls in the room's events: none, names, or full with arguments and outputs. "
        "Members that may answer or approve a call see its arguments",
    )
    reads_chat: bool = Field(
        default=True, description="a user's message in the room's chat counts as a turn"
    )
    posts_deltas: bool = Field(
        default=False,
        description="post growing transcripts to the room's chat, not only finished ones",
    )
    shows_provider_events: bool = Field(
        default=False,
        description="publish provider events that have no event of their own (agent_provider_event)",
    )
    thread_id: ThreadId | None = Field(
        default=None, description="name of a conversation to continue or begin"
    )
    person_id: ThreadId | None = Field(
        default=None,
        description="whom the call is with, such as a user's id: stored calls are found by it, and "
        "deleted together (`DELETE /people/{person_id}`)",
    )
    memory_key: ThreadId | None = Field(
        default=None,
        description="key of the long-term memory that memory tools use, such as a user's id; "
        "absent: person_id, else thread_id",
    )
    user_uid: Uid | None = Field(
        default=None, description="the user to wait for; absent: the first to join"
    )
    max_duration_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    idle_timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=24 * 3600,
        description="end the call after this long without a word from the users",
    )
    max_tokens: int | None = Field(
        default=None, gt=0, le=10**12, description="limit on the tokens of all replies"
    )
    max_cost: float | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="limit on the cost of all replies, by the server's price table",
    )
    user_wait_s: float = Field(
        default=30.0,
        gt=0,
        le=24 * 3600,
        description="end the call if no user joins or, over HTTP, writes within this time",
    )
    rejoin_grace_s: float = Field(
        default=10.0,
        ge=0,
        le=24 * 3600,
        description="time the last user may be away before the call ends",
    )
    recording: bool = Field(default=False, description="record the call's audio as a file")
    summarise: bool | None = Field(
        default=None,
        description="have a language model summarise the call after its end (docs/after-the-call.md)",
    )
    extract: ExtractionSchema | None = Field(
        default=None,
        description="JSON schema of type object, filled from the transcript after the call's end "
        "(docs/after-the-call.md)",
    )
    wait: bool = Field(default=True, description="answer when the agent is ready, not at once")

    @model_validator(mode="after")
    def _check_uids(self) -> StartAgentRequest:
        if self.user_uid == self.uid:
            raise ValueError("user_uid and uid must differ: one is the user's, one the agent's")
        return self

    @model_validator(mode="after")
    def _check_agents(self) -> StartAgentRequest:
        is_given = "agents" in self.model_fields_set
        if is_given and len(set(self.agents)) < max(2, len(self.agents)):
            raise ValueError("agents: name two or more different agents")
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

    def agent_request(self) -> AgentRequest:
        """The values for `config.agent.agent_config`."""
        return AgentRequest(
            channel_name=self.channel_name,
            uid=self.uid,
            name=self.name,
            definition=self.agent,
            agents=self.agents,
            moderator=self.moderator,
            max_agent_turns=self.max_agent_turns,
            thread_id=self.thread_id or "",
            person_id=self.person_id or "",
            memory_key=self.memory_key or "",
            user_uid=self.user_uid,
            provider=self.provider,
            model=self.model,
            language=self.language,
            voice=self.voice,
            system_message=self.filled("instructions"),
            skills=self.skills,
            memory=self.memory,
            metadata=dict(self.metadata),
            greeting=self.filled("greeting"),
            goodbye=self.filled("goodbye"),
            turn_detection=self.turn_detection_settings(),
            interrupt=self.interrupt,
            sounds=self.sounds,
            model_settings=self.model_settings.given(),
            cascade=Cascade.of_start(self.cascade),
            tools=self.tool_declarations(),
            hosted_tools=tuple(
                tool.hosted_tool() for tool in self.tools if isinstance(tool, HostedToolDeclaration)
            ),
            toolset=self.toolset,
            tool_results_from=self.tool_results_from,
            tool_approvals_from=self.tool_approvals_from,
            show_tools=self.show_tools,
            reads_chat=self.reads_chat,
            posts_deltas=self.posts_deltas,
            shows_provider_events=self.shows_provider_events,
            user_wait_s=self.user_wait_s,
            rejoin_grace_s=self.rejoin_grace_s,
            max_duration_s=self.max_duration_s,
            idle_timeout_s=self.idle_timeout_s,
            max_tokens=self.max_tokens,
            max_cost=self.max_cost,
            is_recorded=self.recording,
            summarise=self.summarise,
            extract=self.extract,
        )

    def filled(self, name: Literal["instructions", "greeting", "goodbye"]) -> str | None:
        """Return the text with its placeholders replaced by the metadata.

        Raises:
            PromptError: it cannot be filled; a request that was validated can.
        """
        text: str | None = getattr(self, name)
        return None if text is None else fill(text, self.metadata)

    def turn_detection_settings(self) -> dict[str, Any] | None:
        """Return only the settings in the request; the model's defaults hold for the rest."""
        detection = self.turn_detection
        return None if detection is None else detection.model_dump(exclude_none=True)

    def tool_declarations(self) -> tuple[dict[str, Any], ...]:
        """Return the pass-through tools in the form that `ToolContext` takes."""
        return tuple(
            tool.model_dump(exclude_none=True)
            for tool in self.tools
            if isinstance(tool, ToolDeclaration)
        )


class StartAgentAnswer(BaseModel):
    """The agent is ready; with `wait` false, it is starting."""

    status: Literal["Agent started!", "Agent starting"]
    channel_name: str
    uid: int
    agent_id: str
    thread_id: str = Field(description="conversation id, by which a later start may continue it")
    state: AgentState
    timings_ms: dict[str, float] = Field(description="duration of each phase of the start")


class StopAgentRequest(Request):
    """The channel whose agent to stop."""

    channel_name: ChannelName


class StopAgentAnswer(BaseModel):
    """The agent's process has ended."""

    status: Literal["Agent process terminated"] = "Agent process terminated"
    channel_name: str
    uid: int
    agent_id: str
    exit_reason: ExitReason
    exit_code: int | None
    stopped_by: str | None
    uptime_s: float
    is_stored: bool = Field(
        description="true if the whole call is on disk; otherwise it is written as soon as possible"
    )

    @classmethod
    def of(cls, record: ExitRecord, *, is_stored: bool) -> StopAgentAnswer:
        """Return the answer for this exit."""
        known = record.model_dump(include=set(cls.model_fields))
        return cls(**known, is_stored=is_stored)


class AgentList(BaseModel):
    """All live agents."""

    agents: list[AgentStatus]


class TokenRequest(Request):
    """Claims of a room token to mint."""

    channel_name: ChannelName
    uid: Uid | None = Field(
        default=None, description="absent (users only): a free one, chosen by the room"
    )
    role: Role = Field(
        default="user", description="a listener hears the call and can send nothing into it"
    )
    ttl_s: int = Field(default=3600, ge=1, le=MAX_TOKEN_TTL_S)
    may_start: bool = Field(
        default=False,
        description="its holder may start an agent over the bridge, if the channel has none",
    )

    @model_validator(mode="after")
    def _check_uid_of_agents(self) -> TokenRequest:
        if self.role == "agent" and self.uid is None:
            raise ValueError("uid: the token of an agent names its uid")
        if self.role != "user" and self.may_start:
            raise ValueError("may_start: is for tokens of users")
        return self


class TokenAnswer(BaseModel):
    """A room token; null if this server's rooms require none."""

    token: str | None
    channel_name: str
    uid: int | None
    role: str
    expires_in_s: int | None


class DrainRequest(Request):
    """Deadline of a drain."""

    deadline_s: float | None = Field(
        default=None, ge=0, le=7 * 24 * 3600, description="absent: DRAIN_DEADLINE_S"
    )


class DrainAnswer(BaseModel):
    """New starts are refused; the remaining `agents` end within `deadline_s`."""

    status: Literal["draining"] = "draining"
    agents: int
    deadline_s: float


class Health(BaseModel):
    """The server's event loop responds; `version` is the server's."""

    status: Literal["ok"] = "ok"
    version: str


class Readiness(BaseModel):
    """Readiness to start agents; `problems` names what is missing."""

    status: Literal["ready", "not_ready"]
    agents: int
    is_draining: bool = False
    local_model: str = Field(
        description="off, starting, ready, silent, backoff, failed or external"
    )
    local_model_uri: str | None = Field(
        default=None,
        description="only for holders of an API key; without keys, only for this machine",
    )
    language_model: str = Field(
        default="rules",
        description="of the local model: rules, external (LLM_BASE_URL), or the state of the "
        "embedded one, as of local_model",
    )
    problems: list[str]
    store: Literal["ready", "opening", "unavailable"] = "ready"
    warnings: list[str] = Field(default=[], description="problems that do not prevent starts")
