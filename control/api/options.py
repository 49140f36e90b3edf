"""GET /options: everything that a start can choose on this server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import BaseModel, Field

from config.local_model import LocalModelAddress
from config.provider_settings import provider_fields
from config.providers import provider_config, provider_factories
from config.settings import AgentConfigError, Settings
from control.api.schemas import StartAgentRequest
from control.api.start_fields import StartField, fields_of
from control.http.bodies import respond
from realtime.providers import provider_names
from speech.abilities import OPENAI_VOICES
from speech.options import RecogniserName, VoiceEngineName
from toolsets.mcp_server import MCP_PREFIX, McpServer
from toolsets.registry import build_toolset, toolset_names
from toolsets.services import NoServices

KNOWN_VOICES: Final = {
    **dict.fromkeys(("openai", "azure", "openai-beta"), tuple(sorted(OPENAI_VOICES))),
    "gemini": ("Aoede", "Charon", "Fenrir", "Kore", "Leda", "Orus", "Puck", "Zephyr"),
    "xai": ("ara", "eve", "leo", "rex", "sal"),
    "dashscope": ("Cherry", "Chelsie", "Ethan", "Serena"),
}
"""Voices that hosted providers document; they may have others, and a start may name any."""


class ProviderOption(BaseModel):
    """A provider that a start may name."""

    name: str
    is_default: bool = Field(description="MODEL_PROVIDER")
    is_fallback: bool = Field(description="FALLBACK_PROVIDER")
    is_configured: bool
    problem: str = Field(description="the setting that is missing, and what to do; else empty")
    model: str = Field(description="unless a start names another; empty where none is set")
    host: str = Field(description="where it is; empty where no address is set")
    key: Literal["set", "command", "credentials", "missing", "not_needed"] = Field(
        description="where its key comes from; the key itself is never shown"
    )
    missing: list[str] = Field(description="variables that it still needs")
    variables: list[str] = Field(description="its settings: key, model, address")
    voices: list[str] = Field(description="known ones; a start may name others")


class ToolsetOption(BaseModel):
    """A tool set that a start may name. tools: of an MCP server they are known once it runs"""

    name: str
    tools: list[str]


class McpOption(BaseModel):
    """A server of MCP_SERVERS; its address, which may hold a key, is not shown."""

    name: str
    kind: Literal["program", "url"]
    state: Literal["found", "not_found", "configured"] = Field(
        description="of a program: whether it is on this machine; a URL is asked when a call begins"
    )


class LocalEngines(BaseModel):
    """Names of the engines of the local model."""

    recognisers: list[str]
    voices: list[str]


class Options(BaseModel):
    """The choices of `POST /start_agent` on this server, and how a form asks for them."""

    providers: list[ProviderOption]
    toolsets: list[ToolsetOption]
    mcp_servers: list[McpOption]
    agents: list[str] = Field(description="of the server's app: GET /agents/definitions")
    skills: list[str]
    engines: LocalEngines
    has_stun: bool = Field(description="STUN_URLS is set")
    has_turn: bool = Field(description="TURN_URLS is set")
    is_relay_only: bool = Field(description="MEDIA_RELAY_ONLY: media goes over TURN alone")
    has_recordings: bool = Field(description="RECORDINGS_DIR is set: calls can be recorded")
    fields: list[StartField] = Field(description="all fields of a start request, in its order")


class OptionsApi:
    """Handler of the options."""

    def __init__(
        self,
        settings: Settings,
        local_model: Callable[[], LocalModelAddress],
        agents: Callable[[], Iterable[str]],
        skills: Iterable[str],
    ) -> None:
        """agents: names of the app's present definitions"""
        self._settings = settings
        self._local_model = local_model
        self._agents = agents
        self._skills = sorted(skills)

    async def show(self, _request: web.Request) -> web.Response:
        """GET /options"""
        return respond(self.read())

    def read(self) -> Options:
        """Return the options of this moment."""
        settings = self._settings
        providers = providers_of(settings, self._local_model())
        toolsets = toolsets_of(settings)
        agents = sorted(self._agents())
        suggestions = {
            "provider": [one.name for one in providers],
            "toolset": [one.name for one in toolsets],
            "agent": agents,
        }
        return Options(
            providers=providers,
            toolsets=toolsets,
            mcp_servers=[mcp_option(server) for server in settings.mcp_servers],
            agents=agents,
            skills=self._skills,
            engines=LocalEngines(
                recognisers=list(get_args(RecogniserName)), voices=list(get_args(VoiceEngineName))
            ),
            has_stun=bool(settings.stun_urls),
            has_turn=bool(settings.turn_urls),
            is_relay_only=settings.media_relay_only,
            has_recordings=settings.recordings_dir is not None,
            fields=fields_of(StartAgentRequest, suggestions),
        )


def providers_of(settings: Settings, local_model: LocalModelAddress) -> list[ProviderOption]:
    """Return all providers by name, the default one first."""
    names = {*provider_names(), *provider_factories(settings), settings.model_provider}
    options = [_provider(settings, name, local_model) for name in sorted(names)]
    return sorted(options, key=lambda one: not one.is_default)


def _provider(settings: Settings, name: str, local_model: LocalModelAddress) -> ProviderOption:
    problem, model, base_uri = "", "", ""
    try:
        config = provider_config(settings, name, local_model=local_model)
        model, base_uri = config.model, config.base_uri
    except AgentConfigError as error:
        problem = str(error)
        if name != "local":
            model = getattr(settings, provider_fields(name).model) or ""
    return ProviderOption(
        name=name,
        is_default=name == settings.model_provider,
        is_fallback=name == settings.fallback_provider,
        is_configured=not problem,
        problem=problem,
        model=model,
        host=urlsplit(base_uri).netloc,
        key=_key(settings, name),
        missing=_missing(settings, name),
        variables=_variables(name),
        voices=list(KNOWN_VOICES.get(name, ())),
    )


def _key(
    settings: Settings, name: str
) -> Literal["set", "command", "credentials", "missing", "not_needed"]:
    if name == "local":
        return "not_needed"
    names = provider_fields(name)
    if getattr(settings, names.api_key_command):
        return "command"
    if name == "gemini" and settings.gemini_credentials == "adc":
        return "credentials"
    if getattr(settings, names.api_key) is not None:
        return "set"
    return "missing" if names.is_key_required else "not_needed"


def _missing(settings: Settings, name: str) -> list[str]:
    if name == "local":
        return []
    names = provider_fields(name)
    fields = [names.api_key] if _key(settings, name) == "missing" else []
    fields += [one for one in (names.model, names.base_uri) if not getattr(settings, one)]
    return [one.upper() for one in fields]


def _variables(name: str) -> list[str]:
    if name == "local":
        return []
    names = provider_fields(name)
    return [one.upper() for one in (names.api_key, names.model, names.base_uri)]


def toolsets_of(settings: Settings) -> list[ToolsetOption]:
    """Return the tool sets of this version, then the MCP servers."""
    own = [
        ToolsetOption(
            name=name,
            tools=[tool["name"] for tool in build_toolset(name, NoServices()).model_description()],
        )
        for name in toolset_names()
    ]
    servers = [
        ToolsetOption(name=f"{MCP_PREFIX}{server.name}", tools=[])
        for server in settings.mcp_servers
    ]
    return [*own, *servers]


def mcp_option(server: McpServer) -> McpOption:
    """Return how a server is shown. Looks its program up."""
    if server.url is not None:
        return McpOption(name=server.name, kind="url", state="configured")
    is_found = shutil.which(server.command[0]) is not None
    return McpOption(name=server.name, kind="program", state="found" if is_found else "not_found")
