"""Tool servers that a provider calls by itself, as a start may name them, and the addresses allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

MAX_URL_CHARACTERS: Final = 2_048
MAX_AUTHORIZATION_CHARACTERS: Final = 8_192
_DEFAULT_PORT: Final = 443


def _check_url(url: str) -> str:
    _parts(url)
    return url


def _parts(url: str) -> tuple[str, int, list[str]]:
    """Host, port and steps of the path.

    Raises:
        ValueError: it is no plain https address.
    """
    parts = urlsplit(url)
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    steps = [step for step in parts.path.split("/") if step]
    if parts.scheme != "https" or not parts.hostname or not is_plain or not url.isascii():
        raise ValueError("need https://HOST or https://HOST/PATH, without user, query and fragment")
    if any(step in (".", "..") or "%" in step or "\\" in step for step in steps):
        raise ValueError("a path has no dots of its own and nothing that is escaped")
    return parts.hostname.lower(), parts.port or _DEFAULT_PORT, steps


HostedUrl = Annotated[str, Field(max_length=MAX_URL_CHARACTERS), AfterValidator(_check_url)]


class HostedTool(BaseModel):
    """One server. authorization: shown by the provider to the server, for this call alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server_label: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    server_url: HostedUrl
    server_description: str | None = Field(default=None, max_length=1_000)
    authorization: SecretStr | None = Field(default=None, max_length=MAX_AUTHORIZATION_CHARACTERS)
    allowed_tools: (
        Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=128)] | None
    ) = None
    require_approval: Literal["always", "never"] = "always"

    def declaration(self) -> dict[str, Any]:
        """Return it as `realtime.model.ModelSettings.tools` has it, with its secret."""
        given = self.model_dump(exclude_none=True, exclude={"authorization"})
        if self.authorization is not None:
            given["authorization"] = self.authorization.get_secret_value()
        if self.allowed_tools is not None:
            given["allowed_tools"] = list(self.allowed_tools)
        return {"type": "mcp", **given}

    def with_secrets(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return `data`, a dump of this object, with its secret in clear text: for the link only."""
        secret = self.authorization
        return data | {"authorization": None if secret is None else secret.get_secret_value()}


def is_allowed(url: str, allowed: Sequence[str]) -> bool:
    """Return true if `url` is one of these addresses, or below one."""
    host, port, steps = _parts(url)
    for each in allowed:
        allowed_host, allowed_port, above = _parts(each)
        if (host, port) == (allowed_host, allowed_port) and steps[: len(above)] == above:
            return True
    return False
