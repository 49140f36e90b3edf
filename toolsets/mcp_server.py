"""MCP servers of `MCP_SERVERS`, from which agents may get tools."""

from __future__ import annotations

import re
import shlex
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from utils import named_values

MCP_PREFIX: Final = "mcp:"
_NAME: Final = r"^[a-z][a-z0-9_-]{0,31}$"


class McpServer(BaseModel):
    """One server: a command that speaks MCP on its standard streams, or an http(s) URL.

    Commands and URLs often carry keys, so `address` is a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME)
    address: SecretStr

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: SecretStr) -> SecretStr:
        text = address.get_secret_value()
        try:
            is_empty = not shlex.split(text)
        except ValueError as error:
            raise ValueError(f"not a command line ({error})") from None
        if is_empty:
            raise ValueError("need a command or a URL")
        return address

    @property
    def url(self) -> str | None:
        """URL of the server; None if it is a command."""
        text = self.address.get_secret_value()
        return text if text.startswith(("http://", "https://")) else None

    @property
    def command(self) -> list[str]:
        """Program and arguments; meaningless with a URL."""
        return shlex.split(self.address.get_secret_value())


def parse_mcp_servers(text: str) -> tuple[McpServer, ...]:
    """Parse entries of `name=command or URL`, separated by semicolons or line ends.

    Raises:
        ValueError: Names the wrong entry, without its address.
    """
    servers: dict[str, McpServer] = {}
    for name, address in named_values(text):
        if address is None or re.fullmatch(_NAME, name) is None:
            raise ValueError("need name=command or name=URL, names of a to z, 0 to 9, _ and -")
        if name in servers:
            raise ValueError(f"{name} is there twice")
        servers[name] = McpServer(name=name, address=SecretStr(address))
    return tuple(servers.values())


def is_mcp_toolset(name: str) -> bool:
    """Return true if a tool set's name means an MCP server (`mcp:NAME`)."""
    return name.startswith(MCP_PREFIX) and re.fullmatch(_NAME, name[len(MCP_PREFIX) :]) is not None
