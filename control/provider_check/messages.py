"""Messages between the server and the process that opens a session: one JSON document each way."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SecretStr

from config.providers import ProviderConfig

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


class Probe(BaseModel):
    """A session to open. say: what to have spoken in it; empty: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: ProviderConfig
    voice: str | None = None
    say: str = ""

    def to_json(self) -> bytes:
        """Return it with its secrets in clear text: for the process's standard input only."""
        data: dict[str, Any] = self.model_dump(mode="json")
        data["provider"] = self.provider.with_secrets(data["provider"])
        return json.dumps(data).encode()


class McpProbe(BaseModel):
    """An MCP server to open. address: as in MCP_SERVERS"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mcp_server: str
    address: SecretStr

    def to_json(self) -> bytes:
        """Return it with its address in clear text: for the process's standard input only."""
        address = self.address.get_secret_value()
        return json.dumps({"mcp_server": self.mcp_server, "address": address}).encode()


class Finding(BaseModel):
    """The outcome. code: empty if the session was opened; sound: base64 of PCM16 at `rate_hz`; tools:
    of an MCP server.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = ""
    text: str = ""
    took_ms: float = 0.0
    sound: str = ""
    rate_hz: int = 0
    tools: tuple[str, ...] = ()
