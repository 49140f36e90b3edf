"""Builds the configuration of an agent from a start request and the server's settings."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from functools import cached_property
from typing import Final

from pydantic import SecretStr

from config.agent import AgentConfig, agent_config, prepare_recordings
from config.definition import Definition, find_definition
from config.local_model import LocalModelAddress
from config.providers import find_configured
from config.settings import AgentConfigError, Settings
from config.skills import load_skills
from control.api.schemas import StartAgentRequest
from control.app_catalog import AppCatalog
from control.http.errors import ApiError
from control.keys.access import EVERYTHING, Access
from control.placement import Preparation
from control.supervisor.local_model import LocalModel
from rtc.room_server.tokens import RoomTokens

MODEL_DEADLINE_S: Final = 45.0
"""Limit on waiting for a local model that is still loading."""

_AGENT_TOKEN_TTL_S: Final = 7 * 24 * 3600.0
"""An agent presents its token at each signaling reconnect, so it must outlive the call."""


class AgentConfigurator:
    """Makes agent configurations, with the server's settings for absent fields."""

    def __init__(
        self,
        settings: Settings,
        room_url: str,
        local_model: LocalModel | None,
        room_tokens: RoomTokens | None = None,
        catalog: AppCatalog | None = None,
    ) -> None:
        """local_model: None when the local model is elsewhere (`settings.local_model_uri`).
        room_tokens: mints the agents' tokens; None: by the settings
        catalog: of the owner's app, if the server has one

        Raises:
            ConfigError: a skill cannot be read, or RECORDINGS_DIR cannot be used.
        """
        self._skills = load_skills(settings.skills_dir)
        prepare_recordings(settings.recordings_dir)
        self._settings = settings
        self._room_url = room_url
        self._local_model = local_model
        self._room_tokens = room_tokens or RoomTokens(settings.room_secrets)
        self._catalog = catalog

    @property
    def local_model(self) -> LocalModelAddress:
        """Address that agents with the provider `local` connect to."""
        if self._local_model is not None:
            return self._local_model.address
        settings = self._settings
        return LocalModelAddress(settings.local_model_uri or "", settings.local_model_api_key)

    @property
    def skills(self) -> Collection[str]:
        """Names of the skills that a start may ask for."""
        return self._skills.keys()

    def configure(
        self, wanted: StartAgentRequest, access: Access = EVERYTHING
    ) -> tuple[AgentConfig, Preparation | None]:
        """Return the agent's configuration, and a preparation to await before its process starts.

        access: rights of the request, whose key and team the call belongs to

        Raises:
            ApiError: 400, the provider or a recording is not configured, or a skill or the named
                agent is unknown.
        """
        try:
            config = self.agent_config(wanted, self._definition(wanted.agent), access)
        except AgentConfigError as error:
            raise ApiError(400, error.code, str(error)) from error
        return config, self._wait_for_model if config.provider.name == "local" else None

    def agent_config(
        self,
        wanted: StartAgentRequest,
        definition: Definition | None,
        access: Access = EVERYTHING,
    ) -> AgentConfig:
        """Return the configuration for this request and definition.

        Raises:
            AgentConfigError: the settings do not allow it.
        """
        config = agent_config(
            self._settings,
            wanted.agent_request(),
            agent_id=f"agent-{secrets.token_hex(8)}",
            room_url=self._room_url,
            room_token=self._room_token(wanted, access.team),
            local_model=self.local_model,
            skills=self._skills,
            definition=definition,
            definitions=None if self._catalog is None else self._catalog.definitions,
        )
        return config.model_copy(update={"team": access.team, "key": access.key})

    def _definition(self, name: str | None) -> Definition | None:
        if name is None:
            return None
        if self._catalog is None:
            text = f"agent: there is no {name}: this server has no app; set APP, or use --app"
            raise AgentConfigError(text, code="unknown_agent")
        return find_definition(self._catalog.definitions, name)

    def find_model(self, provider: str | None, model: str | None) -> tuple[str, str] | None:
        """Return provider and model of the settings that these names mean; None: there is none such."""
        found = find_configured(self._settings, provider, model, local_model=self.local_model)
        return None if found is None else (found.name, found.model)

    @cached_property
    def problem(self) -> str | None:
        """Reason why a start with the server's settings would be refused; None if it would not.

        Computed once: settings do not change, and readiness probes are frequent.
        """
        try:
            self.configure(StartAgentRequest(channel_name="readiness", uid=1))
        except ApiError as error:
            return str(error)
        return None

    async def _wait_for_model(self) -> None:
        if self._local_model is not None:
            await self._local_model.wait_ready(MODEL_DEADLINE_S)

    def _room_token(self, wanted: StartAgentRequest, team: str) -> SecretStr | None:
        if not self._room_tokens.is_required("agent"):
            return None
        token = self._room_tokens.mint(
            channel=wanted.channel_name,
            uid=wanted.uid,
            role="agent",
            ttl_s=_AGENT_TOKEN_TTL_S,
            team=team,
        )
        return SecretStr(token)
