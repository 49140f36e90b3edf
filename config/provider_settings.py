"""Settings of the providers: key, model and base address of each, and how lost sessions come back.

A provider `NAME` has the settings `NAME_api_key`, `NAME_api_key_command`, `NAME_headers`, `NAME_model` and
`NAME_base_uri`, with `_` for `-`; `_OTHER_NAMES` lists those that are called otherwise.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from config.secrets import ProviderKey
from realtime.providers import PROVIDER_PATTERN
from realtime.resilience.retry_policy import RetryPolicy
from utils import named_values


def is_address(uri: str, *schemes: str) -> bool:
    """Return true if `uri` has one of these schemes, a host and, if any, a valid port."""
    try:
        parts = urlsplit(uri)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_base_uri(uri: str) -> str:
    if not is_address(uri, "ws", "wss") or re.fullmatch(r"[a-z]+://[^\s?#]+", uri) is None:
        raise ValueError(
            "need ws://HOST:PORT or wss://HOST (not http), with a path only if the server is below one"
        )
    return uri


BaseUri = Annotated[str, AfterValidator(_check_base_uri)]

MAX_HEADERS: Final = 32
_HANDSHAKE: Final = ("host", "connection", "upgrade", "content-", "transfer-", "sec-websocket-")
"""How names of headers begin that are none of the owner's."""


def _check_command(text: str) -> str:
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"a program and its arguments, no shell: {error}") from None
    if not argv or not argv[0]:
        raise ValueError("a program and its arguments, no shell")
    return text


def _check_headers(text: SecretStr) -> SecretStr:
    pairs = named_values(text.get_secret_value())
    for name, value in pairs:
        if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) is None:
            raise ValueError("Name=value pairs, separated by semicolons")
        if re.fullmatch(r"[!-~]([ -~]*[!-~])?", value or "") is None:
            raise ValueError(f"{name}: its value is visible ASCII")
        if name.lower().startswith(_HANDSHAKE):
            raise ValueError(f"{name}: the handshake sets it by itself")
    if len({name.lower() for name, _ in pairs}) < len(pairs) or len(pairs) > MAX_HEADERS:
        raise ValueError(f"at most {MAX_HEADERS} headers, each once")
    return text


KeyCommandLine = Annotated[str, AfterValidator(_check_command)]
Headers = Annotated[SecretStr, AfterValidator(_check_headers)]


def headers_of(setting: SecretStr | None) -> dict[str, SecretStr]:
    """Return the headers of a setting that holds `Name=value` pairs."""
    pairs = named_values(setting.get_secret_value()) if setting is not None else ()
    return {name: SecretStr(value or "") for name, value in pairs}


class ProviderSettings(BaseModel):
    """Part of `config.settings.Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Before model_provider: its validator looks the name up here.
    provider_factories: str = ""
    model_provider: str = Field(default="local", pattern=PROVIDER_PATTERN)
    fallback_provider: str | None = Field(default=None, pattern=PROVIDER_PATTERN)
    openai_api_key: ProviderKey | None = None
    openai_api_key_command: KeyCommandLine | None = None
    openai_headers: Headers | None = None
    openai_model: str = "gpt-realtime-2.1"
    realtime_api_base_uri: BaseUri = "wss://api.openai.com"
    openai_compatible_api_key: ProviderKey | None = None
    openai_compatible_api_key_command: KeyCommandLine | None = None
    openai_compatible_headers: Headers | None = None
    openai_compatible_model: str = ""
    openai_compatible_base_uri: BaseUri | None = None
    azure_openai_api_key: ProviderKey | None = None
    azure_openai_api_key_command: KeyCommandLine | None = None
    azure_openai_headers: Headers | None = None
    azure_openai_deployment: str = ""
    azure_openai_base_uri: BaseUri | None = None
    azure_openai_api_version: str = Field(default="", pattern=r"^(\d{4}-\d\d-\d\d(-preview)?)?$")
    openai_beta_api_key: ProviderKey | None = None
    openai_beta_api_key_command: KeyCommandLine | None = None
    openai_beta_headers: Headers | None = None
    openai_beta_model: str = ""
    openai_beta_base_uri: BaseUri | None = None
    xai_api_key: ProviderKey | None = None
    xai_api_key_command: KeyCommandLine | None = None
    xai_headers: Headers | None = None
    xai_model: str = "grok-voice-latest"
    xai_base_uri: BaseUri = "wss://api.x.ai"
    dashscope_api_key: ProviderKey | None = None
    dashscope_api_key_command: KeyCommandLine | None = None
    dashscope_headers: Headers | None = None
    dashscope_model: str = "qwen3.5-omni-flash-realtime"
    dashscope_base_uri: BaseUri = "wss://dashscope-intl.aliyuncs.com"
    gemini_api_key: ProviderKey | None = None
    gemini_api_key_command: KeyCommandLine | None = None
    gemini_headers: Headers | None = None
    gemini_credentials: Literal["key", "adc"] = "key"
    gemini_model: str = "gemini-3.8-live"
    gemini_base_uri: BaseUri = "wss://generativelanguage.googleapis.com"
    custom_provider_api_key: SecretStr | None = None
    custom_provider_api_key_command: KeyCommandLine | None = None
    custom_provider_headers: Headers | None = None
    custom_provider_model: str = ""
    custom_provider_base_uri: BaseUri | None = None

    # Keys that a program prints: docs/providers.md.
    api_key_command_ttl_s: float = Field(default=300.0, ge=0, le=86_400)

    # Sessions that are lost: docs/resilience.md.
    reconnect_base_delay_s: float = Field(default=0.25, gt=0, le=60)
    reconnect_max_delay_s: float = Field(default=5.0, gt=0, le=600)
    reconnect_max_attempts: int | None = Field(default=None, ge=1)
    reconnect_give_up_s: float = Field(default=90.0, gt=0, le=86_400)

    def provider_contradictions(self) -> Iterator[str]:
        """Yield a line for each setting of a provider that another one contradicts."""
        for name in ProviderSettings.model_fields:
            if not name.endswith("_api_key_command") or getattr(self, name) is None:
                continue
            key = name.removesuffix("_command")
            if getattr(self, key) is not None:
                yield f"{key.upper()}: set it or {name.upper()}, not both"
        has_key = self.gemini_api_key is not None or self.gemini_api_key_command is not None
        if self.gemini_credentials == "adc" and has_key:
            yield "GEMINI_CREDENTIALS: adc needs no GEMINI_API_KEY and no GEMINI_API_KEY_COMMAND"

    @property
    def retry_policy(self) -> RetryPolicy:
        """Pauses and bounds of reconnecting to a provider."""
        return RetryPolicy(
            budget_s=self.reconnect_give_up_s,
            max_attempts=self.reconnect_max_attempts,
            first_delay_s=self.reconnect_base_delay_s,
            # A base delay above the maximum raises the maximum.
            max_delay_s=max(self.reconnect_base_delay_s, self.reconnect_max_delay_s),
        )


@dataclass(frozen=True, slots=True)
class ProviderFields:
    """Names of the settings of one provider."""

    api_key: str
    model: str
    base_uri: str
    is_key_required: bool = True

    @property
    def api_key_command(self) -> str:
        """The program that prints the key."""
        return f"{self.api_key}_command"

    @property
    def headers(self) -> str:
        """Further headers of the handshake."""
        return f"{self.api_key.removesuffix('_api_key')}_headers"


_OTHER_NAMES: Final = {
    "openai": ProviderFields("openai_api_key", "openai_model", "realtime_api_base_uri"),
    "azure": ProviderFields(
        "azure_openai_api_key", "azure_openai_deployment", "azure_openai_base_uri"
    ),
}
# Providers whose servers may run without a key.
_KEYLESS: Final = frozenset({"openai-compatible"})

CUSTOM_FIELDS: Final = ProviderFields(
    *("custom_provider_api_key", "custom_provider_model", "custom_provider_base_uri"),
    is_key_required=False,
)
"""Settings of each provider that is not one of the project's own."""


def provider_fields(name: str) -> ProviderFields:
    """Return the names of the settings of the provider `name`."""
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    prefix = name.replace("-", "_")
    if not {f"{prefix}_model", f"{prefix}_base_uri"} <= ProviderSettings.model_fields.keys():
        return CUSTOM_FIELDS
    return ProviderFields(
        *(f"{prefix}_api_key", f"{prefix}_model", f"{prefix}_base_uri"),
        is_key_required=name not in _KEYLESS,
    )
