"""Settings, read once from the environment; and the whole configuration of one agent.

An empty variable counts as unset. Secrets are `SecretStr`: masked wherever they are printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from conversation.guardrail import GuardrailRule, parse_guardrails
from conversation.interruption import InterruptPolicy
from conversation.limits import CallLimits
from conversation.remembered import ConversationSeed
from limit_settings import LimitSettings
from logs import LogFormat
from media_settings import MediaSettings, OpusConfig
from rtc.media_network import MediaNetwork
from secret_rules import ApiKey, ProviderKey, RoomSecret, WebhookSecret
from setting_problems import describe, field_problems
from toolsets.definitions import AgentDefinition, read_definitions
from toolsets.mcp_server import MCP_PREFIX, McpServer, parse_mcp_servers

CHANNEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Channel names: 1 to 64 of letters, digits, `_`, `-`, `.`, the first a letter or digit."""

THREAD_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"
"""Names of conversations: up to 128 characters, room for most ids of users."""

MAX_UID = 2**32 - 1

ChannelName = Annotated[str, Field(pattern=CHANNEL_PATTERN)]
ThreadId = Annotated[str, Field(pattern=THREAD_PATTERN)]
Uid = Annotated[int, Field(ge=1, le=MAX_UID, strict=True)]

PROVIDER_PATTERN = r"^[a-z][a-z0-9-]{0,31}$"

_ORIGIN_PATTERN = r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$"
Origin = Annotated[str, Field(pattern=_ORIGIN_PATTERN)]
"""As browsers write them: lower case, no path, no default port."""


def _is_address(uri: str, *schemes: str) -> bool:
    """Whether it has one of these schemes, a host, and a port that there is, if it has one."""
    try:
        parts = urlsplit(uri)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_base_uri(uri: str) -> str:
    if not _is_address(uri, "ws", "wss") or re.fullmatch(r"[a-z]+://[^\s/?#]+", uri) is None:
        raise ValueError("need ws://HOST:PORT or wss://HOST, without a path")
    return uri


BaseUri = Annotated[str, AfterValidator(_check_base_uri)]

_LISTS = (
    *("api_keys", "room_token_old_secrets", "allowed_origins", "trusted_proxies"),
    *("stun_urls", "turn_urls"),
)
"""Settings of several values, separated by commas."""


def _store_url_problem(values: Mapping[str, Any]) -> str | None:
    """What can be said of `STORE_URL` without opening it; its password is not repeated."""
    if re.match(r"(sqlite|postgres|postgresql)://", str(values.get("store_url", "sqlite://"))):
        return None
    return "STORE_URL: need sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class ConfigError(ValueError):
    """A setting is missing or wrong; the text names the variable and what to do."""


def is_channel_name(name: str) -> bool:
    """Whether `name` is within the safe alphabet and length."""
    return re.fullmatch(CHANNEL_PATTERN, name) is not None


class Settings(MediaSettings, LimitSettings):
    """Everything the environment decides; each field's variable is its name in capitals."""

    # Infinity is said by leaving a limit out; as a number it breaks whoever counts with it.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    server_host: str = "127.0.0.1"
    server_port: int = Field(default=8080, ge=0, le=65_535)
    api_keys: tuple[ApiKey, ...] = ()
    metrics_token: ApiKey | None = None
    room_token_secret: RoomSecret | None = None
    room_token_old_secrets: tuple[RoomSecret, ...] = ()
    allowed_origins: tuple[Origin, ...] = ()
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    webhook_url: SecretStr | None = None
    webhook_secret: WebhookSecret | None = None

    provider_factories: str = ""
    model_provider: str = Field(default="local", pattern=PROVIDER_PATTERN)
    fallback_provider: str | None = Field(default=None, pattern=PROVIDER_PATTERN)
    openai_api_key: ProviderKey | None = None
    openai_model: str = "gpt-realtime-2.1"
    realtime_api_base_uri: BaseUri = "wss://api.openai.com"
    azure_openai_api_key: ProviderKey | None = None
    azure_openai_deployment: str = ""
    azure_openai_base_uri: BaseUri | None = None
    azure_openai_api_version: str = Field(default="", pattern=r"^(\d{4}-\d\d-\d\d(-preview)?)?$")
    openai_beta_api_key: ProviderKey | None = None
    openai_beta_model: str = ""
    openai_beta_base_uri: BaseUri | None = None
    dashscope_api_key: ProviderKey | None = None
    dashscope_model: str = "qwen3.5-omni-flash-realtime"
    dashscope_base_uri: BaseUri = "wss://dashscope-intl.aliyuncs.com"
    gemini_api_key: ProviderKey | None = None
    gemini_model: str = "gemini-3.8-live"
    gemini_base_uri: BaseUri = "wss://generativelanguage.googleapis.com"
    custom_provider_api_key: SecretStr | None = None
    custom_provider_model: str = ""
    custom_provider_base_uri: BaseUri | None = None
    local_model_uri: BaseUri | None = None
    local_model_port: int = Field(default=0, ge=0, le=65_535)

    mcp_servers: tuple[McpServer, ...] = ()
    guardrails: tuple[GuardrailRule, ...] = ()

    agents_file: tuple[AgentDefinition, ...] = ()

    skills_dir: Path | None = None

    data_dir: Path = Path("parley-data")
    store_url: SecretStr | None = None
    retention_days: float = Field(default=30.0, ge=0, le=36_500)
    retention_calls: int = Field(default=10_000, ge=0, le=10**12)

    warm_processes: int = Field(default=2, ge=0, le=64)
    merge_pages: bool = False

    otel_exporter_otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    otel_exporter_otlp_headers: SecretStr | None = None
    otel_service_name: str = "parley"

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: LogFormat = "text"
    verbose: bool = False
    write_agent_pcm: bool = False
    write_rtc_pcm: bool = False
    dump_dir: Path = Path("dumps")
    recordings_dir: Path | None = None

    @field_validator("model_provider")
    @classmethod
    def _check_provider(cls, name: str, info: ValidationInfo) -> str:
        from realtime.providers import provider_names

        factories = info.data.get("provider_factories", "").split(",")
        known = [*provider_names(), *(entry.partition("=")[0].strip() for entry in factories)]
        if name not in known:
            raise ValueError(f"unknown, known are: {', '.join(filter(None, known))}")
        return name

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_address(url.get_secret_value(), "http", "https"):
            raise ValueError("must be an http or https address")
        return url

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_collector(cls, url: str | None) -> str | None:
        if url is not None and not _is_address(url, "http", "https"):
            raise ValueError("need http://HOST:PORT or https://HOST")
        return url

    @field_validator("mcp_servers", mode="before")
    @classmethod
    def _parse_mcp_servers(cls, value: Any) -> Any:
        return parse_mcp_servers(value) if isinstance(value, str) else value

    @field_validator("agents_file", mode="before")
    @classmethod
    def _read_agents(cls, value: Any) -> Any:
        return read_definitions(value) if isinstance(value, str) else value

    @field_validator("guardrails", mode="before")
    @classmethod
    def _parse_guardrails(cls, value: Any) -> Any:
        return parse_guardrails(value) if isinstance(value, str) else value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _check_headers(cls, headers: SecretStr | None) -> SecretStr | None:
        for each in headers.get_secret_value().split(",") if headers else ():
            if re.fullmatch(r"\s*[A-Za-z0-9-]+=[!-~ ]+", each) is None:
                raise ValueError("name=value pairs, separated by commas")
        return headers

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Parse the environment.

        Raises:
            ConfigError: values are wrong, all of which are named; secrets are not repeated.
        """
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            if (text := environ.get(name.upper(), "").strip()) != "":
                values[name] = text
        for name in _LISTS:
            if name in values:
                parts = [part.strip() for part in str(values[name]).split(",")]
                values[name] = tuple(part for part in parts if part)
        problems = list(filter(None, [_store_url_problem(values)]))
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            problems += cls._problems(values, error)
        else:
            if not problems:
                return settings
        raise ConfigError(describe(problems)) from None

    @classmethod
    def _problems(cls, values: Mapping[str, Any], error: ValidationError) -> list[str]:
        """Everything that is wrong, with each setting and with several together."""
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        found = field_problems(error, defaults)
        problems = list(found.values())
        # One that is wrong hides what the others contradict.
        rest = {name: value for name, value in values.items() if name not in found}
        try:
            cls.model_validate(rest)
        except ValidationError as contradiction:
            together = field_problems(contradiction, defaults).get("", "")
            problems += [
                line
                for line in together.splitlines()
                if line not in problems and not any(name.upper() in line for name in found)
            ]
        return [line for problem in problems for line in problem.splitlines()]

    def mcp_server(self, toolset: str | None) -> McpServer | None:
        """The MCP server behind a tool set; None when the tool set is none of an MCP server.

        Raises:
            ConfigError: `MCP_SERVERS` does not name it.
        """
        if toolset is None or not toolset.startswith(MCP_PREFIX):
            return None
        for server in self.mcp_servers:
            if server.name == toolset[len(MCP_PREFIX) :]:
                return server
        raise ConfigError(f"toolset {toolset}: MCP_SERVERS names no such server")

    def contradictions(self) -> Iterator[str]:
        """See `MediaSettings.contradictions`."""
        yield from super().contradictions()
        if self.webhook_url is not None and self.webhook_secret is None:
            yield "WEBHOOK_URL: needs WEBHOOK_SECRET, by which receivers know its notices"

    @property
    def otel_headers(self) -> dict[str, str]:
        """Headers for the collector; in clear."""
        if self.otel_exporter_otlp_headers is None:
            return {}
        pairs = self.otel_exporter_otlp_headers.get_secret_value().split(",")
        return {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in pairs)}

    @property
    def room_secrets(self) -> tuple[str, ...]:
        """Those that room tokens may be signed with; the first signs new ones."""
        if self.room_token_secret is None:
            return ()
        secrets = (self.room_token_secret, *self.room_token_old_secrets)
        return tuple(secret.get_secret_value() for secret in secrets)

    @property
    def has_credentials(self) -> bool:
        """Whether both control keys and room tokens are configured, so that others may connect."""
        return bool(self.api_keys) and self.room_token_secret is not None

    def require_safe_bind(self, host: str) -> None:
        """Without credentials only this machine may connect.

        Raises:
            ConfigError: `host` is reachable from elsewhere and the server would be open to all.
        """
        if host not in _LOOPBACK_HOSTS and not self.has_credentials:
            raise ConfigError(
                f"refusing to listen on {host} without credentials: set API_KEYS and "
                "ROOM_TOKEN_SECRET (32 characters or more), or use SERVER_HOST=127.0.0.1"
            )


class ProviderConfig(BaseModel):
    """How an agent reaches its model.

    factory: `package.module:function` of a provider that is none of ours, from the server's settings
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=PROVIDER_PATTERN)
    model: str
    base_uri: str
    api_key: SecretStr | None = None
    query: dict[str, str] = {}
    factory: str | None = None


Answerers = Literal["http", "anyone"] | tuple[Uid, ...]
"""Who may act on tool calls beside the owner, who may over HTTP: nobody, anyone in the room, uids."""

ToolsShown = Literal["none", "names", "full"]
"""What people in the room see of tool calls; the owner sees everything over HTTP."""


class AgentConfig(BaseModel):
    """All that one agent needs; crosses the link to its process as JSON (`to_json`).

    thread_id: the conversation, which may go on in a later call
    skills: name -> text, in the order in which they join the instructions; memory: newest last
    reads_chat: what people write in the room's chat is a turn
    tool_approvals_from: None: the user whom the agent is there for, else anyone in the room
    recordings_dir: where the call is recorded; None: nowhere
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_id: str
    thread_id: str = ""
    channel_name: ChannelName
    uid: Uid
    room_url: str
    room_token: SecretStr | None = None
    provider: ProviderConfig
    fallback: ProviderConfig | None = None
    user_uid: Uid | None = None
    is_muted: bool = False
    language: str = "en"
    voice: str | None = None
    system_message: str | None = None
    skills: dict[str, str] = {}
    memory: tuple[str, ...] = ()
    greeting: str | None = None
    goodbye: str | None = None
    turn_detection: dict[str, Any] | None = None
    interrupt: InterruptPolicy = InterruptPolicy()
    model_settings: dict[str, Any] = {}
    tools: tuple[dict[str, Any], ...] = ()
    toolset: str | None = None
    tool_results_from: Answerers = "http"
    tool_approvals_from: Answerers | None = None
    show_tools: ToolsShown = "names"
    reads_chat: bool = True
    mcp_server: McpServer | None = None
    agents: tuple[AgentDefinition, ...] = ()
    guardrails: tuple[GuardrailRule, ...] = ()
    user_wait_s: float = Field(default=30.0, gt=0)
    rejoin_grace_s: float = Field(default=10.0, ge=0)
    max_duration_s: float | None = Field(default=None, gt=0)
    media: MediaNetwork = MediaNetwork()
    limits: CallLimits = CallLimits()
    conversation_seed: ConversationSeed | None = None
    opus: OpusConfig = OpusConfig()
    log_level: str = "INFO"
    log_format: LogFormat = "text"
    verbose: bool = False
    agent_pcm_dir: Path | None = None
    rtc_pcm_dir: Path | None = None
    recordings_dir: Path | None = None

    @property
    def tool_approvers(self) -> Answerers:
        """Who may allow tool calls beside the owner."""
        if self.tool_approvals_from is not None:
            return self.tool_approvals_from
        return "anyone" if self.user_uid is None else (self.user_uid,)

    def to_json(self) -> dict[str, Any]:
        """As JSON values with the secrets in clear: for the link only, never for logs."""
        data = self.model_dump(mode="json")
        if self.room_token is not None:
            data["room_token"] = self.room_token.get_secret_value()
        if self.provider.api_key is not None:
            data["provider"]["api_key"] = self.provider.api_key.get_secret_value()
        if self.fallback is not None and self.fallback.api_key is not None:
            data["fallback"]["api_key"] = self.fallback.api_key.get_secret_value()
        if self.mcp_server is not None:
            data["mcp_server"]["address"] = self.mcp_server.address.get_secret_value()
        return data
