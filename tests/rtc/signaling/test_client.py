"""The client's side of signaling: addresses, give-up, and refusals on the way back."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxies import VARIABLES
from rtc.errors import RoomError
from rtc.signaling.client import ConnectionState, SignalingClient, room_socket_url
from rtc.signaling.protocol import Join, Leave, Mute, ServerFrame
from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import HttpServer, serving


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/rooms/demo/ws"),
        ("https://voice.example/", "wss://voice.example/rooms/demo/ws"),
        ("ws://127.0.0.1:1/base", "ws://127.0.0.1:1/base/rooms/demo/ws"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    assert room_socket_url(address, "demo") == url


@pytest.mark.parametrize("address", ["", "127.0.0.1:8080", "ftp://host", "http://"])
def test_wrong_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="room server"):
        room_socket_url(address, "demo")


class ScriptedRoom:
    """A room that answers each socket by a script: frames to send, then it closes."""

    def __init__(self, *scripts: list[dict[str, Any]]) -> None:
        self.joins: list[dict[str, Any]] = []
        self._scripts = list(scripts)
        self._server = HttpServer()

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_get("/rooms/demo/ws", self._handle)
        await self._server.start(app)
        return f"ws://127.0.0.1:{self._server.port}/rooms/demo/ws"

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.joins.append(await socket.receive_json())
        for frame in self._scripts.pop(0):
            await socket.send_json(frame)
        await socket.close()
        return socket


def _joined(**more: Any) -> dict[str, Any]:
    basis = {"type": "joined", "channel": "demo", "uid": 7, "instance": "i"}
    return {**basis, "is_resumed": False, "members": [], **more}


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_gets_no_token(status: int) -> None:
    elsewhere = ScriptedRoom([_joined()])
    async with elsewhere as target:

        async def redirect(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"http{target[2:]}"})

        app = web.Application()
        app.router.add_get("/rooms/demo/ws", redirect)
        async with serving(app) as port:
            client = Watcher(f"ws://127.0.0.1:{port}/rooms/demo/ws").client
            with pytest.raises(RoomError, match="not followed") as caught:
                await client.connect()
            await client.close()
    assert caught.value.code == "refused"
    assert elsewhere.joins == []


@pytest.mark.asyncio
async def test_a_room_elsewhere_is_reached_by_the_owners_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def forward(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(status=403)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    async with serving(app) as port, ScriptedRoom([_joined()]) as near:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        far = Watcher("ws://room.example:81/rooms/demo/ws").client
        with pytest.raises(RoomError) as caught:
            await far.connect()
        await far.close()
        assert asked == ["http://room.example:81/rooms/demo/ws"]
        assert caught.value.code in ("refused", "unreachable")
        client = Watcher(near).client
        await client.connect()
        await client.close()
        assert len(asked) == 1
        monkeypatch.setenv("HTTP_PROXY", "socks5://me:word@proxy.example")
        odd = Watcher("ws://room.example:81/rooms/demo/ws").client
        with pytest.raises(RoomError, match="HTTP_PROXY") as caught:
            await odd.connect()
        await odd.close()
        assert "word" not in str(caught.value)


class Watcher:
    """A client, with what it reported."""

    def __init__(self, url: str) -> None:
        self.frames: list[ServerFrame] = []
        self.states: list[str] = []
        self._changed = asyncio.Event()
        self.client = SignalingClient(
            url,
            Join(role="user", instance="i"),
            on_frame=self.frames.append,
            on_state=self._note,
        )

    def _note(self, state: ConnectionState) -> None:
        self.states.append(state)
        self._changed.set()

    async def wait_for(self, state: ConnectionState) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while state not in self.states:
                self._changed.clear()
                await self._changed.wait()


@pytest.mark.asyncio
async def test_comes_back_as_the_same_participant_until_refused() -> None:
    refusal = {"type": "error", "code": "replaced", "message": "elsewhere"}
    unknown = {"type": "weather", "is_sunny": True}
    broken = {"type": "member_left", "uid": -1, "reason": "?"}
    room = ScriptedRoom([_joined(), unknown, broken], [_joined(), refusal])
    async with room as url:
        watcher = Watcher(url)
        assert (await watcher.client.connect()).uid == 7
        await watcher.wait_for(ConnectionState.FAILED)
        await watcher.client.close()
    assert watcher.states == [
        "connecting", "connected", "disconnected", "connected", "failed", "closed",
    ]  # fmt: skip
    assert [join["uid"] for join in room.joins] == [None, 7]
    assert {join["instance"] for join in room.joins} == {"i"}
    assert [frame.type for frame in watcher.frames] == ["joined"]


@pytest.mark.asyncio
async def test_gives_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtc.signaling.client.GIVE_UP_AFTER_S", 0.4)
    async with ScriptedRoom([_joined()], [], []) as url:
        watcher = Watcher(url)
        await watcher.client.connect()
        await watcher.wait_for(ConnectionState.FAILED)
        with pytest.raises(RoomError):
            watcher.client.send(Leave())
        await watcher.client.close()
    assert watcher.states[-3:] == ["disconnected", "failed", "closed"]


@pytest.mark.asyncio
async def test_frames_wait_while_cut_off_but_not_without_end() -> None:
    async with ScriptedRoom([_joined()]) as url:
        watcher = Watcher(url)
        await watcher.client.connect()
        await watcher.wait_for(ConnectionState.DISCONNECTED)
        for _ in range(256):
            watcher.client.send(Mute(is_muted=True))
        with pytest.raises(RoomError, match="256 frames"):
            watcher.client.send(Mute(is_muted=True))
        await watcher.client.close()


@pytest.mark.asyncio
async def test_what_is_no_room_is_told_apart() -> None:
    async with ScriptedRoom([]) as url:
        watcher = Watcher(url.replace("/ws", "/nothing"))
        with pytest.raises(RoomError) as caught:
            await watcher.client.connect()
        assert (caught.value.code, "404" in str(caught.value)) == ("refused", True)
        assert isinstance(caught.value.__cause__, aiohttp.WSServerHandshakeError)
        closed = Watcher(url)
        with pytest.raises(RoomError, match="closed the connection"):
            await closed.client.connect()
