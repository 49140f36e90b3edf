"""What strangers and members may cost a room server: before they join, and afterwards."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from rtc.room_server.delivery_budget import MEMBER_BURST, ROOM_BURST, ROOM_DELIVERIES_PER_S
from rtc.room_server.pending_sockets import MAX_PENDING, MAX_REFUSED_FRAMES
from rtc.room_server.socket import CHARACTER_BURST
from rtc.room_server.tokens import mint_token
from tests.loopback.conftest import OpenSite, Site, receive
from tests.loopback.stage import soon

SECRET = "s" * 32
JOIN = {"type": "join", "role": "user"}
UNKNOWN_FIELDS = {f"{number:x}": 0 for number in range(6000)}


async def _ended(socket: aiohttp.ClientWebSocketResponse) -> tuple[list[dict[str, Any]], int]:
    """What came until the socket was closed, and with which code."""
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            told.append(json.loads(message.data))
    assert socket.close_code is not None
    return told, socket.close_code


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(JOIN | UNKNOWN_FIELDS),
        json.dumps({"type": "chat", "text": "x" * 8200}),
        json.dumps(JOIN | {"token": "x" * 50_000}),
        "[" * 9000,
        '"' + "é" * 20_000,
    ],
    ids=["fields", "chat", "token", "depth", "text"],
)
async def test_a_large_first_frame_ends_its_socket_unread(open_site: OpenSite, text: str) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    socket = await site.socket()
    await socket.send_str(text)
    told, code = await _ended(socket)
    assert ([frame["code"] for frame in told], code) == (["too_large"], 1009)


@pytest.mark.asyncio
async def test_a_token_of_the_greatest_length_still_fits(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    socket = await site.socket()
    join = {"uid": 7, "name": "🙂" * 64, "instance": "i" * 64, "resume_secret": "r" * 64}
    await socket.send_str(json.dumps(JOIN | join | {"token": "x" * 4096}))
    assert (await receive(socket, "error"))["code"] == "unauthorized"


@pytest.mark.asyncio
async def test_who_says_anything_else_than_join_is_let_go_after_a_few_frames(site: Site) -> None:
    socket = await site.socket()
    frames = ['{"type": "chat", "text": "early"}', "nonsense", "[]", '{"type": "ping"}']
    for text in (*frames, *frames):
        await socket.send_str(text)
    told, code = await _ended(socket)
    codes = [frame["code"] for frame in told]
    assert codes == ["not_joined", "malformed", "malformed", "not_joined", "not_joined"]
    assert (len(codes), code) == (MAX_REFUSED_FRAMES + 1, 1008)


@pytest.mark.asyncio
async def test_a_few_wrong_frames_do_no_harm(site: Site) -> None:
    socket = await site.socket()
    for text in ("nonsense", '{"type": "ping"}', '{"type": "join"}'):
        await socket.send_str(text)
    await socket.send_json(JOIN)
    assert (await receive(socket, "joined"))["members"] == []


@pytest.mark.asyncio
async def test_sockets_that_do_not_join_keep_nobody_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Opening all of them must not take longer than one of them may wait.
    monkeypatch.setattr("rtc.room_server.pending_sockets.JOIN_TIMEOUT_S", 120.0)
    connector = aiohttp.TCPConnector(limit=0)
    url = f"{site.url}/rooms/demo/ws"
    async with aiohttp.ClientSession(connector=connector) as http:
        idle = [await http.ws_connect(url) for _ in range(MAX_PENDING)]
        socket = await http.ws_connect(url)
        told, code = await _ended(idle[0])
        assert ([frame["code"] for frame in told], code) == (["join_timeout"], 4003)
        for waiting in (socket, *idle[1:3]):
            await waiting.send_json(JOIN)
            await receive(waiting, "joined")
        # Those who joined wait no longer: as many others may.
        later = [await http.ws_connect(url) for _ in range(3)]
        await idle[3].send_json(JOIN)
        await receive(idle[3], "joined")
        await asyncio.gather(*(one.close() for one in (socket, *idle, *later)))


@pytest.mark.asyncio
async def test_a_socket_waits_only_so_long_for_its_join(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtc.room_server.pending_sockets.JOIN_TIMEOUT_S", 0.3)
    silent, talkative = await site.socket(), await site.socket()
    await talkative.send_str("nonsense")
    assert await _ended(silent) == ([_timeout()], 4003)
    told, code = await _ended(talkative)
    assert (told[-1], code) == (_timeout(), 4003)


def _timeout() -> dict[str, Any]:
    return {
        "type": "error",
        "code": "join_timeout",
        "message": "no `join` within 10 s",
        "request": None,
    }


@pytest.mark.asyncio
async def test_a_call_without_a_token_is_refused_before_its_body_is_read(
    open_site: OpenSite,
) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = "POST /rooms/demo/call HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(20):
        status = await reader.readline()
    assert status.split()[1] == b"401"
    writer.write(bytes(60_000))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
async def test_unknown_fields_of_a_call_are_refused_by_name(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    token = mint_token(SECRET, channel="demo", role="user", ttl_s=60)
    body = {"type": "offer", "sdp": "v=0"} | UNKNOWN_FIELDS
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{site.url}/rooms/demo/call"
    async with site.http.post(url, json=body, headers=headers) as response:
        answer = await response.json()
    assert (response.status, answer["code"]) == (400, "invalid")
    assert len(answer["error"]) < 100


async def _join(site: Site, number: int) -> list[aiohttp.ClientWebSocketResponse]:
    sockets = []
    for uid in range(1, number + 1):
        socket = await site.socket()
        await socket.send_json(JOIN | {"uid": uid})
        await receive(socket, "joined")
        sockets.append(socket)
    return sockets


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["chat", "mute", "description"])
async def test_a_room_sends_only_so_much_for_its_members(site: Site, kind: str) -> None:
    """Many members that each keep to their hundred frames a second."""
    sockets = await _join(site, 32)
    received = [0] * len(sockets)
    refused = [0] * len(sockets)

    changed = asyncio.Event()

    async def count(index: int) -> None:
        async for message in sockets[index]:
            frame = json.loads(message.data)
            received[index] += frame["type"] not in {"error", "member_joined"}
            refused[index] += frame["type"] == "error"
            changed.set()

    def allowed() -> float:
        per_s = ROOM_DELIVERIES_PER_S + 32 * 64
        return ROOM_BURST + 32 * MEMBER_BURST + (time.monotonic() - start_s) * per_s

    sent = 150 * 32 * (1 if kind == "description" else 31)
    start_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        counting = [group.create_task(count(index)) for index in range(len(sockets))]
        for number in range(150):
            for index, socket in enumerate(sockets):
                frame: dict[str, Any] = {"type": kind}
                if kind == "chat":
                    frame |= {"text": "x"}
                elif kind == "mute":
                    frame |= {"is_muted": number % 2 == 0}
                else:
                    offer = {"connection_id": "c", "sdp_type": "offer", "sdp": "v=0"}
                    frame |= {"to": (index + 1) % 32 + 1, **offer}
                await socket.send_json(frame)
        # A slow machine sends so slowly that nearly all of it is allowed.
        is_too_much = kind != "description" and allowed() < sent / 2
        async with asyncio.timeout(60):
            while not (all(refused) if is_too_much else any(received)):
                changed.clear()
                await changed.wait()
        for task in counting:
            task.cancel()
    assert sum(received) <= allowed()
    # Refusals are reported once a second.
    assert all(count <= time.monotonic() - start_s + 1 for count in refused)


@pytest.mark.asyncio
async def test_members_that_flood_silence_neither_the_others_nor_the_agent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So little that the slowest machine is asked for more; what a member may send at once is kept.
    for name, few in (("ROOM_BURST", 200), ("ROOM_DELIVERIES_PER_S", 8.0)):
        monkeypatch.setattr(f"rtc.room_server.delivery_budget.{name}", few)
    monkeypatch.setattr("rtc.room_server.delivery_budget.MEMBER_DELIVERIES_PER_S", 8.0)
    agent = await site.socket()
    await agent.send_json({"type": "join", "role": "agent", "uid": 1000})
    sockets = await _join(site, 20)
    quiet, listener, *loud = sockets
    loop = asyncio.get_running_loop()
    # Read from the start: a listener that does not is let go.
    heard = loop.create_task(_hear(listener, 10))
    refusals = [loop.create_future() for _ in loud]
    # Every member reads, or it would be disconnected for its full queue.
    reading = [
        loop.create_task(_read(socket, refusal))
        for socket, refusal in zip(loud, refusals, strict=True)
    ]
    reading += [loop.create_task(_read(socket, loop.create_future())) for socket in (quiet, agent)]
    flooding = [loop.create_task(_flood(socket)) for socket in loud]
    try:
        assert await soon(asyncio.gather(*refusals)) == ["rate_limited"] * len(loud)
        for number in range(5):
            await quiet.send_json({"type": "chat", "text": f"quiet {number}"})
            await agent.send_json({"type": "chat", "text": f"agent {number}"})
        assert len(await heard) == 10
    finally:
        for task in (heard, *flooding, *reading):
            task.cancel()
        await asyncio.wait((heard, *flooding, *reading))


async def _read(socket: aiohttp.ClientWebSocketResponse, refusal: asyncio.Future[str]) -> None:
    """Take all frames; the code of the first error becomes the result of `refusal`."""
    async for message in socket:
        frame = json.loads(message.data)
        if frame["type"] == "error" and not refusal.done():
            refusal.set_result(frame["code"])


async def _hear(socket: aiohttp.ClientWebSocketResponse, count: int) -> set[str]:
    """So many different words that are no noise."""
    heard: set[str] = set()
    while len(heard) < count:
        text = (await receive(socket, "chat"))["text"]
        if text != "noise":
            heard.add(text)
    return heard


async def _flood(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await socket.send_json({"type": "chat", "text": "noise"})
        await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_a_member_that_sends_too_many_bytes_is_told_and_not_read(site: Site) -> None:
    (socket,) = await _join(site, 1)
    text = json.dumps({"type": "chat", "text": "x"} | UNKNOWN_FIELDS)
    for _ in range(CHARACTER_BURST // len(text) + 3):
        await socket.send_str(text)
    while (error := await receive(socket, "error"))["code"] == "invalid":
        pass
    assert (error["code"], "KiB" in error["message"]) == ("rate_limited", True)


MALFORMED_ORIGINS = ["http://[", "http://[::1", "//", "", "null", "http://]x[", "http://a\tb"]


@pytest.mark.asyncio
@pytest.mark.parametrize("origin", MALFORMED_ORIGINS)
async def test_an_origin_that_is_none_is_a_foreign_one(site: Site, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await site.socket(Origin=origin)
    assert caught.value.status == 403


@pytest.mark.asyncio
async def test_the_refusal_of_a_page_says_what_was_compared(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a proxy that puts its own name for `Host`; once a while in the log."""
    headers = {"Origin": "https://voice.example", "Host": "backend:8080"}
    for _ in range(5):
        async with site.http.get(f"{site.url}/rooms/demo/ws", headers=headers) as response:
            answer = await response.json()
        assert (response.status, answer["code"]) == (403, "foreign_origin")
        assert "https://voice.example" in answer["error"]
        assert "backend:8080" in answer["error"]
    (line,) = (one.getMessage() for one in caplog.records if "voice.example" in one.getMessage())
    assert "\n" not in line
