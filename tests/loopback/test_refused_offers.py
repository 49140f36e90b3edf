"""Offers that are not used: each is told why at once, and what it took comes back."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCPeerConnection

from audio import write_wav
from cli.call import Call, CallError
from rtc.peer.offer_rate import OFFER_BURST
from rtc.peer.peer import Peer
from rtc.room_server.one_request_call import AnswerSink
from rtc.signaling.protocol import RelayedRefusal
from tests.deadlines import DEADLINE_S
from tests.fakes.stock_caller import StockCaller
from tests.loopback.conftest import Site, receive

AGENT, ADA, BEN = 1000, 1, 2


async def _offer() -> str:
    caller = StockCaller()
    try:
        return await caller.offer()
    finally:
        await caller.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("opus", "speex", "need Opus"),
        ("a=rtcp-mux\r\n", "", "need a=rtcp-mux"),
        ("a=fingerprint", "a=thumbprint", "need a=fingerprint"),
        ("m=audio", "m=sound", "need an audio section"),
    ],
)
async def test_an_offer_that_cannot_be_used_is_refused_with_the_reason(
    site: Site, old: str, new: str, reason: str
) -> None:
    await site.join(AGENT, "agent")
    sdp = (await _offer()).replace(old, new)
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await receive(socket, "joined")
    frame = {"type": "description", "to": AGENT, "connection_id": "c1", "sdp_type": "offer"}
    await socket.send_json({**frame, "sdp": sdp})
    refusal = await receive(socket, "refuse")
    assert (refusal["from"], refusal["connection_id"], refusal["code"]) == (AGENT, "c1", "invalid")
    assert reason in refusal["message"]
    body = {"type": "offer", "sdp": sdp}
    async with site.http.post(f"{site.url}/rooms/demo/call", json=body) as response:
        assert (response.status, (await response.json())["code"]) == (400, "invalid")
        assert reason in (await response.json())["error"]
    assert len(site.server.rooms()["demo"]) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "status", "told"),
    [("invalid", 400, "invalid"), ("too_many_offers", 429, "too_many_offers"), ("failed", 502, "agent_failed")],
)  # fmt: skip
async def test_a_call_is_told_why_the_agent_does_not_answer(
    site: Site, code: str, status: int, told: str
) -> None:
    agent = await site.socket()
    await agent.send_json({"type": "join", "role": "agent", "uid": AGENT})
    await receive(agent, "joined")
    body = {"type": "offer", "sdp": await _offer()}
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        post = site.http.post(f"{site.url}/rooms/demo/call", json=body)
        call = group.create_task(_read(post))
        offer = await receive(agent, "description")
        answer = {"type": "refuse", "to": offer["from"], "connection_id": offer["connection_id"]}
        await agent.send_json({**answer, "code": code, "message": "no"})
    assert call.result() == (status, {"error": "no", "code": told})
    assert [member.uid for member in site.server.rooms()["demo"]] == [AGENT]


async def _read(request: Any) -> tuple[int, Any]:
    async with request as response:
        return response.status, await response.json()


@pytest.mark.asyncio
async def test_a_refusal_after_the_answer_changes_nothing() -> None:
    outlet = AnswerSink()
    outlet.answer.set_result("v=0")
    outlet.deliver(RelayedRefusal(sender=AGENT, connection_id="c", code="invalid", message="no"))
    assert await outlet.answer == "v=0"


@pytest.mark.asyncio
async def test_offers_that_replace_one_another_have_a_pace_and_leave_nothing(site: Site) -> None:
    agent, _ = await site.join(AGENT, "agent")
    sdp = await _offer()
    sockets = []
    for _ in range(2):
        # Coming back as another instance begins no new count.
        socket = await site.socket()
        await socket.send_json({"type": "join", "role": "user", "uid": ADA})
        await receive(socket, "joined")
        sockets.append(socket)
        for number in range(20):
            to = {"to": AGENT, "connection_id": f"c{len(sockets)}n{number}"}
            await socket.send_json({"type": "description", "sdp_type": "offer", "sdp": sdp, **to})
        for _ in range(20 if len(sockets) > 1 else 20 - OFFER_BURST):
            refusal = await receive(socket, "refuse")
            assert refusal["code"] == "too_many_offers"
            assert "the next one may come in" in refusal["message"]
    # Others are answered meanwhile.
    _, ben = await site.join(BEN)
    await ben.wait_for("user_connected", AGENT)
    await sockets[-1].send_json({"type": "leave"})
    async with asyncio.timeout(DEADLINE_S):
        while ADA in agent.remote_users or _count(Peer) > 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    # Agent and Ben have one each.
    assert _count(RTCPeerConnection) <= 2


def _count(kind: type) -> int:
    gc.collect()
    return sum(isinstance(one, kind) for one in gc.get_objects())


@pytest.mark.asyncio
async def test_our_own_offer_that_is_refused_is_told_and_made_again(site: Site) -> None:
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await receive(socket, "joined")
    _, events = await site.join(AGENT, "agent")
    offer = await receive(socket, "description")
    refusal = {"type": "refuse", "to": AGENT, "connection_id": offer["connection_id"]}
    await socket.send_json({**refusal, "code": "invalid", "message": "not like this"})
    assert await events.wait_for("media_refused") == ("not like this", ADA)
    while (again := await receive(socket, "description")) == offer:
        pass
    assert again["connection_id"] != offer["connection_id"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: "hello", "need an audio section"),
        (lambda sdp: re.sub(r"m=audio \d+", "m=audio 0", sdp), "port 0"),
        (lambda sdp: sdp.replace("opus", "speex"), "need Opus"),
        (lambda sdp: sdp.replace("sha-", "md"), "need a=fingerprint"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_refused_with_the_reason(
    site: Site, change: Callable[[str], str], reason: str
) -> None:
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await receive(socket, "joined")
    await site.join(AGENT, "agent")
    offer = await receive(socket, "description")
    answer = {"type": "description", "to": AGENT, "connection_id": offer["connection_id"]}
    await socket.send_json({**answer, "sdp_type": "answer", "sdp": change(offer["sdp"])})
    refusal = await receive(socket, "refuse")
    told = (refusal["connection_id"], refusal["code"])
    assert told == (offer["connection_id"], "invalid")
    assert reason in refusal["message"]


@pytest.mark.asyncio
async def test_the_terminal_caller_says_why_there_is_no_connection(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.call._CONNECT_TIMEOUT_S", 2.0)
    agent = await site.socket()
    await agent.send_json({"type": "join", "role": "agent", "uid": AGENT})
    question = tmp_path / "question.wav"
    write_wav(question, bytes(4800), 24_000)
    call = Call(site.url, channel_name="demo", on_line=lambda _line: None)
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(_failure(call.run(question, tmp_path / "answer.wav")))
        offer = await receive(agent, "description")
        refusal = {"to": offer["from"], "connection_id": offer["connection_id"]}
        await agent.send_json(
            {"type": "refuse", "code": "invalid", "message": "need Opus", **refusal}
        )
    assert calling.result() == "the agent refused a media connection: need Opus"


async def _failure(running: Coroutine[Any, Any, None]) -> str:
    with pytest.raises(CallError) as failure:
        await running
    return str(failure.value)
