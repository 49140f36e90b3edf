"""The room server over real sockets: joining, tokens, refusals, limits, vanishing, calls."""

from __future__ import annotations

import asyncio
import json
import random
import string
from typing import Any

import aiohttp
import pytest

from rtc.room_socket import FRAME_BURST
from rtc.tokens import mint_token
from rtc.turn import IceServers
from tests.loopback.conftest import OpenSite, Site, receive

SECRET = "s" * 32


async def _join(socket: aiohttp.ClientWebSocketResponse, **fields: Any) -> dict[str, Any]:
    await socket.send_json({"type": "join", "role": "user", **fields})
    return await receive(socket, "joined")


async def _close_code(socket: aiohttp.ClientWebSocketResponse) -> int:
    async with asyncio.timeout(5):
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert socket.close_code is not None
    return socket.close_code


@pytest.mark.asyncio
async def test_two_members_meet_talk_and_part(site: Site) -> None:
    first, second = await site.socket(), await site.socket()
    joined = await _join(first, uid=1, role="agent", name="Parley")
    assert joined["members"] == []
    assert joined["is_resumed"] is False
    other = await _join(second, name="Ada")
    assert [member["uid"] for member in other["members"]] == [1]
    assert (await receive(first, "member_joined"))["member"]["name"] == "Ada"
    offer = {"connection_id": "c", "sdp_type": "offer", "sdp": "v=0"}
    await second.send_json({"type": "description", "to": 1, **offer})
    relayed = {"type": "description", "from": other["uid"], **offer}
    assert await receive(first, "description") == relayed
    await second.send_json({"type": "chat", "text": "hi", "message_id": "m1"})
    chat = await receive(first, "chat")
    assert (chat["from"], chat["text"], chat["message_id"]) == (other["uid"], "hi", "m1")
    await second.send_json({"type": "mute", "is_muted": True})
    assert (await receive(first, "member_updated"))["member"]["is_muted"] is True
    await second.send_json({"type": "leave"})
    left = await receive(first, "member_left")
    assert (left["uid"], left["reason"]) == (other["uid"], "left")
    assert await _close_code(second) == 1000
    assert [member.uid for member in site.server.rooms()["demo"]] == [1]
    await first.send_json({"type": "leave"})
    assert await _close_code(first) == 1000
    assert site.server.rooms() == {}


@pytest.mark.asyncio
async def test_malformed_frames_get_errors_and_the_room_goes_on(site: Site) -> None:
    socket = await site.socket()
    await socket.send_json({"type": "chat", "text": "too early"})
    assert (await receive(socket, "error"))["code"] == "not_joined"
    await _join(socket, uid=1)
    rng = random.Random(1)
    for size in range(60):
        await socket.send_str("".join(rng.choices(string.printable, k=size)))
    await socket.send_bytes(b"\x00\xff")
    await socket.send_json({"type": "description", "to": 9, "connection_id": "c"})
    for _ in range(62):
        assert (await receive(socket, "error"))["code"] in {"malformed", "invalid"}
    await socket.send_json({"type": "join", "role": "user"})
    error = await receive(socket, "error")
    assert (error["code"], error["request"]) == ("already_joined", "join")


@pytest.mark.asyncio
async def test_a_flood_is_dropped_and_said_once(site: Site) -> None:
    socket, other = await site.socket(), await site.socket()
    await _join(socket, uid=1)
    await _join(other, uid=2)
    refused = asyncio.get_running_loop().create_task(receive(socket, "error"))
    number = 0
    # However slow the machine: until more came than is let through meanwhile.
    while not refused.done():
        await socket.send_json({"type": "chat", "text": str(number)})
        number += 1
    assert (await refused)["code"] == "rate_limited"
    assert number >= FRAME_BURST
    await other.send_json({"type": "chat", "text": "done"})
    assert (await receive(socket, "chat"))["text"] == "done"


@pytest.mark.asyncio
async def test_too_large_a_frame_ends_the_socket_only(open_site: OpenSite) -> None:
    site: Site = await open_site(resume_grace_s=0.1)
    socket, other = await site.socket(), await site.socket()
    await _join(socket, uid=1)
    await _join(other, uid=2)
    await socket.send_str("x" * 70_000)
    assert await _close_code(socket) == 1009
    assert (await receive(other, "member_left"))["reason"] == "vanished"


@pytest.mark.asyncio
async def test_the_same_uid_again_replaces_the_older(site: Site) -> None:
    watcher, old, new = [await site.socket() for _ in range(3)]
    await _join(watcher, uid=1)
    await _join(old, uid=2)
    await _join(new, uid=2)
    assert (await receive(old, "error"))["code"] == "replaced"
    assert await _close_code(old) == 4001
    assert (await receive(watcher, "member_left"))["reason"] == "replaced"
    assert (await receive(watcher, "member_joined"))["member"]["uid"] == 2


@pytest.mark.asyncio
async def test_one_who_comes_back_in_time_is_not_missed(site: Site) -> None:
    watcher, old = await site.socket(), await site.socket()
    await _join(watcher, uid=1)
    await _join(old, uid=2, instance="same")
    await old.close()
    new = await site.socket()
    # Said while nobody listens; it must not be lost.
    await watcher.send_json({"type": "chat", "text": "still there?"})
    await watcher.send_json({"type": "mute", "is_muted": True})
    joined = await _join(new, uid=2, instance="same")
    assert joined["is_resumed"] is True
    await new.send_json({"type": "chat", "text": "I am"})
    seen = [(await watcher.receive_json())["type"] for _ in range(2)]
    assert seen == ["member_joined", "chat"]


@pytest.mark.asyncio
async def test_one_who_vanishes_is_noticed(open_site: OpenSite) -> None:
    # Of this, half is the time for an answer: a process that is held up needs it too.
    site: Site = await open_site(heartbeat_s=2.0, resume_grace_s=0.2)
    watcher = await site.socket()
    await _join(watcher, uid=1)
    # A participant whose machine is gone: its end is open, but nobody answers pings.
    _reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(
        b"GET /rooms/demo/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    body = b'{"type": "join", "role": "user", "uid": 2}'
    writer.write(bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body)
    await writer.drain()
    assert (await receive(watcher, "member_joined"))["member"]["uid"] == 2
    left = await receive(watcher, "member_left")
    assert (left["uid"], left["reason"]) == (2, "vanished")
    writer.close()


@pytest.mark.asyncio
async def test_a_ping_is_answered_to_the_one_who_asks(site: Site) -> None:
    first, second = await site.socket(), await site.socket()
    await _join(first, uid=1)
    await _join(second, uid=2)
    await first.send_json({"type": "ping"})
    assert await receive(first, "pong") == {"type": "pong"}
    await first.send_json({"type": "chat", "text": "hi"})
    # Nothing came before it.
    assert (await second.receive_json())["type"] == "chat"


@pytest.mark.asyncio
async def test_credentials_are_renewed_before_they_expire(open_site: OpenSite) -> None:
    turn = IceServers(turn_urls=("turn:example.org",), turn_secret="north", turn_ttl_s=2)
    site = await open_site(ice_servers=turn)
    socket = await site.socket()
    old = (await _join(socket, uid=7))["ice_servers"]
    new = (await receive(socket, "ice_servers"))["ice_servers"]
    expiries = [int(one[0]["username"].removesuffix(":7")) for one in (old, new)]
    assert expiries[0] < expiries[1]
    assert old[0]["credential"] != new[0]["credential"]


@pytest.mark.asyncio
async def test_tokens_are_asked_for_and_checked(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    good = mint_token(SECRET, channel="demo", uid=7, role="user", ttl_s=60)
    for fields, code, close_code in (
        ({}, "unauthorized", 4401),
        ({"token": "x.y.z"}, "unauthorized", 4401),
        ({"token": good, "role": "agent"}, "forbidden", 4403),
        ({"token": good, "uid": 8}, "forbidden", 4403),
    ):
        socket = await site.socket()
        await socket.send_json({"type": "join", "role": "user", **fields})
        assert (await receive(socket, "error"))["code"] == code
        assert await _close_code(socket) == close_code
    assert site.server.rooms() == {}
    assert (await _join(await site.socket(), token=good))["uid"] == 7
    by_header = await site.socket(Authorization=f"Bearer {good}")
    assert (await _join(by_header))["uid"] == 7


@pytest.mark.asyncio
async def test_rooms_are_apart_and_names_are_checked(site: Site) -> None:
    one, two = await site.socket("one"), await site.socket("two")
    await _join(one, uid=1)
    assert (await _join(two, uid=1))["members"] == []
    assert set(site.server.rooms()) == {"one", "two"}
    for name in ("-x", "a%20b", "x" * 65):
        async with site.http.get(f"{site.url}/rooms/{name}/ws") as response:
            assert response.status == 400
            assert (await response.json())["code"] == "invalid"


@pytest.mark.asyncio
async def test_pages_of_other_sites_may_not_connect(open_site: OpenSite) -> None:
    site: Site = await open_site(allowed_origins=frozenset({"https://friend.example"}))
    await _join(await site.socket(Origin=site.url))
    await _join(await site.socket(Origin="https://friend.example"))
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{site.port}0"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await site.socket(Origin=origin)
        assert caught.value.status == 403


@pytest.mark.asyncio
async def test_full_rooms_and_a_full_server_say_so(open_site: OpenSite) -> None:
    site: Site = await open_site(max_rooms=1)
    for uid in range(1, 33):
        await _join(await site.socket(), uid=uid)
    for channel, code in (("demo", "room_full"), ("other", "server_full")):
        socket = await site.socket(channel)
        await socket.send_json({"type": "join", "role": "user"})
        assert (await receive(socket, "error"))["code"] == code
        assert await _close_code(socket) == 4429


@pytest.mark.asyncio
async def test_a_server_that_ends_closes_sockets_with_going_away(site: Site) -> None:
    socket = await site.socket()
    await _join(socket, uid=1)
    codes = await asyncio.gather(_close_code(socket), site.stop())
    assert codes[0] == 1001


async def _call(site: Site, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, str) else json.dumps(body)
    url = f"{site.url}/rooms/demo/call"
    async with site.http.post(url, data=data, headers=headers) as response:
        return response.status, await response.json()


SDP = (
    "v=0\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 00\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"
)
OFFER = {"type": "offer", "sdp": SDP}


@pytest.mark.asyncio
async def test_calls_are_refused_with_the_documented_words(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    token = mint_token(SECRET, channel="demo", uid=0, role="user", ttl_s=60)
    bearer = {"Authorization": f"Bearer {token}"}
    for body in ("", "[]", {"type": "offer"}, {"type": "offer", "sdp": "hello"}):
        assert (await _call(site, body, **bearer))[1]["code"] == "invalid"
    assert (await _call(site, "x" * 70_000, **bearer))[0] == 413
    assert (await _call(site, OFFER))[0] == 401
    wrong = mint_token(SECRET, channel="other", uid=0, role="user", ttl_s=60)
    assert (await _call(site, OFFER, Authorization=f"Bearer {wrong}"))[0] == 403
    status, answer = await _call(site, OFFER, **bearer)
    assert (status, answer["code"]) == (404, "no_agent")


@pytest.mark.asyncio
async def test_a_call_lives_as_long_as_its_agent_says(site: Site) -> None:
    agent, watcher = await site.socket(), await site.socket()
    await _join(agent, uid=1, role="agent")
    await _join(watcher, uid=2)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(_call(site, OFFER))
        caller = (await receive(agent, "member_joined"))["member"]
        while caller["via"] is None:
            caller = (await receive(agent, "member_joined"))["member"]
        offer = await receive(agent, "description")
        assert (caller["via"], offer["from"], offer["sdp"]) == (1, caller["uid"], OFFER["sdp"])
        answer = {"to": caller["uid"], "connection_id": offer["connection_id"]}
        await agent.send_json(
            {"type": "description", "sdp_type": "answer", "sdp": "v=0 answer", **answer}
        )
    expected = {"type": "answer", "sdp": "v=0 answer", "uid": caller["uid"]}
    assert call.result() == (200, expected)
    await agent.send_json({"type": "peer_closed", "uid": caller["uid"]})
    left = await receive(watcher, "member_left")
    assert (left["uid"], left["reason"]) == (caller["uid"], "closed")


@pytest.mark.asyncio
async def test_an_agent_may_refuse_a_call_or_leave_it(site: Site) -> None:
    agent = await site.socket()
    await _join(agent, uid=1, role="agent")
    for goodbye in ("peer_closed", "leave"):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_call(site, OFFER))
            offer = await receive(agent, "description")
            uid = {"uid": offer["from"]} if goodbye == "peer_closed" else {}
            await agent.send_json({"type": goodbye, **uid})
        assert (call.result()[0], call.result()[1]["code"]) == (502, "agent_failed")
    assert site.server.rooms() == {}
