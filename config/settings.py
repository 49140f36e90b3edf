"""Settings, read once from variables of the environment and of `.env` (`config.environment`).

An empty variable counts as unset. Secrets are `SecretStr`: masked wherever they are printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from config.hosted_tools import HostedUrl
from config.judge import JudgeSettings
from config.limits import LimitSettings
from config.local_model import LocalModelSettings
from config.media import MediaSettings
from config.notices import LIFECYCLE_KINDS, NoticeKind, parse_kinds
from config.problems import describe, field_problems, with_place
from config.provider_settings import ProviderSettings, is_address
from config.secrets import ApiKey, RoomSecret, WebhookSecret
from conversation.guardrail import GuardrailRule, parse_guardrails
from logs import LogFormat
from realtime.providers import provider_names
from toolsets.definitions import AgentDefinition, read_definitions
from toolsets.http_hosts import HttpHosts
from toolsets.mcp_server import MCP_PREFIX, McpServer, parse_mcp_servers
from utils import named_values

_ORIGIN_PATTERN = r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$"
Origin = Annotated[str, Field(pattern=_ORIGIN_PATTERN)]
"""Origin as browsers send it: lower case, no path, no default port."""


_LISTS = (
    *("api_keys", "room_token_old_secrets", "allowed_origins", "trusted_proxies"),
    *("stun_urls", "turn_urls", "http_tool_hosts", "hosted_mcp_urls", "cascade_base_urls"),
    "webhook_events",
)
"""Settings that are comma-separated lists."""


def _store_url_problem(values: Mapping[str, Any]) -> str | None:
    """Return the problem of `STORE_URL` that shows without opening it; never repeats its password."""
    if re.match(r"(sqlite|postgres|postgresql)://", str(values.get("store_url", "sqlite://"))):
        return None
    return "STORE_URL: need sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


# Names that SERVER_HOST may have without credentials.
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class ConfigError(ValueError):
    """A setting is missing or wrong; the text names the variable and what to do."""


class AgentConfigError(ConfigError):
    """An agent cannot be configured as requested under these settings.

    code: stable word for programs, the `code` of the HTTP answer
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class Settings(MediaSettings, LimitSettings, LocalModelSettings, JudgeSettings, ProviderSettings):
    """All settings; the variable of a field is its name in upper case."""

    # No limit is said by leaving a setting out; arithmetic on infinity fails elsewhere.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Listener and credentials: docs/security.md.
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
    webhook_events: tuple[NoticeKind, ...] = LIFECYCLE_KINDS

    # Tools, rules and agents that starts may use: docs/tools.md.
    mcp_servers: tuple[McpServer, ...] = ()
    http_tool_hosts: tuple[str, ...] = ()
    hosted_mcp_urls: tuple[HostedUrl, ...] = ()
    guardrails: tuple[GuardrailRule, ...] = ()

    agents_file: tuple[AgentDefinition, ...] = ()

    skills_dir: Path | None = None

    # Sounds that starts may name: docs/sounds.md.
    sounds_dir: Path | None = None

    # The owner's agents in Python, and variables that their code may read: docs/agents.md.
    app: str | None = None
    app_variables: dict[str, SecretStr] = Field(default_factory=dict)

    # Persistent data: docs/store.md.
    data_dir: Path = Path("parley-data")
    store_url: SecretStr | None = None
    retention_days: float = Field(default=30.0, ge=0, le=36_500)
    retention_calls: int = Field(default=10_000, ge=0, le=10**12)
    # Of the audit log: docs/keys.md.
    audit_retention_days: float = Field(default=90.0, ge=0, le=36_500)

    # Agent processes: docs/costs.md.
    warm_processes: int = Field(default=2, ge=0, le=64)
    merge_pages: bool = False

    # Traces: docs/observability.md. The names are those of OpenTelemetry.
    otel_exporter_otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    otel_exporter_otlp_headers: SecretStr | None = None
    otel_service_name: str = "parley"
    otel_instrumentation_genai_capture_message_content: bool = False

    # Logs and debug dumps: docs/observability.md.
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
        factories = info.data.get("provider_factories", "").split(",")
        known = [*provider_names(), *(entry.partition("=")[0].strip() for entry in factories)]
        if name not in known:
            raise ValueError(f"unknown, known are: {', '.join(filter(None, known))}")
        return name

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not is_address(url.get_secret_value(), "http", "https"):
            raise ValueError("must be an http or https address")
        return url

    @field_validator("webhook_events", mode="before")
    @classmethod
    def _parse_kinds(cls, value: Any) -> Any:
        is_names = isinstance(value, tuple | list) and all(isinstance(one, str) for one in value)
        return parse_kinds(value) if is_names else value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_collector(cls, url: str | None) -> str | None:
        if url is not None and not is_address(url, "http", "https"):
            raise ValueError("need http://HOST:PORT or https://HOST")
        return url

    @field_validator("mcp_servers", mode="before")
    @classmethod
    def _parse_mcp_servers(cls, value: Any) -> Any:
        return parse_mcp_servers(value) if isinstance(value, str) else value

    @field_validator("http_tool_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        HttpHosts(hosts)
        return hosts

    @field_validator("agents_file", mode="before")
    @classmethod
    def _read_agents(cls, value: Any) -> Any:
        return read_definitions(value) if isinstance(value, str) else value

    @field_validator("guardrails", mode="before")
    @classmethod
    def _parse_guardrails(cls, value: Any) -> Any:
        return parse_guardrails(value) if isinstance(value, str) else value

    @field_validator("app_variables")
    @classmethod
    def _check_variables(cls, variables: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in variables:
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
                raise ValueError("names of variables, separated by commas")
        return variables

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _check_headers(cls, headers: SecretStr | None) -> SecretStr | None:
        for each in headers.get_secret_value().split(",") if headers else ():
            if re.fullmatch(r"\s*[A-Za-z0-9-]+=[!-~ ]+", each) is None:
                raise ValueError("name=value pairs, separated by commas")
        return headers

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str],
        *,
        problems: Sequence[str] = (),
        places: Mapping[str, str] | None = None,
    ) -> Settings:
        """Parse the variables that are settings; others are ignored.

        Args:
            problems: Problems of the source of `environ`, reported together with those of values.
            places: File and line of variables from a file, named in errors.

        Raises:
            ConfigError: Values are wrong; the text names all of them and repeats no secret.
        """
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            if (text := environ.get(name.upper(), "").strip()) != "":
                values[name] = text
        for name in _LISTS:
            if name in values:
                parts = [part.strip() for part in str(values[name]).split(",")]
                values[name] = tuple(part for part in parts if part)
        if "app_variables" in values:
            wanted = [name.strip() for name in str(values["app_variables"]).split(",")]
            values["app_variables"] = {name: environ.get(name, "") for name in wanted if name}
        found = list(filter(None, [_store_url_problem(values)]))
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            found += cls._problems(values, error)
        else:
            if not found and not problems:
                return settings
        found = [with_place(problem, places or {}) for problem in found]
        raise ConfigError(describe([*problems, *found])) from None

    @classmethod
    def _problems(cls, values: Mapping[str, Any], error: ValidationError) -> list[str]:
        """Return all problems, of single settings and of several together."""
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        found = field_problems(error, defaults)
        problems = list(found.values())
        # A wrong value hides contradictions of the rest, so the rest is validated alone.
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
        """Return the MCP server behind a tool set, or None for another kind of tool set.

        Raises:
            AgentConfigError: `MCP_SERVERS` does not name the server.
        """
        if toolset is None or not toolset.startswith(MCP_PREFIX):
            return None
        for server in self.mcp_servers:
            if server.name == toolset[len(MCP_PREFIX) :]:
                return server
        text = f"toolset {toolset}: MCP_SERVERS names no such server"
        raise AgentConfigError(text, code="unknown_toolset")

    def contradictions(self) -> Iterator[str]:
        """See `MediaSettings.contradictions`."""
        yield from super().contradictions()
        yield from self.provider_contradictions()
        yield from self.local_model_contradictions()
        yield from self.judge_contradictions()
        if self.webhook_url is not None and self.webhook_secret is None:
            yield "WEBHOOK_URL: needs WEBHOOK_SECRET, by which receivers know its notices"

    @property
    def otel_headers(self) -> dict[str, str]:
        """Headers for the trace collector, in clear text."""
        if self.otel_exporter_otlp_headers is None:
            return {}
        pairs = named_values(self.otel_exporter_otlp_headers.get_secret_value(), ",")
        return {name: value or "" for name, value in pairs}

    @property
    def app_environment(self) -> dict[str, str]:
        """Variables for the owner's code that are set, in clear text."""
        values = {name: value.get_secret_value() for name, value in self.app_variables.items()}
        return {name: value for name, value in values.items() if value}

    @property
    def room_secrets(self) -> tuple[str, ...]:
        """Secrets that verify room tokens, in clear text; the first also signs new ones."""
        if self.room_token_secret is None:
            return ()
        secrets = (self.room_token_secret, *self.room_token_old_secrets)
        return tuple(secret.get_secret_value() for secret in secrets)

    @property
    def has_credentials(self) -> bool:
        """True if API keys and room tokens are configured, so that other machines may connect."""
        return bool(self.api_keys) and self.room_token_secret is not None

    def require_safe_bind(self, host: str) -> None:
        """Refuse to listen on other than loopback without credentials.

        Raises:
            ConfigError: `host` is reachable from other machines and no credentials are set.
        """
        if host not in _LOOPBACK_HOSTS and not self.has_credentials:
            raise ConfigError(
                f"refusing to listen on {host} without credentials: set API_KEYS and "
                "ROOM_TOKEN_SECRET (32 characters or more), or use SERVER_HOST=127.0.0.1"
            )
