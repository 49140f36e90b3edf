"""Rights in a room: the table of docs/security.md, tested cell by cell.

A server with keys; its room has an agent (1000) and Ada (7). Each row of the table tries to do each
thing to both of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from pydantic import SecretStr

from config.settings import Settings
from tests.control.served_api import SECRET, Api, serve_api
from tests.deadlines import DEADLINE_S

AGENT, ADA, OTHER, OTHER_AGENT = 1000, 7, 8, 1001
KEY = "key-one-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
KEYED = Settings(
    api_keys=(SecretStr(KEY),),
    room_token_secret=SecretStr(SECRET),
    local_model_uri="ws://127.0.0.1:9",
)
SDP = (
    f"v=0\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 {':'.join(['00'] * 32)}\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
)

NOBODY: Final = "no token"
UNNAMED: Final = "token without a uid"
NAMED: Final = "token of a uid"
TAB: Final = "the same, another tab"
ANOTHER_AGENT: Final = "token of an agent"
OWNER: Final = "API key"
CALLER: Final = "one-request caller"
WHO: Final = (NOBODY, UNNAMED, NAMED, TAB, ANOTHER_AGENT, OWNER, CALLER)

Rights = dict[str, str]
JOINS: Rights = {
    NOBODY: "no",
    UNNAMED: "as a new member",
    NAMED: "as its uid",
    TAB: "as its uid",
    ANOTHER_AGENT: "as its uid",
    OWNER: "no",
    CALLER: "as a new member",
}
RESUMES: Rights = dict.fromkeys(WHO, "no") | {TAB: "its own"}
REPLACES: Rights = dict.fromkeys(WHO, "no") | {TAB: "its own", OWNER: "by a token"}
ACTS: Rights = dict.fromkeys(WHO, "no")
ENDS: Rights = dict.fromkeys(WHO, "no") | {OWNER: "yes"}
RIGHTS: Final[dict[str, Rights]] = {
    "test_joins": JOINS,
    "test_resumes_another": RESUMES,
    "test_replaces_another": REPLACES,
    "test_mutes_another": ACTS,
    "test_ends_the_stay_of_another": ACTS,
    "test_reads_what_others_are_offered": ACTS,
    "test_speaks_as_another": ACTS,
    "test_chats_as_another": ACTS,
    "test_ends_the_call": ENDS,
}
"""By the test of a column: what each row may."""

each = pytest.mark.parametrize("who", WHO)


class World:
    """A room with an agent and Ada in it, and what the rows of the table have in their hands."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.sockets: dict[int, ClientWebSocketResponse] = {}
        self.joined: dict[int, dict[str, Any]] = {}

    async def token(self, **wanted: Any) -> str:
        """A token that the holder of the key hands out."""
        body = {"channel_name": "demo"} | wanted
        answer = await (await self.api.post("/token", json=body, headers=BEARER)).json()
        return str(answer["token"])

    async def enter(self, uid: int, role: str) -> None:
        token = await self.token(uid=uid, role=role)
        socket, told = await self.ask(role=role, token=token)
        assert told["type"] == "joined"
        self.sockets[uid], self.joined[uid] = socket, told

    async def ask(
        self, role: str = "user", headers: dict[str, str] | None = None, **fields: Any
    ) -> tuple[ClientWebSocketResponse, dict[str, Any]]:
        """A new socket that asks to join, and the answer."""
        socket = await self.api.ws_connect("/rooms/demo/ws", headers=headers)
        await socket.send_json({"type": "join", "role": role, **fields})
        return socket, await socket.receive_json()

    async def ask_as(self, who: str, **fields: Any) -> tuple[ClientWebSocketResponse, Any]:
        """The same with what `who` has: its token, and for another tab of Ada all that she has."""
        if who == NOBODY:
            return await self.ask(**fields)
        if who == OWNER:
            return await self.ask(headers=BEARER, **fields)
        if who == ANOTHER_AGENT:
            token = await self.token(uid=OTHER_AGENT, role="agent")
            return await self.ask(role="agent", token=token, **fields)
        uid = {NAMED: OTHER, TAB: ADA}.get(who)
        token = await self.token(**({} if uid is None else {"uid": uid}))
        if who == CALLER:
            caller = await self.call(token)
            # All that the others see of it, and its own token.
            return await self.ask(token=token, **{"uid": caller} | fields)
        return await self.ask(token=token, **fields)

    async def call(self, token: str) -> int:
        """A one-request call that the agent answers; the caller's uid."""
        body = {"type": "offer", "sdp": SDP}
        headers = {"Authorization": f"Bearer {token}"}
        async with asyncio.TaskGroup() as group:
            posting = group.create_task(
                self.api.request("POST", "/rooms/demo/call", json=body, headers=headers)
            )
            offer = await self.next(AGENT, "description")
            answer = {"to": offer["from"], "connection_id": offer["connection_id"]}
            told = {"type": "description", "sdp_type": "answer", "sdp": "v=0"}
            await self.sockets[AGENT].send_json(told | answer)
        answered = await posting.result().json()
        assert answered["uid"] == offer["from"]
        return int(answered["uid"])

    async def next(self, uid: int, kind: str) -> dict[str, Any]:
        """The next frame of a kind that reaches `uid`."""
        async with asyncio.timeout(DEADLINE_S):
            while (frame := await self.sockets[uid].receive_json())["type"] != kind:
                pass
        return dict(frame)

    async def heard(self, uid: int) -> list[dict[str, Any]]:
        """All that reached `uid` by now: the answer to its own question comes last."""
        await self.sockets[uid].send_json({"type": "ping"})
        frames: list[dict[str, Any]] = []
        async with asyncio.timeout(DEADLINE_S):
            while (frame := await self.sockets[uid].receive_json())["type"] != "pong":
                frames.append(frame)
        return frames

    async def act(self, who: str, frame: dict[str, Any]) -> int | None:
        """Send a frame as `who` in the room, as far as it gets in; its uid there."""
        socket, told = await self.ask_as(who)
        if told["type"] == "error":
            assert told["code"] in {"unauthorized", "forbidden"}
            return None
        await socket.send_json(frame)
        await socket.send_json({"type": "ping"})
        async with asyncio.timeout(DEADLINE_S):
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                if message.json()["type"] == "pong":
                    break
        return int(told["uid"])


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with serve_api(KEYED) as api:
        one = World(api)
        await one.enter(AGENT, "agent")
        await one.enter(ADA, "user")
        yield one


def others_of(who: str) -> list[int]:
    """Those who are others to `who`: another tab of Ada is Ada."""
    return [AGENT] if who == TAB else [AGENT, ADA]


@each
@pytest.mark.asyncio
async def test_joins(who: str) -> None:
    async with world() as room:
        if who == CALLER:
            uid = await room.call(await room.token())
            told = {"type": "joined", "uid": uid}
        else:
            _, told = await room.ask_as(who)
        if JOINS[who] == "no":
            assert told["code"] == "unauthorized"
        elif JOINS[who] == "as a new member":
            assert told["uid"] not in (AGENT, ADA, OTHER)
        else:
            own = {NAMED: OTHER, TAB: ADA, ANOTHER_AGENT: OTHER_AGENT}
            assert told["uid"] == own[who]


@each
@pytest.mark.asyncio
async def test_resumes_another(who: str) -> None:
    """With all that is to be seen of the other one; a tab of Ada with her secret."""
    async with world() as room:
        secret = room.joined[ADA]["resume_secret"]
        for uid in (AGENT, ADA):
            proof = {"resume_secret": secret} if who == TAB else {}
            instance = room.joined[uid]["instance"]
            _, told = await room.ask_as(who, uid=uid, instance=instance, **proof)
            is_own = RESUMES[who] == "its own" and uid == ADA
            assert told.get("is_resumed", False) == is_own


@each
@pytest.mark.asyncio
async def test_replaces_another(who: str) -> None:
    async with world() as room:
        for uid, role in ((AGENT, "agent"), (ADA, "user")):
            if who == OWNER:
                # Whoever has a key has any token.
                token = await room.token(uid=uid, role=role)
                _, told = await room.ask(role=role, token=token)
                assert told["uid"] == uid
                assert (await room.next(uid, "error"))["code"] == "replaced"
                continue
            _, told = await room.ask_as(who, uid=uid)
            if REPLACES[who] == "its own" and uid == ADA:
                assert (await room.next(uid, "error"))["code"] == "replaced"
            else:
                assert told["code"] in {"unauthorized", "forbidden", "uid_taken"}
                assert "error" not in [frame["type"] for frame in await room.heard(uid)]


@each
@pytest.mark.asyncio
async def test_mutes_another(who: str) -> None:
    async with world() as room:
        wrong: list[dict[str, Any]] = [{}, {"uid": ADA}, {"from": ADA}]
        for fields in wrong:
            await room.act(who, {"type": "mute", "is_muted": True, **fields})
        updates = [one for one in await room.heard(AGENT) if one["type"] == "member_updated"]
        muted = {one["member"]["uid"] for one in updates}
        assert not muted & set(others_of(who))


@each
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["peer_closed", "leave"])
async def test_ends_the_stay_of_another(who: str, kind: str) -> None:
    """Of another caller of the agent, too."""
    async with world() as room:
        caller = await room.call(await room.token())
        for uid in (*others_of(who), caller):
            fields = {"uid": uid} if kind == "peer_closed" else {"from": uid}
            await room.act(who, {"type": kind, **fields})
        ended = {one["uid"] for one in await room.heard(AGENT) if one["type"] == "member_left"}
        assert not ended & {*others_of(who), caller}
        await room.heard(AGENT)


@each
@pytest.mark.asyncio
async def test_reads_what_others_are_offered(who: str) -> None:
    async with world() as room:
        socket, told = await room.ask_as(who)
        is_in = told["type"] == "joined"
        offer = {"connection_id": "c", "sdp_type": "offer", "sdp": "v=0"}
        ada = socket if who == TAB else room.sockets[ADA]
        await ada.send_json({"type": "description", "to": AGENT, **offer})
        assert (await room.next(AGENT, "description"))["from"] == ADA
        await room.sockets[AGENT].send_json({"type": "description", "to": ADA, **offer})
        if is_in and who != TAB:
            await socket.send_json({"type": "ping"})
            while (frame := await socket.receive_json())["type"] != "pong":
                assert frame["type"] != "description"


def forged(uid: int) -> list[dict[str, Any]]:
    """Nothing forged, and what would name `uid` as the sender."""
    return [{}, {"from": uid}, {"sender": uid}, {"uid": uid}]


@each
@pytest.mark.asyncio
async def test_speaks_as_another(who: str) -> None:
    """Sound comes over the connection that an offer under one's own uid makes."""
    async with world() as room:
        offer = {"to": AGENT, "connection_id": "c", "sdp_type": "offer", "sdp": "v=0"}
        for fields in forged(ADA):
            uid = await room.act(who, {"type": "description", **offer, **fields})
            came = [one for one in await room.heard(AGENT) if one["type"] == "description"]
            allowed = {uid} if uid is not None and not fields else set()
            assert {one["from"] for one in came} == allowed


@each
@pytest.mark.asyncio
async def test_chats_as_another(who: str) -> None:
    async with world() as room:
        for fields in forged(AGENT):
            uid = await room.act(who, {"type": "chat", "text": "hi", **fields})
            said = [one["from"] for one in await room.heard(AGENT) if one["type"] == "chat"]
            assert said == ([uid] if uid is not None and not fields else [])


@each
@pytest.mark.asyncio
async def test_ends_the_call(who: str) -> None:
    """By leaving, which ends one's own stay, or over the API."""
    async with world() as room:
        start = {"channel_name": "demo", "uid": AGENT}
        assert (await room.api.post("/start_agent", json=start, headers=BEARER)).status == 200
        await room.act(who, {"type": "leave"})
        token = await room.token(uid=OTHER)
        bearer = {OWNER: KEY, NOBODY: ""}.get(who, token)
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        body = {"channel_name": "demo"}
        stopped = await room.api.post("/stop_agent", json=body, headers=headers)
        assert stopped.status == (200 if ENDS[who] == "yes" else 401)
        left = {one["uid"] for one in await room.heard(AGENT) if one["type"] == "member_left"}
        assert AGENT not in left
