"""A small real site for the page: the true room server, the true files, and a scripted control API.

The agents that it starts are real participants with real media; what they say is up to the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from control.api.console import SECURITY_HEADERS, Console
from rtc.room_server import RoomServer, RoomServerOptions
from rtc.turn import IceServers
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
    ) -> None:
        """host: where others reach it; gate: before the agents that it starts."""
        self._ice_servers = ice_servers
        self.has_gate = gate is not None
        self._host = host
        self._agent_media = None if gate is None else gate.options
        self.agents: dict[str, ScriptedAgent] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.start_failure: dict[str, Any] | None = None
        self._api_key = api_key
        self._server = HttpServer(host)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self._host}:{self._server.port}/"

    def agent_token(self, channel: str, uid: int) -> str:
        """What an agent shows to its room."""
        return self.rooms.tokens.mint(channel=channel, uid=uid, role="agent", ttl_s=60)

    async def start(self) -> None:
        """Serve, at the first free port or at the one that was served before."""
        app = web.Application(middlewares=[self._check_key])
        # As the control server has it: without keys people need no token, but agents do.
        options = RoomServerOptions(are_users_free=self._api_key is None)
        self.rooms = RoomServer([TOKEN_SECRET], self._ice_servers, options)
        self.rooms.add_routes(app)
        app.on_response_prepare.append(_add_policy)
        files = Console()
        app.router.add_get("/", files.handle_page)
        app.router.add_get("/web/{path:.+}", files.handle_asset)
        app.router.add_get("/agents", self._list)
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
    async def _check_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_control = request.path in {"/agents", "/start_agent", "/stop_agent", "/token"}
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

    async def _start_agent(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        if self.start_failure is not None:
            return web.json_response(self.start_failure, status=502)
        channel = body["channel_name"]
        token = self.agent_token(channel, body["uid"])
        agent = ScriptedAgent(self.url, channel, body["uid"], token, self._agent_media)
        await agent.start()
        self.agents[channel] = agent
        answer = {"status": "Agent started!", "channel_name": channel, "uid": body["uid"]}
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
