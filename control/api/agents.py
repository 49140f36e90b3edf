"""The handlers of the control API: parse, ask the placement, answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Final

from aiohttp import web
from pydantic import SecretStr

from config.agent import AgentConfig
from config.definition import tightest
from control.api.idempotency import (
    REPLAYED_HEADER,
    Answer,
    IdempotentAnswers,
    digest,
    scoped_key,
)
from control.api.schemas import (
    AgentList,
    DrainAnswer,
    DrainRequest,
    Health,
    Readiness,
    StartAgentAnswer,
    StartAgentRequest,
    StopAgentAnswer,
    StopAgentRequest,
    TokenAnswer,
    TokenRequest,
)
from control.api.starts import AgentConfigurator
from control.api.team_placement import TeamPlacement
from control.http.audit import note
from control.http.auth import ACCESS, access_of
from control.http.bodies import channel_of, parse_body, respond
from control.http.errors import ApiError, ErrorDetail, failure_of
from control.keys.access import Access, Scope
from control.keys.limits import Allowance, KeyLimitError
from control.keys.usage import KeyUsage
from control.placement import NotRunningError, Placement, PlacementError
from control.store.archive import Archive
from control.store.errors import ArchiveError
from conversation.lifecycle import AgentStartError
from line.participants import Role
from rtc.room_server.tokens import ANY_UID, RoomTokens
from version import VERSION

# An agent hears everyone in its room, and is believed by the others.
_SCOPES_OF_ROLES: Final[Mapping[Role, Scope]] = {
    "user": Scope.START,
    "listener": Scope.LISTEN,
    "agent": Scope.ADMIN,
}


class AgentsApi:
    """Handlers of starts, stops, the list of agents, tokens, health and drain."""

    def __init__(
        self,
        placement: Placement,
        configurator: AgentConfigurator,
        readiness: Callable[[], Readiness],
        room_token_secret: SecretStr | None,
        archive: Archive,
        begin_drain: Callable[[float | None], DrainAnswer],
        room_tokens: RoomTokens | None = None,
        room_team: Callable[[str], str | None] = lambda _channel_name: None,
        usage: KeyUsage | None = None,
    ) -> None:
        """
        room_tokens: what the rooms ask for; None: tokens of `room_token_secret`, if any
        usage: refuses starts beyond the limits of their key; None: of this object alone
        room_team: returns the team of the people in a channel's room; None: of no particular one
        """
        self._placement = placement
        self._configurator = configurator
        self._readiness = readiness
        secret = room_token_secret
        of_secret = RoomTokens([] if secret is None else [secret.get_secret_value()])
        self._room_tokens = room_tokens or of_secret
        self._room_team = room_team
        self._usage = usage or KeyUsage()
        self._archive = archive
        self._begin_drain = begin_drain
        self._answers = IdempotentAnswers()

    async def start_agent(self, request: web.Request) -> web.Response:
        """POST /start_agent"""
        wanted = await parse_body(request, StartAgentRequest)
        access = access_of(request)
        note(request, channel_name=wanted.channel_name)
        if (key := scoped_key(request.headers, access)) is None:
            started = await self.start(wanted, access)
            note(request, call_id=started.agent_id)
            return _started(started)
        answer, is_replayed = await self._answers.answer(
            key, digest(wanted.model_dump_json()), lambda: self._start_once(wanted, access)
        )
        note(request, call_id=answer.call_id or "")
        headers = {**answer.headers, **({REPLAYED_HEADER: "true"} if is_replayed else {})}
        return web.Response(status=answer.status, text=answer.body, headers=headers)

    async def _start_once(self, wanted: StartAgentRequest, access: Access) -> Answer:
        call_id = None
        try:
            answer = await self.start(wanted, access)
            response, call_id = _started(answer), answer.agent_id
        except (ApiError, ArchiveError, PlacementError, AgentStartError) as error:
            response = failure_of(error).response()
        kept = {
            name: response.headers[name]
            for name in ("Content-Type", "Retry-After")
            if name in response.headers
        }
        return Answer(response.status, response.text or "", kept, call_id)

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Drop the stored answers that name these deleted calls."""
        self._answers.forget_calls(call_ids)

    def find_model(self, provider: str | None, model: str | None) -> tuple[str, str] | None:
        """Return provider and model of the settings that these names mean; None: the server has none such."""
        return self._configurator.find_model(provider, model)

    def seen_by(self, access: Access) -> TeamPlacement:
        """Return the agents that a request with these rights sees."""
        return TeamPlacement(self._placement, access)

    async def start(self, wanted: StartAgentRequest, access: Access) -> StartAgentAnswer:
        """Start an agent for the key and team of these rights.

        Raises:
            ApiError, ArchiveError, PlacementError, AgentStartError: see `control.http.errors`.
        """
        self._require_free(wanted.channel_name, access)
        config, prepare = self._configurator.configure(_within_cost(wanted, access), access)
        config = _tightened(config, self._admit(access, config.agent_id))
        try:
            config = await self._archive.open_call(config)
        except BaseException:
            self._usage.give_up(config.agent_id)
            raise
        try:
            # Another start may have been quicker.
            self._require_free(wanted.channel_name, access)
            status = await self._placement.start(config, prepare=prepare, should_wait=wanted.wait)
        except (ApiError, PlacementError, AgentStartError):
            self._archive.give_up_call(config)
            self._usage.give_up(config.agent_id)
            raise
        return StartAgentAnswer(
            status="Agent started!" if wanted.wait else "Agent starting",
            channel_name=status.channel_name,
            uid=status.uid,
            agent_id=status.agent_id,
            thread_id=config.thread_id,
            state=status.state,
            timings_ms=status.timings_ms,
        )

    def _admit(self, access: Access, call_id: str) -> Allowance:
        try:
            return self._usage.admit(access, call_id)
        except KeyLimitError as error:
            figures = {"allowed": error.allowed, "used": round(error.used, 6)}
            detail = ErrorDetail(msg=str(error), cause=error.limit, figures=figures)
            raise ApiError(
                429, "key_limit", str(error), [detail], retry_after_s=error.retry_after_s
            ) from error

    def _require_free(self, channel_name: str, access: Access) -> None:
        """Require that no other team has the channel, live.

        Raises:
            ApiError: 400 channel_taken.
        """
        teams = {self._room_team(channel_name)}
        with contextlib.suppress(NotRunningError):
            status = self._placement.status(channel_name)
            teams |= {status.team} if status.is_live else set()
        if teams - {access.team, None}:
            text = f"the channel {channel_name} is in use: choose another name"
            raise ApiError(400, "channel_taken", text)

    async def stop_agent(self, request: web.Request) -> web.Response:
        """POST /stop_agent"""
        wanted = await parse_body(request, StopAgentRequest)
        note(request, channel_name=wanted.channel_name)
        record = await self.seen_by(access_of(request)).stop(wanted.channel_name)
        note(request, call_id=record.agent_id)
        return respond(StopAgentAnswer.of(record, is_stored=await self._archive.settle()))

    async def drain(self, request: web.Request) -> web.Response:
        """POST /drain"""
        wanted = await parse_body(request, DrainRequest)
        return respond(self._begin_drain(wanted.deadline_s), status=202)

    async def list_agents(self, request: web.Request) -> web.Response:
        """GET /agents"""
        return respond(AgentList(agents=self.seen_by(access_of(request)).list()))

    async def show_agent(self, request: web.Request) -> web.Response:
        """GET /agents/{channel}"""
        return respond(self.seen_by(access_of(request)).status(channel_of(request)))

    async def mint_token(self, request: web.Request) -> web.Response:
        """POST /token"""
        wanted = await parse_body(request, TokenRequest)
        access = access_of(request)
        note(request, channel_name=wanted.channel_name)
        _require_scope_of_role(access, wanted.role)
        token = None
        if self._room_tokens.is_required(wanted.role):
            token = self._room_tokens.mint(
                channel=wanted.channel_name,
                uid=wanted.uid or ANY_UID,
                role=wanted.role,
                ttl_s=wanted.ttl_s,
                may_start=wanted.may_start,
                team=access.only_team,
                key=access.key,
            )
        answer = TokenAnswer(
            token=token,
            channel_name=wanted.channel_name,
            uid=wanted.uid,
            role=wanted.role,
            expires_in_s=wanted.ttl_s if token else None,
        )
        return respond(answer)

    async def health(self, _request: web.Request) -> web.Response:
        """GET /healthz"""
        return respond(Health(version=VERSION))

    async def readiness(self, request: web.Request) -> web.Response:
        """GET /readyz"""
        readiness = self._readiness()
        access = request.get(ACCESS)
        if access is None or not access.is_of_all_teams:
            readiness = readiness.model_copy(update={"local_model_uri": None})
        return respond(readiness, status=200 if readiness.status == "ready" else 503)


def _within_cost(wanted: StartAgentRequest, access: Access) -> StartAgentRequest:
    """Return the request with the cost that its key may use in a day: this needs a price."""
    if (cost := access.limits.cost_per_day) is None or cost <= 0:
        return wanted
    return wanted.model_copy(update={"max_cost": tightest(wanted.max_cost, cost)})


def _tightened(config: AgentConfig, allowance: Allowance) -> AgentConfig:
    """Return the configuration with what is left of the key's day as limits of the call."""
    max_cost = tightest(config.limits.max_cost, allowance.cost)
    changes = {
        "max_duration_s": tightest(config.max_duration_s, allowance.duration_s),
        "limits": config.limits.model_copy(update={"max_cost": max_cost}),
    }
    return config.model_copy(update=changes)


def _require_scope_of_role(access: Access, role: Role) -> None:
    """Require the scope that a token of this role needs.

    Raises:
        ApiError: 403 missing_scope.
    """
    scope = _SCOPES_OF_ROLES[role]
    if not access.may({scope}):
        text = f"the key {access.key} needs the scope {scope} for a token of a {role}"
        raise ApiError(403, "missing_scope", text)


def _started(answer: StartAgentAnswer) -> web.Response:
    return respond(answer, status=200 if answer.status == "Agent started!" else 202)
