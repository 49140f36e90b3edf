"""Configuration of several agents in one conversation."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from config.providers import ProviderConfig
from conversation.moderation import DEFAULT_MAX_AGENT_TURNS, ModeratorRule
from realtime.group.model import MAX_MEMBERS
from toolsets.mcp_server import McpServer


class MemberConfig(BaseModel):
    """One of the agents; its fields take the place of those of the same name in `AgentConfig`.

    spoken_name: by which people and the other agents address it
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    definition: str
    spoken_name: str
    provider: ProviderConfig
    voice: str | None = None
    system_message: str | None = None
    skills: dict[str, str] = {}
    model_settings: dict[str, Any] = {}
    mcp_servers: tuple[McpServer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values with secrets in clear text: for the link only, never for logs."""
        data = self.model_dump(mode="json")
        data["provider"] = self.provider.with_secrets(data["provider"])
        for server, plain in zip(self.mcp_servers, data["mcp_servers"], strict=True):
            plain["address"] = server.address.get_secret_value()
        return data


class ChatRoomConfig(BaseModel):
    """The agents of a conversation, the one that hears the people's sound first.

    name: of the owner's chat room, whose moderator decides; empty: `moderator` alone
    max_agent_turns: turns that agents may take without a word of a person
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    members: tuple[MemberConfig, ...] = Field(min_length=2, max_length=MAX_MEMBERS)
    moderator: ModeratorRule = ModeratorRule.ADDRESSED
    max_agent_turns: int = Field(default=DEFAULT_MAX_AGENT_TURNS, ge=0, le=100)
