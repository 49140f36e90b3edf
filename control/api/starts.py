"""From a start request and the server's settings to the whole configuration of one agent."""

from __future__ import annotations

import os
import secrets
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from pydantic import SecretStr

from config import AgentConfig, ConfigError, ProviderConfig, Settings
from control.api.errors import ApiError
from control.api.schemas import StartAgentRequest
from control.api.skills import load_skills
from control.placement import Preparation
from control.supervision.model_server import ModelServer
from conversation.limits import CallLimits
from provider_config import ProviderConfigError, provider_config
from rtc.tokens import RoomTokens
from toolsets.definitions import TRANSFER_PREFIX, AgentDefinition
from toolsets.mcp_server import McpServer

MODEL_DEADLINE_S: Final = 45.0
"""How long a start waits for a local model that is still loading."""

_AGENT_TOKEN_TTL_S: Final = 7 * 24 * 3600.0
"""An agent shows its token again whenever its signaling reconnects, so it must outlive the call."""


N = TypeVar("N", int, float)


class AgentConfigurator:
    """Fills in what a request leaves to the server."""

    def __init__(
        self,
        settings: Settings,
        room_url: str,
        model_server: ModelServer | None,
        room_tokens: RoomTokens | None = None,
    ) -> None:
        """model_server: None when the local model is elsewhere (`settings.local_model_uri`).
        room_tokens: what agents show to their rooms; None: those of the settings, if any

        Raises:
            ConfigError: a skill cannot be read, or nothing can be recorded.
        """
        self._skills = load_skills(settings.skills_dir)
        prepare_recordings(settings.recordings_dir)
        self._settings = settings
        self._room_url = room_url
        self._model_server = model_server
        self._room_tokens = room_tokens or RoomTokens(settings.room_secrets)

    @property
    def local_model_uri(self) -> str | None:
        """Where agents with the provider `local` connect to."""
        return self._model_server.uri if self._model_server else self._settings.local_model_uri

    def configure(self, wanted: StartAgentRequest) -> tuple[AgentConfig, Preparation | None]:
        """The agent, and what must be done before its process starts.

        Raises:
            ApiError: 400, the provider or a recording cannot be had as the server is configured,
                or a skill is unknown.
        """
        provider = self._provider(wanted)
        config = self._agent_config(wanted, provider)
        return config, self._wait_for_model if provider.name == "local" else None

    @cached_property
    def problem(self) -> str | None:
        """Why a start that leaves everything to the server would be refused; None: it would not.

        Settings do not change, and everybody may ask for it.
        """
        try:
            self.configure(StartAgentRequest(channel_name="readiness", uid=1))
        except ApiError as error:
            return str(error)
        return None

    def _agent_config(self, wanted: StartAgentRequest, provider: ProviderConfig) -> AgentConfig:
        settings = self._settings
        fallback = self._fallback(provider)
        return AgentConfig(
            agent_id=f"agent-{secrets.token_hex(8)}",
            channel_name=wanted.channel_name,
            uid=wanted.uid,
            thread_id=wanted.thread_id or "",
            room_url=self._room_url,
            room_token=self._room_token(wanted),
            provider=provider,
            fallback=fallback,
            user_uid=wanted.user_uid,
            language=wanted.language,
            voice=wanted.voice,
            system_message=wanted.filled("instructions"),
            skills=self._skills_of(wanted),
            memory=wanted.memory,
            greeting=wanted.filled("greeting") or None,
            goodbye=wanted.filled("goodbye") or settings.goodbye or None,
            turn_detection=wanted.turn_detection_settings(),
            interrupt=wanted.interrupt,
            model_settings=wanted.model_settings.given(),
            tools=wanted.tool_declarations(),
            toolset=wanted.toolset,
            mcp_server=self._mcp_server(wanted),
            guardrails=settings.guardrails,
            agents=self._agents(wanted),
            tool_results_from=wanted.tool_results_from,
            tool_approvals_from=wanted.tool_approvals_from,
            show_tools=wanted.show_tools,
            reads_chat=wanted.reads_chat,
            user_wait_s=wanted.user_wait_s,
            rejoin_grace_s=wanted.rejoin_grace_s,
            opus=settings.opus,
            media=settings.media_network,
            max_duration_s=_tighter(wanted.max_duration_s, settings.max_duration_s),
            limits=self._limits(wanted, provider, fallback),
            log_level=settings.log_level,
            log_format=settings.log_format,
            verbose=settings.verbose,
            agent_pcm_dir=settings.dump_dir if settings.write_agent_pcm else None,
            rtc_pcm_dir=settings.dump_dir if settings.write_rtc_pcm else None,
            recordings_dir=self._recordings_dir(wanted),
        )

    def _limits(
        self, wanted: StartAgentRequest, provider: ProviderConfig, fallback: ProviderConfig | None
    ) -> CallLimits:
        settings = self._settings
        models = {one.model for one in (provider, fallback) if one is not None}
        prices = tuple(one for one in settings.model_prices if one.model in models)
        max_cost = _tighter(wanted.max_cost, settings.max_cost)
        if max_cost is not None and len(prices) < len(models):
            missing = ", ".join(sorted(models - {one.model for one in prices}))
            text = f"max_cost: MODEL_PRICES has no price for {missing}"
            raise ApiError(400, "no_price", text)
        return CallLimits(
            idle_timeout_s=_tighter(wanted.idle_timeout_s, settings.idle_timeout_s),
            max_tokens=_tighter(wanted.max_tokens, settings.max_tokens),
            max_cost=max_cost,
            prices=prices,
        )

    def _skills_of(self, wanted: StartAgentRequest) -> dict[str, str]:
        for name in wanted.skills:
            if name not in self._skills:
                known = ", ".join(self._skills) or "none: set SKILLS_DIR to have some"
                raise ApiError(
                    400, "unknown_skill", f"skills: {name} is unknown, known are {known}"
                )
        return {name: self._skills[name] for name in wanted.skills}

    def _recordings_dir(self, wanted: StartAgentRequest) -> Path | None:
        if not wanted.recording:
            return None
        if self._settings.recordings_dir is None:
            text = "recording: this server keeps none; set RECORDINGS_DIR to a folder to have some"
            raise ApiError(400, "recording_unavailable", text)
        return self._settings.recordings_dir.absolute()

    async def _wait_for_model(self) -> None:
        if self._model_server is not None:
            await self._model_server.wait_ready(MODEL_DEADLINE_S)

    def _provider(self, wanted: StartAgentRequest) -> ProviderConfig:
        return self._reach(wanted.provider or self._settings.model_provider, wanted.model)

    def _fallback(self, provider: ProviderConfig) -> ProviderConfig | None:
        """Who takes over while `provider` is down; nobody takes over from itself."""
        name = self._settings.fallback_provider
        return None if name is None or name == provider.name else self._reach(name)

    def _reach(self, name: str, model: str | None = None) -> ProviderConfig:
        try:
            return provider_config(
                self._settings, name, local_uri=self.local_model_uri or "", model=model
            )
        except ProviderConfigError as error:
            raise ApiError(400, error.code, str(error)) from error

    def _agents(self, wanted: StartAgentRequest) -> tuple[AgentDefinition, ...]:
        """Whom the conversation can be handed over to, by tools whose names must be free."""
        agents = self._settings.agents_file
        taken = {tool["name"] for tool in wanted.tool_declarations()}
        if agents and any(name.startswith(TRANSFER_PREFIX) for name in taken):
            text = f"tools: names that begin with {TRANSFER_PREFIX} are those of the server"
            raise ApiError(400, "invalid_request", text)
        return agents

    def _mcp_server(self, wanted: StartAgentRequest) -> McpServer | None:
        try:
            return self._settings.mcp_server(wanted.toolset)
        except ConfigError as error:
            raise ApiError(400, "unknown_toolset", str(error)) from error

    def _room_token(self, wanted: StartAgentRequest) -> SecretStr | None:
        if not self._room_tokens.is_required("agent"):
            return None
        token = self._room_tokens.mint(
            channel=wanted.channel_name, uid=wanted.uid, role="agent", ttl_s=_AGENT_TOKEN_TTL_S
        )
        return SecretStr(token)


def _tighter(wanted: N | None, allowed: N | None) -> N | None:
    """A start may ask for less than the server allows, never for more."""
    return min((one for one in (wanted, allowed) if one is not None), default=None)


def prepare_recordings(directory: Path | None) -> None:
    """Make the folder, if one is named.

    Raises:
        ConfigError: nothing can be recorded there.
    """
    if directory is None:
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"RECORDINGS_DIR: {directory} cannot be made: {error}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"RECORDINGS_DIR: {directory} is not writable")
