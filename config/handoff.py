"""`HandoffConfig`: what a definition brings that takes the floor in a call, beside its owner's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yarl
from pydantic import BaseModel, ConfigDict

from config.definition import Definition
from config.local_model import LocalModelAddress
from config.providers import ProviderConfig, provider_config
from config.settings import AgentConfigError, Settings
from toolsets.http_hosts import HttpHosts
from toolsets.mcp_server import MCP_PREFIX, McpServer


class HandoffConfig(BaseModel):
    """From the settings of the server, for one definition.

    provider: None for the one with which the call began
    skills: name -> text
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: ProviderConfig | None = None
    skills: dict[str, str] = {}
    mcp_servers: tuple[McpServer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values with secrets in clear text: for the link only, never for logs."""
        data = self.model_dump(mode="json")
        if self.provider is not None:
            data["provider"] = self.provider.with_secrets(data["provider"])
        for server, plain in zip(self.mcp_servers, data["mcp_servers"], strict=True):
            plain["address"] = server.address.get_secret_value()
        return data


def handoff_configs(
    settings: Settings,
    first: Definition | None,
    definitions: Mapping[str, Definition],
    *,
    local_model: LocalModelAddress,
    skills: Mapping[str, str],
) -> dict[str, HandoffConfig]:
    """Return the configuration of each definition to which a call of `first` may be handed over.

    Raises:
        AgentConfigError: the settings do not allow what one of them asks for.
    """
    return {
        each.name: HandoffConfig(
            provider=_provider(settings, each, local_model),
            skills=_skills(each, skills),
            mcp_servers=mcp_servers_of(settings, each),
        )
        for each in _reachable(first, definitions)
    }


def require_hosts(
    settings: Settings, first: Definition, definitions: Mapping[str, Definition]
) -> None:
    """
    Raises:
        AgentConfigError: An HTTP tool of one of the definitions calls a host that is not allowed.
    """
    allowed = HttpHosts(settings.http_tool_hosts)
    for each in (first, *_reachable(first, definitions)):
        for host in each.http_hosts:
            if not allowed.allows(yarl.URL(f"http://{host}")):
                text = f"agent {each.name}: {host} is not in HTTP_TOOL_HOSTS: add it there"
                raise AgentConfigError(text, code="http_host_not_allowed")


def providers_of(handoffs: Mapping[str, HandoffConfig]) -> list[ProviderConfig]:
    """Return the providers that handoffs bring."""
    return [each.provider for each in handoffs.values() if each.provider is not None]


def _reachable(
    first: Definition | None, definitions: Mapping[str, Definition]
) -> Iterator[Definition]:
    if first is None:
        return
    waiting, seen = list(first.handoffs), {first.name}
    while waiting:
        name = waiting.pop(0)
        if name not in seen and name in definitions:
            seen.add(name)
            yield definitions[name]
            waiting += definitions[name].handoffs


def _provider(
    settings: Settings, each: Definition, local_model: LocalModelAddress
) -> ProviderConfig | None:
    if each.provider is None and each.model is None and each.cascade is None:
        return None
    return provider_config(
        settings,
        each.provider or settings.model_provider,
        local_model=local_model,
        model=each.model,
        brings_key=each.has_api_key,
        cascade=each.cascade,
    )


def _skills(each: Definition, skills: Mapping[str, str]) -> dict[str, str]:
    for name in each.skills:
        if name not in skills:
            text = f"agent {each.name}: skills: {name} is unknown"
            raise AgentConfigError(text, code="unknown_skill")
    return {name: skills[name] for name in each.skills}


def mcp_servers_of(
    settings: Settings, definition: Definition | None, toolset: str | None = None
) -> tuple[McpServer, ...]:
    """Return the MCP servers of a definition and of a start's tool set, each once.

    Raises:
        AgentConfigError: `MCP_SERVERS` does not name one of them.
    """
    names = [toolset or ""]
    if definition is not None:
        names += definition.toolsets
        names += [f"{MCP_PREFIX}{name}" for name in definition.mcp_servers]
    found = (settings.mcp_server(name) for name in dict.fromkeys(names))
    return tuple(server for server in found if server is not None)
