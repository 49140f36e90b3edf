"""The room server over real sockets: joining, tokens, refusals, limits, vanishing, calls."""

from __future__ import annotations

import asyncio
import json
import random
import string
from functools import partial
from typing import Any

import aiohttp
import pytest

from rtc.room_server.ice_servers import IceServers
from rtc.room_server.server import RoomServer
from rtc.room_server.socket import FRAME_BURST
from rtc.room_server.tokens import mint_token
from tests.deadlines import DEADLINE_S
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


def _again(joined: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a member says to come back."""
    return {key: joined[key] for key in ("uid", "instance", "resume_secret")} | changes


@pytest.mark.asyncio
async def test_the_same_uid_again_replaces_the_older_with_its_secret(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,), are_users_free=True)
    watcher, old, new = [await site.socket() for _ in range(3)]
    await _join(watcher, uid=1)
    joined = await _join(old, uid=2)
    assert (await _join(new, **_again(joined, instance="reloaded")))["is_resumed"] is False
    assert (await receive(old, "error"))["code"] == "replaced"
    assert await _close_code(old) == 4001
    assert (await receive(watcher, "member_left"))["reason"] == "replaced"
    assert (await receive(watcher, "member_joined"))["member"]["uid"] == 2


@pytest.mark.asyncio
async def test_where_nobody_can_prove_anything_the_newest_has_a_uid_but_not_an_agents(
    site: Site,
) -> None:
    old, agent = await site.socket(), await site.socket()
    await _join(old, uid=2)
    await _join(agent, uid=1000, role="agent")
    await _join(await site.socket(), uid=2)
    assert (await receive(old, "error"))["code"] == "replaced"
    stranger = await site.socket()
    await stranger.send_json({"type": "join", "role": "user", "uid": 1000})
    assert (await receive(stranger, "error"))["code"] == "uid_taken"


@pytest.mark.asyncio
async def test_what_others_see_of_a_member_takes_nobodys_place(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,), are_users_free=True)
    token = mint_token(SECRET, channel="demo", uid=1000, role="agent", ttl_s=60)
    agent, person, stranger = [await site.socket() for _ in range(3)]
    await _join(agent, uid=1000, role="agent", token=token)
    await _join(person, uid=2)
    seen = (await _join(stranger, uid=3))["members"]
    secret = (await _join(await site.socket(), uid=4))["resume_secret"]
    for member in seen:
        assert "resume_secret" not in member
        for shown in ({}, {"instance": member["instance"]}, {"resume_secret": secret}):
            socket = await site.socket()
            wanted = {"type": "join", "role": "user", "uid": member["uid"], **shown}
            await socket.send_json(wanted)
            assert (await receive(socket, "error"))["code"] == "uid_taken"
            assert await _close_code(socket) == 4409
    # Both are still there, and what is said to them reaches them.
    for number, (socket, uid) in enumerate(((agent, 1000), (person, 2))):
        offer = {"connection_id": f"c{number}", "sdp_type": "offer", "sdp": "v=0"}
        await stranger.send_json({"type": "description", "to": uid, **offer})
        assert (await receive(socket, "description"))["connection_id"] == f"c{number}"


@pytest.mark.asyncio
async def test_one_who_comes_back_in_time_is_not_missed(site: Site) -> None:
    watcher, old = await site.socket(), await site.socket()
    await _join(watcher, uid=1)
    joined = await _join(old, uid=2, instance="same")
    await old.close()
    new = await site.socket()
    # Said while nobody listens; it must not be lost.
    await watcher.send_json({"type": "chat", "text": "still there?"})
    await watcher.send_json({"type": "mute", "is_muted": True})
    again = await _join(new, **_again(joined))
    assert again["is_resumed"] is True
    assert again["resume_secret"] == joined["resume_secret"]
    await new.send_json({"type": "chat", "text": "I am"})
    seen = [(await watcher.receive_json())["type"] for _ in range(2)]
    assert seen == ["member_joined", "chat"]


@pytest.mark.asyncio
async def test_who_is_in_the_room_stays_when_the_key_of_the_token_is_revoked(
    open_site: OpenSite,
) -> None:
    revoked: set[str] = set()
    site: Site = await open_site(
        secrets=(SECRET,), is_key_revoked=revoked.__contains__, resume_grace_s=DEADLINE_S
    )
    mint = partial(mint_token, SECRET, channel="demo", role="user", ttl_s=60, key="shop")
    watcher, inside, stranger = [await site.socket() for _ in range(3)]
    await _join(watcher, uid=1, token=mint(uid=1, key=""))
    joined = await _join(inside, uid=2, token=mint(uid=2))
    revoked.add("shop")
    await stranger.send_json({"type": "join", "role": "user", "uid": 3, "token": mint(uid=3)})
    assert (await receive(stranger, "error"))["code"] == "unauthorized"
    await inside.send_json({"type": "chat", "text": "still here"})
    assert (await receive(watcher, "chat"))["text"] == "still here"
    # The network goes and comes back.
    await inside.close()
    back, guessed = await site.socket(), await site.socket()
    again = await _join(back, **_again(joined), token=mint(uid=2))
    assert again["is_resumed"] is True
    wrong = {"uid": 2, "resume_secret": "r" * 40, "token": mint(uid=2)}
    await guessed.send_json({"type": "join", "role": "user", **wrong})
    assert (await receive(guessed, "error"))["code"] == "unauthorized"
    # Once they have left, their place proves nothing.
    await back.send_json({"type": "leave"})
    assert await _close_code(back) == 1000
    late = await site.socket()
    await late.send_json({"type": "join", "role": "user", **_again(joined), "token": mint(uid=2)})
    assert (await receive(late, "error"))["code"] == "unauthorized"


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
async def test_a_token_without_a_uid_takes_no_place(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    agents = mint_token(SECRET, channel="demo", uid=1000, role="agent", ttl_s=60)
    anyones = mint_token(SECRET, channel="demo", role="user", ttl_s=60)
    agent = await site.socket()
    await _join(agent, uid=1000, role="agent", token=agents)
    stranger = await site.socket()
    joined = await _join(stranger, token=anyones)
    (seen,) = joined["members"]
    # Neither that of the agent, nor one that belongs to somebody who is not there yet.
    for wanted in ({"uid": 1000, "instance": seen["instance"]}, {"uid": 1000}, {"uid": 7}):
        socket = await site.socket()
        await socket.send_json({"type": "join", "role": "user", "token": anyones, **wanted})
        assert (await receive(socket, "error"))["code"] == "forbidden"
        assert await _close_code(socket) == 4403
    # But its own again, by its secret, even of a server that knows nobody any more.
    again = await _join(await site.socket(), token=anyones, **_again(joined))
    assert (again["uid"], again["is_resumed"]) == (joined["uid"], True)
    await site.stop()
    site.server = RoomServer((SECRET,))
    await site.start()
    again = await _join(await site.socket(), token=anyones, **_again(joined))
    assert (again["uid"], again["is_resumed"]) == (joined["uid"], False)


@pytest.mark.asyncio
async def test_a_token_of_a_user_never_has_an_agents_place(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    tokens = {
        role: mint_token(SECRET, channel="demo", uid=1000, role=role, ttl_s=60)
        for role in ("agent", "user")
    }
    first, second = await site.socket(), await site.socket()
    await _join(first, token=tokens["user"])
    # Whoever waits at an agent's uid does not keep it away, either.
    agent = await _join(second, role="agent", token=tokens["agent"])
    assert (await receive(first, "error"))["code"] == "replaced"
    for proof in ({}, _again(agent)):
        socket = await site.socket()
        await socket.send_json({"type": "join", "role": "user", "token": tokens["user"], **proof})
        assert (await receive(socket, "error"))["code"] == "uid_taken"
    # An agent that was started anew has no secret, but its token names its uid.
    third = await _join(await site.socket(), role="agent", token=tokens["agent"])
    assert (third["uid"], third["members"]) == (1000, [])
    assert (await receive(second, "error"))["code"] == "replaced"


@pytest.mark.asyncio
async def test_where_people_need_no_token_agents_do(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,), are_users_free=True)
    await _join(await site.socket(), uid=7)
    for fields in ({}, {"uid": 1000}, {"uid": 1000, "token": "x.y.z"}):
        socket = await site.socket()
        await socket.send_json({"type": "join", "role": "agent", **fields})
        assert (await receive(socket, "error"))["code"] == "unauthorized"
    token = mint_token(SECRET, channel="demo", uid=1000, role="agent", ttl_s=60)
    assert (await _join(await site.socket(), role="agent", token=token))["uid"] == 1000


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
async def test_rooms_of_people_alone_keep_no_agent_out(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,), are_users_free=True, max_rooms=1)
    await _join(await site.socket("demo"), uid=7)
    token = mint_token(SECRET, channel="other", uid=1000, role="agent", ttl_s=60)
    assert (await _join(await site.socket("other"), role="agent", token=token))["uid"] == 1000
    third = await site.socket("third")
    await third.send_json({"type": "join", "role": "user"})
    assert (await receive(third, "error"))["code"] == "server_full"


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
    f"v=0\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 {':'.join(['00'] * 32)}\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
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


@pytest.mark.asyncio
async def test_a_call_that_is_given_up_leaves_the_page_of_the_same_person(
    open_site: OpenSite,
) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    agents = mint_token(SECRET, channel="demo", uid=1000, role="agent", ttl_s=60)
    own = mint_token(SECRET, channel="demo", uid=7, role="user", ttl_s=60)
    agent, page = await site.socket(), await site.socket()
    await _join(agent, role="agent", token=agents)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(_call(site, OFFER, Authorization=f"Bearer {own}"))
        # The agent is slow to answer, and the same person opens the page meanwhile.
        offer = await receive(agent, "description")
        await _join(page, token=own)
    assert (call.result()[0], call.result()[1]["code"]) == (409, "replaced")
    answer = {"connection_id": offer["connection_id"], "sdp_type": "answer", "sdp": "v=0"}
    await agent.send_json({"type": "description", "to": 7, **answer})
    await agent.send_json({"type": "peer_closed", "uid": 7})
    assert (await receive(agent, "error"))["code"] == "not_allowed"
    await agent.send_json({"type": "chat", "text": "still there?"})
    assert (await receive(page, "chat"))["text"] == "still there?"
    assert [member.uid for member in site.server.rooms()["demo"]] == [1000, 7]
