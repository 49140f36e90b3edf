"""A small real site for the page: the true room server, the true files, and a scripted control API.

The agents that it starts are real participants with real media; what they say is up to the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from pydantic import SecretStr

from config.local_model import LocalModelAddress
from config.settings import Settings
from control.api.console import SECURITY_HEADERS, Console
from control.api.options import OptionsApi
from control.http.origins import Origins
from rtc.room_server.ice_servers import IceServers
from rtc.room_server.server import RoomServer, RoomServerOptions
from tests.browser.scripted_agent import ScriptedAgent
from tests.fakes.http_server import HttpServer
from tests.fakes.media_gate import MediaGate

TOKEN_SECRET = "a secret that is only used in tests of the page"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """Serves the page until stopped; can go away and come back at the same address."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        host: str = "127.0.0.1",
        gate: MediaGate | None = None,
        ice_servers: IceServers | None = None,
        allowed_origins: Collection[str] = (),
    ) -> None:
        """host: where others reach it; gate: before the agents that it starts; allowed_origins: of
        other pages.
        """
        self._origins = Origins(allowed_origins, {"GET", "POST"}, {"Content-Type"})
        self._ice_servers = ice_servers
        self.has_gate = gate is not None
        self._host = host
        self._agent_media = None if gate is None else gate.options
        self.agents: dict[str, ScriptedAgent] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.start_failure: dict[str, Any] | None = None
        self.definitions: dict[str, Any] = {"app": None, "agents": [], "problems": []}
        self.local_model: dict[str, Any] = {
            "state": "ready",
            "is_default": True,
            "language_model": {"kind": "rules", "model": "", "host": ""},
            "settings": {"LLM_MODEL": "", "TTS_ENGINE": "piper"},
        }
        self.options = offered()
        self._api_key = api_key
        self._server = HttpServer(host)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self._host}:{self._server.port}/"

    def agent_token(self, channel: str, uid: int) -> str:
        """What an agent shows to its room."""
        return self.rooms.tokens.mint(channel=channel, uid=uid, role="agent", ttl_s=60)

    def expired_token(self, channel: str) -> str:
        """What a person was given an hour ago."""
        claims = {"channel": channel, "uid": 0, "role": "user", "exp": 1_000_000_000}
        return jwt.encode(claims, TOKEN_SECRET, algorithm="HS256")

    async def start(self) -> None:
        """Serve, at the first free port or at the one that was served before."""
        app = web.Application(middlewares=[self._answer_preflight, self._check_key])
        # As the control server has it: without keys people need no token, but agents do.
        options = RoomServerOptions(
            allowed_origins=self._origins.listed, are_users_free=self._api_key is None
        )
        self.rooms = RoomServer([TOKEN_SECRET], self._ice_servers, options)
        self.rooms.add_routes(app)
        app.on_response_prepare.append(_add_policy)
        app.on_response_prepare.append(self._origins.mark)
        files = Console()
        app.router.add_get("/", files.handle_page)
        app.router.add_get("/parley.js", files.handle_client)
        app.router.add_get("/widget.js", files.handle_widget)
        app.router.add_get("/web/{path:.+}", files.handle_asset)
        app.router.add_get("/agents", self._list)
        app.router.add_get("/agents/definitions", self._list_definitions)
        app.router.add_get("/local_model", self._show_local_model)
        app.router.add_get("/options", self._list_options)
        app.router.add_get("/calls", self._list_calls)
        app.router.add_post("/start_agent", self._start_agent)
        app.router.add_post("/stop_agent", self._stop_agent)
        app.router.add_post("/token", self._mint_token)
        await self._server.start(app)

    async def stop(self) -> None:
        """Stop serving; agents stay as they are."""
        await self._server.stop()

    async def close(self) -> None:
        """Stop every agent, then the site."""
        await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
        await self.stop()

    @web.middleware
    async def _answer_preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        permission = self._origins.preflight(request)
        return await handler(request) if permission is None else permission

    @web.middleware
    async def _check_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_control = request.path in {
            "/agents",
            "/agents/definitions",
            "/local_model",
            "/options",
            "/start_agent",
            "/stop_agent",
            "/token",
        }
        is_known = request.headers.get("Authorization") == f"Bearer {self._api_key}"
        if is_control and self._api_key is not None and not is_known:
            return _refuse(401, "unauthorized", "an API key is needed")
        return await handler(request)

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        agents = [
            {"channel_name": name, "uid": agent.uid, "state": "running"}
            for name, agent in self.agents.items()
        ]
        return web.json_response({"agents": agents})

    async def _list_definitions(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self.definitions)

    async def _list_calls(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"calls": [], "next": None})

    async def _show_local_model(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self.local_model)

    async def _list_options(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self.options)

    async def _start_agent(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        if self.start_failure is not None:
            return web.json_response(self.start_failure, status=502)
        channel, uid = body["channel_name"], body.get("uid", 1000)
        if channel in self.agents:
            return _refuse(400, "already_running", "the channel has an agent")
        token = self.agent_token(channel, uid)
        agent = ScriptedAgent(self.url, channel, uid, token, self._agent_media)
        await agent.start()
        self.agents[channel] = agent
        answer = {"status": "Agent started!", "channel_name": channel, "uid": uid}
        timings = {"joining": 12.0, "connecting": 30.0}
        return web.json_response(
            {**answer, "agent_id": "a1", "state": "ready", "timings_ms": timings}
        )

    async def _stop_agent(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        agent = self.agents.pop(body["channel_name"], None)
        if agent is None:
            return _refuse(404, "no_agent", "no agent in this channel")
        await agent.stop()
        return web.json_response({"status": "Agent process terminated"})

    async def _mint_token(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        token = self.rooms.tokens.mint(
            channel=body["channel_name"], uid=body["uid"], role=body["role"], ttl_s=60
        )
        return web.json_response({"token": token})

    async def _note(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.requests.append((request.path, body))
        return body


def offered() -> dict[str, Any]:
    """What a server with the settings of a newcomer offers."""
    settings = Settings(
        local_model_uri="ws://127.0.0.1:9", openai_api_key=SecretStr("sk-of-nobody")
    )
    options = OptionsApi(settings, LocalModelAddress, tuple, ())
    return options.read().model_dump(mode="json")


def _refuse(status: int, code: str, text: str) -> web.Response:
    return web.json_response({"error": text, "code": code}, status=status)


async def _add_policy(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


@asynccontextmanager
async def open_site(**options: Any) -> AsyncIterator[Site]:
    """A running site; options as those of `Site`."""
    site = Site(**options)
    await site.start()
    try:
        yield site
    finally:
        await site.close()
