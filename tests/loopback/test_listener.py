"""A listener of a call over real WebRTC: hears everyone, and nothing that it sends arrives."""

from __future__ import annotations

import asyncio

import pytest

from rtc.channel import ChatMessage
from rtc.room_server.tokens import mint_token
from tests.loopback.conftest import OpenSite, Site, receive
from tests.loopback.test_channel import ADA, AGENT, RATE_HZ, _hear_loud, _meet
from tests.loopback.test_room_server import _join
from tests.rtc.sound import frequency_hz, tone

SECRET = "s" * 32
BOSS = 777_777


def token(uid: int, role: str, team: str | None = None) -> str:
    return mint_token(SECRET, channel="demo", uid=uid, role=role, ttl_s=60, team=team)


@pytest.mark.asyncio
async def test_a_listener_hears_and_is_neither_heard_nor_obeyed(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    agent = await site.join(AGENT, "agent", token=token(AGENT, "agent"))
    ada = await site.join(ADA, token=token(ADA, "user"))
    # An agent and a person of the same software, as far as the room lets it: it sends what it can.
    boss = await site.join(BOSS, "listener", token=token(BOSS, "listener"))
    await _meet(agent, ada)
    for uid in (AGENT, ADA):
        await boss[1].wait_for("user_connected", uid)
        await boss[0].subscribe_audio(uid)
    await boss[0].chat.send_message(ChatMessage("a word of the listener"))
    agent[0].push_audio_frame(tone(440, 0.6, RATE_HZ))
    ada[0].push_audio_frame(tone(1000, 0.6, RATE_HZ))
    of_agent, of_ada = await asyncio.gather(
        _hear_loud(boss[0], AGENT, 20), _hear_loud(boss[0], ADA, 20)
    )
    assert abs(frequency_hz(of_agent, RATE_HZ) - 440) < 10
    assert abs(frequency_hz(of_ada, RATE_HZ) - 1000) < 10
    boss[0].push_audio_frame(tone(2000, 0.3, RATE_HZ), key="k")
    boss[0].finish_audio("k")
    boss[0].send_event('{"type": "interrupt"}')
    await boss[1].wait_for("playout_done")
    # What is sent after it over the same way has come, so it would have, too.
    ada[0].send_event('{"type": "interrupt"}', uid=AGENT)
    await agent[1].wait_for("event")
    for channel, recorder in (agent, ada):
        assert BOSS not in channel.remote_users
        assert BOSS not in channel.statistics().users
        assert [args for args in recorder.of("event") if args[1] == BOSS] == []
        for name in ("user_joined", "user_connected", "message"):
            assert str(BOSS) not in str(recorder.of(name)), name
    await boss[0].disconnect()
    await ada[0].disconnect()
    await agent[1].wait_for("user_left")
    assert [args[0].uid for args in agent[1].of("user_left")] == [ADA]


@pytest.mark.asyncio
async def test_the_room_passes_nothing_on_from_a_listener(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    agent = await site.socket()
    await _join(agent, uid=AGENT, role="agent", token=token(AGENT, "agent"))
    boss = await site.socket()
    await _join(boss, uid=BOSS, role="listener", token=token(BOSS, "listener"))
    assert (await receive(agent, "member_joined"))["member"]["role"] == "listener"
    await boss.send_json({"type": "chat", "text": "hello"})
    error = await receive(boss, "error")
    assert (error["code"], error["request"]) == ("not_allowed", "chat")
    await boss.send_json({"type": "leave"})
    # Nothing was passed on before the goodbye.
    assert (await receive(agent, "member_left"))["uid"] == BOSS


@pytest.mark.asyncio
@pytest.mark.parametrize("role", ["user", "agent"])
async def test_the_token_of_a_listener_is_for_no_other_role(open_site: OpenSite, role: str) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": role, "token": token(BOSS, "listener")})
    assert (await receive(socket, "error"))["code"] == "forbidden"


@pytest.mark.asyncio
async def test_a_room_is_one_teams(open_site: OpenSite) -> None:
    site: Site = await open_site(secrets=(SECRET,))
    await _join(
        await site.socket(), uid=AGENT, role="agent", token=token(AGENT, "agent", team="red")
    )
    assert site.server.team_of("demo") == "red"
    for team in ("blue", ""):
        for role in ("user", "listener"):
            socket = await site.socket()
            hello = {"type": "join", "role": role, "token": token(ADA, role, team=team)}
            await socket.send_json(hello)
            assert (await receive(socket, "error"))["code"] == "forbidden"
    for uid, of_whom in ((ADA, "red"), (BOSS, None)):
        joined = await _join(await site.socket(), token=token(uid, "user", team=of_whom))
        assert joined["uid"] == uid
