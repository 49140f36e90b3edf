"""`AgentConfig`, the whole configuration of one agent, and `agent_config`, which alone makes it.

Every way to start an agent (HTTP API, command line) hands an `AgentRequest` to `agent_config`, so
that a setting has the same effect in each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from config.analysis import require_language_model
from config.cascade import Cascade, require_allowed
from config.chat_room import ChatRoomConfig, MemberConfig
from config.chat_room_request import room_of
from config.definition import Definition, filled_request, is_own_provider, tightest
from config.handoff import (
    HandoffConfig,
    handoff_configs,
    mcp_servers_of,
    providers_of,
    require_hosts,
)
from config.hosted_tools import HostedTool, is_allowed
from config.local_model import LocalModelAddress
from config.media import OpusConfig
from config.providers import ProviderConfig, provider_config
from config.settings import AgentConfigError, ConfigError, Settings
from config.sound_files import SHIPPED, require_sounds, sound_folders
from config.sounds import Sounds
from conversation.guardrail import GuardrailRule
from conversation.limits import CallLimits
from conversation.moderation import ModeratorRule
from conversation.snapshot import ResumeState
from conversation.turn_taking.interrupt_policy import InterruptPolicy
from logs import LogFormat
from realtime.resilience.retry_policy import RetryPolicy
from rtc.identifiers import MAX_UID, ChannelName, Uid
from rtc.media_network import MediaNetwork
from rtc.signaling.protocol import MAX_NAME_CHARACTERS
from toolsets.definitions import TRANSFER_PREFIX, AgentDefinition
from toolsets.mcp_server import McpServer

DEFAULT_AGENT_NAME: Final = "Parley"
DEFAULT_LANGUAGE: Final = "en"
DEFAULT_AGENT_UID: Final = 1000
"""Uid of an agent whose start names none."""

THREAD_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"
"""Names of conversations: up to 128 characters, which fits most user ids."""

ThreadId = Annotated[str, Field(pattern=THREAD_PATTERN)]


def _check_agent_uid(value: Any) -> Any:
    # A text with the remedy: "greater than or equal to 0" does not say what 0 means.
    if type(value) is int and not 0 <= value <= MAX_UID:
        text = "use 1 to {most}, or 0 for the server's choice"
        raise PydanticCustomError("uid_range", text, {"most": MAX_UID})
    return value


AgentUid = Annotated[
    int,
    Field(ge=0, le=MAX_UID, strict=True),
    BeforeValidator(_check_agent_uid),
    AfterValidator(lambda uid: uid or DEFAULT_AGENT_UID),
]
"""Uid of an agent in a request; 0 stands for the default."""

AgentName = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS, pattern=r"\S")]
"""Display name of an agent in its room; not blank."""

Answerers = Literal["http", "anyone"] | tuple[Uid, ...]
"""Sources of answers to tool calls besides the HTTP API: none, any member of the room, or uids."""

ToolsShown = Literal["none", "names", "full"]
"""Detail of tool calls in the room's events; the HTTP API always gets all of it."""

_OF_MEMBER: Final = MemberConfig.model_fields.keys() - {"spoken_name", "definition"}


def team_key(team: str, name: str) -> str:
    """Return the name of a conversation or memory as the store keeps it: each team has its own."""
    # No such name has a slash.
    return f"{team}/{name}" if team else name


class AgentConfig(BaseModel):
    """Everything that one agent needs; crosses the link to its process as JSON (`to_json`).

    name: display name in the room
    definition: name of an agent of the owner's app; None: the request alone describes the agent
    retry: how a lost session with the provider is opened again
    team, key: of the API key that started it; empty for none
    thread_id: name of the conversation, which a later call may continue
    person_id: whom the call is with, for the stored calls; empty: nobody was named
    memory_key: of the long-term memory; empty: there is none
    loadable_skills: as `skills`; those that the model may load in mid-call
    skills: name -> text, in the order in which they join the instructions; memory: newest last
    metadata: values of the start, in texts and for the owner's code
    summarise, extract: what is made of the transcript after the call; extract: JSON schema
    reads_chat: a message in the room's chat is a user turn
    posts_deltas: the room's chat gets growing transcripts too, not only finished ones
    shows_provider_events: provider events without an event of their own are published unchanged
    passes_raw_events: every event of the provider is passed to the listeners in the agent's process
    tool_approvals_from: None for `user_uid`, if set, else any member of the room
    recordings_dir: folder of the call's recording; None: not recorded
    sound_folders: where sounds are looked up by name, the first one first
    handoffs: what each definition brings that may take the floor
    chat_room: several agents share the conversation; the fields of one agent are those of the first
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_id: str
    name: AgentName = DEFAULT_AGENT_NAME
    definition: str | None = None
    team: str = ""
    key: str = ""
    thread_id: str = ""
    person_id: str = ""
    memory_key: str = ""
    channel_name: ChannelName
    uid: Uid
    room_url: str
    room_token: SecretStr | None = None
    provider: ProviderConfig
    fallback: ProviderConfig | None = None
    retry: RetryPolicy = RetryPolicy()
    user_uid: Uid | None = None
    is_muted: bool = False
    language: str = DEFAULT_LANGUAGE
    voice: str | None = None
    system_message: str | None = None
    skills: dict[str, str] = {}
    loadable_skills: dict[str, str] = {}
    memory: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    greeting: str | None = None
    goodbye: str | None = None
    summarise: bool = False
    extract: dict[str, Any] | None = None
    turn_detection: dict[str, Any] | None = None
    interrupt: InterruptPolicy = InterruptPolicy()
    sounds: Sounds = Sounds()
    sound_folders: tuple[Path, ...] = (SHIPPED,)
    model_settings: dict[str, Any] = {}
    tools: tuple[dict[str, Any], ...] = ()
    hosted_tools: tuple[HostedTool, ...] = ()
    toolset: str | None = None
    tool_results_from: Answerers = "http"
    tool_approvals_from: Answerers | None = None
    show_tools: ToolsShown = "names"
    reads_chat: bool = True
    posts_deltas: bool = False
    shows_provider_events: bool = False
    passes_raw_events: bool = False
    mcp_servers: tuple[McpServer, ...] = ()
    http_tool_hosts: tuple[str, ...] = ()
    agents: tuple[AgentDefinition, ...] = ()
    chat_room: ChatRoomConfig | None = None
    handoffs: dict[str, HandoffConfig] = {}
    guardrails: tuple[GuardrailRule, ...] = ()
    user_wait_s: float = Field(default=30.0, gt=0)
    rejoin_grace_s: float = Field(default=10.0, ge=0)
    max_duration_s: float | None = Field(default=None, gt=0)
    media: MediaNetwork = MediaNetwork()
    limits: CallLimits = CallLimits()
    # Of an earlier call, or of a lost process of this one; set by the supervisor.
    conversation_seed: ResumeState | None = None
    opus: OpusConfig = OpusConfig()
    log_level: str = "INFO"
    log_format: LogFormat = "text"
    verbose: bool = False
    agent_pcm_dir: Path | None = None
    rtc_pcm_dir: Path | None = None
    recordings_dir: Path | None = None

    @property
    def thread_key(self) -> str:
        """Name of the conversation in the store."""
        return team_key(self.team, self.thread_id or self.agent_id)

    @property
    def tool_approvers(self) -> Answerers:
        """Sources of tool approvals besides the HTTP API."""
        if self.tool_approvals_from is not None:
            return self.tool_approvals_from
        return "anyone" if self.user_uid is None else (self.user_uid,)

    def of_member(self, member: MemberConfig) -> AgentConfig:
        """Return the configuration of one of several agents in the conversation."""
        changes = {name: getattr(member, name) for name in _OF_MEMBER}
        return self.model_copy(update={**changes, "name": member.spoken_name, "chat_room": None})

    def updated(self, changes: Mapping[str, Any], *, agent: str = "") -> AgentConfig:
        """Return the configuration with these fields changed.

        agent: of several in the conversation, the one whose fields are meant
        """
        room = self.chat_room
        if not agent or room is None:
            return self.model_copy(update=changes)
        members = tuple(
            one.model_copy(update=changes) if one.definition == agent else one
            for one in room.members
        )
        return self.model_copy(update={"chat_room": room.model_copy(update={"members": members})})

    def to_json(self) -> dict[str, Any]:
        """Return JSON values with secrets in clear text: for the link only, never for logs."""
        data = self.model_dump(mode="json")
        if self.room_token is not None:
            data["room_token"] = self.room_token.get_secret_value()
        data["hosted_tools"] = [
            tool.with_secrets(plain)
            for tool, plain in zip(self.hosted_tools, data["hosted_tools"], strict=True)
        ]
        data["provider"] = self.provider.with_secrets(data["provider"])
        if self.fallback is not None:
            data["fallback"] = self.fallback.with_secrets(data["fallback"])
        if self.chat_room is not None:
            data["chat_room"]["members"] = [each.to_json() for each in self.chat_room.members]
        for name, handoff in self.handoffs.items():
            data["handoffs"][name] = handoff.to_json()
        for server, plain in zip(self.mcp_servers, data["mcp_servers"], strict=True):
            plain["address"] = server.address.get_secret_value()
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """Values that one start may choose. None and empty leave a value to the settings.

    Attributes:
        name, language: None for the definition's, else `DEFAULT_AGENT_NAME` and `DEFAULT_LANGUAGE`.
        definition: Name of an agent of the owner's app.
        metadata: Values for placeholders in the definition's texts.
        agents: Names of agents that share the conversation; of two or more.
        moderator, max_agent_turns: Of several agents; None: of the chat room, else the defaults.
        provider, model: None for `MODEL_PROVIDER` and the model that its settings name.
        person_id: Whom the call is with, by which stored calls are found and deleted.
        memory_key: Key of the long-term memory; empty: `person_id`, else `thread_id`.
        skills: Names of texts in `SKILLS_DIR`, in the order in which they join the instructions.
        loadable_skills: Names of those that the model may load in mid-call.
        max_duration_s, idle_timeout_s, max_tokens, max_cost: Tighten the limits of the settings
            and never widen them.
        is_recorded: Record the call into `RECORDINGS_DIR`.
        summarise, extract: What a language model makes of the transcript after the call; None for
            the definition's. extract: JSON schema (`config.extraction`).
    """

    channel_name: str
    uid: int = DEFAULT_AGENT_UID
    name: str | None = None
    definition: str | None = None
    agents: tuple[str, ...] = ()
    moderator: ModeratorRule | None = None
    max_agent_turns: int | None = None
    thread_id: str = ""
    person_id: str = ""
    memory_key: str = ""
    loadable_skills: tuple[str, ...] = ()
    user_uid: int | None = None
    provider: str | None = None
    model: str | None = None
    language: str | None = None
    voice: str | None = None
    system_message: str | None = None
    skills: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    greeting: str | None = None
    goodbye: str | None = None
    turn_detection: dict[str, Any] | None = None
    interrupt: InterruptPolicy | None = None
    sounds: Sounds | None = None
    model_settings: Mapping[str, Any] | None = None
    cascade: Cascade | None = None
    tools: tuple[dict[str, Any], ...] = ()
    hosted_tools: tuple[HostedTool, ...] = ()
    toolset: str | None = None
    tool_results_from: Answerers = "http"
    tool_approvals_from: Answerers | None = None
    show_tools: ToolsShown = "names"
    reads_chat: bool = True
    posts_deltas: bool = False
    shows_provider_events: bool = False
    user_wait_s: float = 30.0
    rejoin_grace_s: float = 10.0
    max_duration_s: float | None = None
    idle_timeout_s: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    is_recorded: bool = False
    summarise: bool | None = None
    extract: dict[str, Any] | None = None


_UNCHANGED: Final = (AgentRequest.__dataclass_fields__.keys() & AgentConfig.model_fields.keys()) - {
    *("provider", "agents"),
}
"""Fields of a request that are fields of the configuration too; some are replaced below."""


def agent_config(
    settings: Settings,
    request: AgentRequest,
    *,
    agent_id: str,
    room_url: str,
    room_token: SecretStr | None,
    local_model: LocalModelAddress,
    skills: Mapping[str, str],
    definition: Definition | None = None,
    definitions: Mapping[str, Definition] | None = None,
) -> AgentConfig:
    """Return the configuration of the agent that `request` asks for under `settings`.

    Args:
        room_token: Token that the agent shows to its room, if rooms need one.
        skills: Texts of `SKILLS_DIR` by name (`config.skills.load_skills`).
        definition: The one that the request names; it fills what the request leaves out.
        definitions: All of the app, by name, for handoffs and chat rooms.

    Raises:
        AgentConfigError: The settings do not allow what the request asks for.
    """
    brings_key = False
    require_allowed(settings, request.cascade)
    room = room_of(request, definition, definitions or {})
    if room is not None:
        definition = room.members[0]
        request = replace(request, definition=definition.name, name=request.name or room.shown_name)
    if definition is not None:
        brings_key = definition.has_api_key and is_own_provider(
            request, definition, settings.model_provider
        )
        request = filled_request(request, definition, settings.model_provider)
        require_hosts(settings, definition, definitions or {})
    if request.summarise or request.extract is not None:
        require_language_model(settings)
    require_sounds(settings, request.sounds)
    provider = provider_config(
        settings,
        request.provider or settings.model_provider,
        local_model=local_model,
        model=request.model,
        brings_key=brings_key,
        cascade=request.cascade,
    )
    fallback = _fallback(settings, provider, local_model)
    handoffs = handoff_configs(
        settings, definition, definitions or {}, local_model=local_model, skills=skills
    )
    values = {name: getattr(request, name) for name in _UNCHANGED}
    values |= {
        "agent_id": agent_id,
        "name": request.name or DEFAULT_AGENT_NAME,
        "language": request.language or DEFAULT_LANGUAGE,
        "interrupt": request.interrupt or InterruptPolicy(),
        "sounds": request.sounds or Sounds(),
        "sound_folders": sound_folders(settings),
        "room_url": room_url,
        "room_token": room_token,
        "provider": provider,
        "fallback": fallback,
        "retry": settings.retry_policy,
        "memory_key": request.memory_key or request.person_id or request.thread_id,
        "skills": _chosen_skills(request.skills, skills),
        "loadable_skills": _chosen_skills(request.loadable_skills, skills),
        "greeting": request.greeting or None,
        "goodbye": request.goodbye or settings.goodbye or None,
        "summarise": bool(request.summarise),
        "model_settings": dict(request.model_settings or {}),
        "mcp_servers": mcp_servers_of(settings, definition, request.toolset),
        "hosted_tools": _hosted_tools(settings, request),
        "http_tool_hosts": settings.http_tool_hosts,
        "agents": _transfer_targets(settings, request),
        "handoffs": handoffs,
        "guardrails": settings.guardrails,
        "max_duration_s": tightest(request.max_duration_s, settings.max_duration_s),
        "limits": _limits(settings, request, [provider, fallback, *providers_of(handoffs)]),
        "media": settings.media_network,
        "opus": settings.opus,
        "log_level": settings.log_level,
        "log_format": settings.log_format,
        "verbose": settings.verbose,
        "agent_pcm_dir": settings.dump_dir if settings.write_agent_pcm else None,
        "rtc_pcm_dir": settings.dump_dir if settings.write_rtc_pcm else None,
        "recordings_dir": _recordings_dir(settings) if request.is_recorded else None,
    }
    if room is not None:
        values["chat_room"] = ChatRoomConfig(
            name=room.name,
            moderator=room.moderator,
            max_agent_turns=room.max_agent_turns,
            members=tuple(
                _member_config(settings, request, one, local_model, skills) for one in room.members
            ),
        )
    return AgentConfig(**values)


def _member_config(
    settings: Settings,
    request: AgentRequest,
    definition: Definition,
    local_model: LocalModelAddress,
    skills: Mapping[str, str],
) -> MemberConfig:
    """Return the configuration of one of several agents, of which the request sets nothing."""
    shared = AgentRequest(channel_name=request.channel_name, metadata=request.metadata)
    own = filled_request(shared, definition, settings.model_provider)
    return MemberConfig(
        definition=definition.name,
        spoken_name=definition.shown_name,
        provider=provider_config(
            settings,
            own.provider or settings.model_provider,
            local_model=local_model,
            model=own.model,
            brings_key=definition.has_api_key,
            cascade=own.cascade,
        ),
        voice=own.voice,
        system_message=own.system_message,
        skills=_chosen_skills(own.skills, skills),
        model_settings=dict(own.model_settings or {}),
        mcp_servers=mcp_servers_of(settings, definition),
    )


def _fallback(
    settings: Settings, provider: ProviderConfig, local_model: LocalModelAddress
) -> ProviderConfig | None:
    """Return the provider that takes over while `provider` is down; never the same one."""
    name = settings.fallback_provider
    if name is None or name == provider.name:
        return None
    return provider_config(settings, name, local_model=local_model)


def _limits(
    settings: Settings,
    request: AgentRequest,
    providers: Sequence[ProviderConfig | None],
) -> CallLimits:
    """providers: all that may give a reply"""
    # Behind the local model language models answer, each with a price of its own.
    models = {
        name for one in providers if one is not None for name in one.language_models or (one.model,)
    }
    prices = tuple(one for one in settings.model_prices if one.model in models)
    max_cost = tightest(request.max_cost, settings.max_cost)
    if max_cost is not None and len(prices) < len(models):
        missing = ", ".join(sorted(models - {one.model for one in prices}))
        text = f"max_cost: MODEL_PRICES has no price for {missing}"
        raise AgentConfigError(text, code="no_price")
    return CallLimits(
        idle_timeout_s=tightest(request.idle_timeout_s, settings.idle_timeout_s),
        max_tokens=tightest(request.max_tokens, settings.max_tokens),
        max_cost=max_cost,
        prices=prices,
    )


def _chosen_skills(names: Sequence[str], skills: Mapping[str, str]) -> dict[str, str]:
    for name in names:
        if name not in skills:
            known = ", ".join(skills) or "none: set SKILLS_DIR to have some"
            text = f"skills: {name} is unknown, known are {known}"
            raise AgentConfigError(text, code="unknown_skill")
    return {name: skills[name] for name in names}


def _transfer_targets(settings: Settings, request: AgentRequest) -> tuple[AgentDefinition, ...]:
    """Return the agents of AGENTS_FILE; the names of their transfer tools must be free."""
    agents = settings.agents_file
    if agents and any(tool["name"].startswith(TRANSFER_PREFIX) for tool in request.tools):
        text = f"tools: names that begin with {TRANSFER_PREFIX} are those of the server"
        raise AgentConfigError(text, code="invalid_request")
    return agents


def _hosted_tools(settings: Settings, request: AgentRequest) -> tuple[HostedTool, ...]:
    for tool in request.hosted_tools:
        if not is_allowed(tool.server_url, settings.hosted_mcp_urls):
            text = f"tools: {tool.server_label}: HOSTED_MCP_URLS does not list its address"
            raise AgentConfigError(text, code="tool_server_not_allowed")
    return request.hosted_tools


def _recordings_dir(settings: Settings) -> Path:
    if settings.recordings_dir is None:
        text = "recording: this server keeps none; set RECORDINGS_DIR to a folder to have some"
        raise AgentConfigError(text, code="recording_unavailable")
    return settings.recordings_dir.absolute()


def prepare_recordings(directory: Path | None) -> None:
    """Create the recordings folder, if one is configured. Idempotent.

    Raises:
        ConfigError: The folder cannot be made or written.
    """
    if directory is None:
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"RECORDINGS_DIR: {directory} cannot be made: {error}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"RECORDINGS_DIR: {directory} is not writable")
