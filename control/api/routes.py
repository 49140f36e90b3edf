"""The handlers of the control API: parse, ask the placement, answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from aiohttp import web
from pydantic import SecretStr

from control.api.auth import IS_OWNER
from control.api.bodies import channel_of, parse_body, respond
from control.api.errors import ApiError, failure_of
from control.api.idempotency import (
    REPLAYED_HEADER,
    Answer,
    IdempotentAnswers,
    digest,
    scoped_key,
)
from control.api.openapi import openapi_document
from control.api.operations import OPERATIONS
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
from control.placement import Placement, PlacementError
from control.store.archive import Archive
from control.store.errors import ArchiveError
from rtc.tokens import ANY_UID, RoomTokens


class ControlApi:
    """One method per operation of `operations.OPERATIONS`, under the operation's name."""

    def __init__(
        self,
        placement: Placement,
        configurator: AgentConfigurator,
        readiness: Callable[[], Readiness],
        room_token_secret: SecretStr | None,
        archive: Archive,
        begin_drain: Callable[[float | None], DrainAnswer],
        room_tokens: RoomTokens | None = None,
    ) -> None:
        """room_tokens: what the rooms ask for; None: tokens of `room_token_secret`, if any"""
        self._placement = placement
        self._configurator = configurator
        self._readiness = readiness
        secret = room_token_secret
        of_secret = RoomTokens([] if secret is None else [secret.get_secret_value()])
        self._room_tokens = room_tokens or of_secret
        self._archive = archive
        self._begin_drain = begin_drain
        self._answers = IdempotentAnswers()
        self._document = json.dumps(openapi_document(OPERATIONS), indent=1)

    async def start_agent(self, request: web.Request) -> web.Response:
        """POST /start_agent"""
        wanted = await parse_body(request, StartAgentRequest)
        if (key := scoped_key(request.headers)) is None:
            return _started(await self._start_agent(wanted))
        answer, is_replayed = await self._answers.answer(
            key, digest(wanted.model_dump_json()), lambda: self._start_once(wanted)
        )
        headers = {**answer.headers, **({REPLAYED_HEADER: "true"} if is_replayed else {})}
        return web.Response(status=answer.status, text=answer.body, headers=headers)

    async def _start_once(self, wanted: StartAgentRequest) -> Answer:
        call_id = None
        try:
            answer = await self._start_agent(wanted)
            response, call_id = _started(answer), answer.agent_id
        except (ApiError, ArchiveError, PlacementError) as error:
            response = failure_of(error).response()
        kept = {
            name: response.headers[name]
            for name in ("Content-Type", "Retry-After")
            if name in response.headers
        }
        return Answer(response.status, response.text or "", kept, call_id)

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """These calls are deleted: no answer may tell of them any more."""
        self._answers.forget_calls(call_ids)

    async def _start_agent(self, wanted: StartAgentRequest) -> StartAgentAnswer:
        config, prepare = self._configurator.configure(wanted)
        config = await self._archive.open_call(config)
        try:
            status = await self._placement.start(config, prepare=prepare, should_wait=wanted.wait)
        except PlacementError:
            self._archive.give_up_call(config)
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

    async def stop_agent(self, request: web.Request) -> web.Response:
        """POST /stop_agent"""
        wanted = await parse_body(request, StopAgentRequest)
        record = await self._placement.stop(wanted.channel_name)
        return respond(StopAgentAnswer.of(record, is_stored=await self._archive.settle()))

    async def drain(self, request: web.Request) -> web.Response:
        """POST /drain"""
        wanted = await parse_body(request, DrainRequest)
        return respond(self._begin_drain(wanted.deadline_s), status=202)

    async def list_agents(self, _request: web.Request) -> web.Response:
        """GET /agents"""
        return respond(AgentList(agents=self._placement.list()))

    async def show_agent(self, request: web.Request) -> web.Response:
        """GET /agents/{channel}"""
        return respond(self._placement.status(channel_of(request)))

    async def mint_token(self, request: web.Request) -> web.Response:
        """POST /token"""
        wanted = await parse_body(request, TokenRequest)
        token = None
        if self._room_tokens.is_required(wanted.role):
            token = self._room_tokens.mint(
                channel=wanted.channel_name,
                uid=wanted.uid or ANY_UID,
                role=wanted.role,
                ttl_s=wanted.ttl_s,
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
        return respond(Health())

    async def readiness(self, request: web.Request) -> web.Response:
        """GET /readyz"""
        readiness = self._readiness()
        if not request.get(IS_OWNER, False):
            readiness = readiness.model_copy(update={"local_model_uri": None})
        return respond(readiness, status=200 if readiness.status == "ready" else 503)

    async def openapi(self, _request: web.Request) -> web.Response:
        """GET /openapi.json"""
        return web.Response(text=self._document, content_type="application/json")


def _started(answer: StartAgentAnswer) -> web.Response:
    return respond(answer, status=200 if answer.status == "Agent started!" else 202)
