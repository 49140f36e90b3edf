"""Channels over real WebRTC: voices, events, chat, coming, going, and coming back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rtc.channel import Channel, ChatMessage, ConnectionState, RoomError, RtcOptions
from rtc.engine import RtcEngine
from rtc.room_server.tokens import mint_token
from tests.deadlines import DEADLINE_S
from tests.loopback.conftest import OpenSite, Recorder, Site
from tests.loopback.ear import listen
from tests.rtc.sound import frequency_hz, loudness, tone
from tests.wav_files import read_dump

RATE_HZ = 24_000
FRAME_BYTES = 960
AGENT, ADA, BEN = 1000, 1, 2

Party = tuple[Channel, Recorder]


async def _meet(*parties: Party) -> None:
    """Wait until everybody is connected to everybody."""
    for _, recorder in parties:
        for channel, _ in parties:
            if channel.uid and recorder is not next(r for c, r in parties if c is channel):
                await recorder.wait_for("user_connected", channel.uid)


async def _hear(channel: Channel, uid: int, frames: int) -> bytes:
    """The next `frames` frames of `uid`."""
    pcm = b""
    async with asyncio.timeout(DEADLINE_S):
        async for frame in channel.get_audio_frames(uid):
            assert (frame.uid, frame.sample_rate_hz) == (uid, channel.options.sample_rate_hz)
            pcm += frame.pcm
            frames -= 1
            if not frames:
                return pcm
    raise AssertionError("the stream ended")


async def _hear_loud(channel: Channel, uid: int, frames: int) -> bytes:
    """As `_hear`, from the first loud frame on."""
    async with asyncio.timeout(DEADLINE_S):
        async for frame in channel.get_audio_frames(uid):
            if loudness(frame.pcm) > 1000:
                return frame.pcm + await _hear(channel, uid, frames - 1)
    raise AssertionError("the stream ended")


@pytest.mark.asyncio
async def test_agent_and_user_hear_each_other(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    assert agent[0].remote_users[ADA].name == f"name {ADA}"
    await agent[0].subscribe_audio(ADA)
    await ada[0].subscribe_audio(AGENT)
    agent[0].push_audio_frame(tone(440, 0.6, RATE_HZ), key=("r", "i", 0))
    agent[0].finish_audio(("r", "i", 0))
    ada[0].push_audio_frame(tone(1000, 0.6, RATE_HZ))
    at_ada, at_agent = await asyncio.gather(
        _hear_loud(ada[0], AGENT, 25), _hear_loud(agent[0], ADA, 25)
    )
    assert abs(frequency_hz(at_ada, RATE_HZ) - 440) < 5
    assert abs(frequency_hz(at_agent, RATE_HZ) - 1000) < 5
    await agent[1].wait_for("playout_done")
    assert agent[1].of("playout_started") == agent[1].of("playout_done") == [(("r", "i", 0),)]
    user = ada[0].statistics().users[AGENT]
    assert (user.packets_lost, user.packets_corrupt, user.frames_dropped) == (0, 0, 0)


@pytest.mark.asyncio
async def test_each_side_chooses_its_own_rate(site: Site) -> None:
    agent = await site.join(AGENT, "agent", sample_rate_hz=16_000)
    ada = await site.join(ADA, sample_rate_hz=48_000)
    await _meet(agent, ada)
    ada[0].push_audio_frame(tone(700, 0.5, 48_000))
    heard = await _hear_loud(agent[0], ADA, 20)
    assert len(heard) == 20 * 640
    assert abs(frequency_hz(heard, 16_000) - 700) < 5


@pytest.mark.asyncio
async def test_several_people_and_agents_hear_each_other(site: Site) -> None:
    parties = [await site.join(uid, role) for uid, role in ((AGENT, "agent"), (ADA, "user"))]
    parties.append(await site.join(BEN, "user"))
    await _meet(*parties)
    hertz = {AGENT: 400, ADA: 800, BEN: 1600}
    for channel, _ in parties:
        for uid in channel.remote_users:
            await channel.subscribe_audio(uid)
        channel.push_audio_frame(tone(hertz[channel.uid], 0.6, RATE_HZ))
    for channel, _ in parties:
        for uid in channel.remote_users:
            heard = await _hear_loud(channel, uid, 20)
            assert abs(frequency_hz(heard, RATE_HZ) - hertz[uid]) < 10


@pytest.mark.asyncio
async def test_silence_fills_the_stream_in_real_time(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    await agent[0].subscribe_audio(ADA)
    assert await _hear(agent[0], ADA, 23) == bytes(23 * FRAME_BYTES)
    # A loop that was held up makes good for it at once, but is never ahead.
    assert loop.time() - start_s > 22 * 0.02
    assert agent[0].statistics().users[ADA].frames_filled >= 20


@pytest.mark.asyncio
async def test_mute_stops_the_sound_and_is_announced(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    ada[0].set_muted(True)
    assert (await agent[1].wait_for("user_updated"))[0].is_muted
    assert agent[0].remote_users[ADA].is_muted
    await agent[0].subscribe_audio(ADA)
    ada[0].push_audio_frame(tone(440, 0.3, RATE_HZ), key="unheard")
    ada[0].finish_audio("unheard")
    await ada[1].wait_for("playout_done", "unheard")
    assert agent[0].statistics().users[ADA].packets_received == 0
    ada[0].set_muted(False)
    ada[0].push_audio_frame(tone(440, 0.3, RATE_HZ))
    assert loudness(await _hear_loud(agent[0], ADA, 5)) > 1000


@pytest.mark.asyncio
async def test_clear_falls_silent_and_tells_what_was_played(site: Site) -> None:
    agent, ada = site.channel(RtcOptions("demo", AGENT)), site.channel(RtcOptions("demo", ADA))
    came = asyncio.Event()
    ear = listen(ada[0], AGENT, on_news=came.set, now=asyncio.get_running_loop().time)

    async def wait_loud(duration_ms: float) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while ear.loud_ms < duration_ms:
                came.clear()
                await came.wait()

    for channel, _ in (agent, ada):
        await channel.connect()
    await _meet(agent, ada)
    agent[0].push_audio_frame(tone(440, 5, RATE_HZ), key="a")
    agent[0].push_audio_frame(tone(440, 5, RATE_HZ), key="b")
    await wait_loud(300)
    position = agent[0].playout_position()
    assert position is not None
    assert position.key == "a"
    came_ms = ear.loud_ms
    playing, waiting = agent[0].clear_sender_audio_buffer()
    assert (playing.key, playing.is_complete) == ("a", False)
    assert came_ms <= playing.played_ms
    assert (waiting.key, waiting.played_ms) == ("b", 0)
    assert agent[0].clear_sender_audio_buffer() == []
    # Nothing came but what had been played, and then what was said next.
    agent[0].push_audio_frame(tone(880, 0.5, RATE_HZ), key="c")
    agent[0].finish_audio("c")
    await wait_loud(playing.played_ms + 480)
    await agent[1].wait_for("playout_done", "c")
    assert ear.loud_ms == pytest.approx(playing.played_ms + 500, abs=20)
    assert abs(frequency_hz(bytes(ear.pcm[-20 * FRAME_BYTES :]), RATE_HZ) - 880) < 10


@pytest.mark.asyncio
async def test_chat_and_events_arrive_in_order(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    ben = await site.join(BEN)
    await _meet(agent, ada, ben)
    await ada[0].chat.send_message(ChatMessage("hello", "m-1"))
    for _, recorder in (agent, ben):
        message, uid = await recorder.wait_for("message")
        assert (message.text, message.message_id, uid) == ("hello", "m-1", ADA)
        assert message.sent_at_ms > 1_600_000_000_000
    texts = [f"{number}:" + "x" * (number * 500) for number in range(30)]
    for text in texts:
        assert agent[0].send_event(text)
    for _, recorder in (ada, ben):
        await recorder.wait_for("event", texts[-1])
        assert recorder.of("event") == [(text, AGENT) for text in texts]
    assert ada[0].send_event("only for the agent", uid=AGENT)
    assert not ada[0].send_event("nobody", uid=99)
    await agent[1].wait_for("event", "only for the agent", ADA)
    assert ben[1].of("event")[-1] == (texts[-1], AGENT)
    with pytest.raises(ValueError, match="at most"):
        agent[0].send_event("x" * (60 * 1024 + 1))
    with pytest.raises(ValueError, match="text"):
        await agent[0].chat.send_message(ChatMessage(""))


@pytest.mark.asyncio
async def test_a_congested_data_channel_drops_and_counts(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    sent = [agent[0].send_event(f"{number}:" + "x" * 50_000) for number in range(40)]
    assert sent == sorted(sent, reverse=True)
    assert 20 <= sum(sent) < 40
    assert agent[0].statistics().users[ADA].events_dropped == 40 - sum(sent)
    async with asyncio.timeout(DEADLINE_S):
        while len(ada[1].of("event")) < sum(sent):
            await ada[1].wait_for("event", count=len(ada[1].of("event")) + 1)
    assert agent[0].send_event("free again")


@pytest.mark.asyncio
async def test_leaving_ends_streams_and_is_told(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    await agent[0].subscribe_audio(ADA)

    async def listen() -> int:
        return len([frame async for frame in agent[0].get_audio_frames(ADA)])

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        await ada[0].disconnect()
        user, reason = await agent[1].wait_for("user_left")
    assert (user.uid, reason) == (ADA, "left")
    assert listening.done()
    assert dict(agent[0].remote_users) == {}
    with pytest.raises(RoomError) as caught:
        await agent[0].subscribe_audio(ADA)
    assert caught.value.code == "unknown_member"
    await ada[0].disconnect()
    with pytest.raises(RoomError):
        ada[0].push_audio_frame(b"\0\0")


@pytest.mark.asyncio
async def test_a_page_refresh_replaces_and_talks_on(site: Site) -> None:
    agent, old = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, old)
    new = await site.join(ADA)
    await old[1].wait_for("connection_state_changed", ConnectionState.FAILED)
    await new[1].wait_for("user_connected", AGENT)
    await agent[1].wait_for("user_connected", ADA, count=2)
    assert [reason for _, reason in agent[1].of("user_left")] == ["replaced"]
    await agent[0].subscribe_audio(ADA)
    new[0].push_audio_frame(tone(440, 0.3, RATE_HZ))
    assert loudness(await _hear_loud(agent[0], ADA, 5)) > 1000


@pytest.mark.asyncio
async def test_media_outlives_a_restart_of_the_room_server(site: Site) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    await agent[0].subscribe_audio(ADA)
    await site.stop()
    await ada[1].wait_for("connection_state_changed", ConnectionState.DISCONNECTED)
    ada[0].push_audio_frame(tone(440, 0.3, RATE_HZ))
    assert loudness(await _hear_loud(agent[0], ADA, 5)) > 1000
    await site.restart()
    for _, recorder in (agent, ada):
        await recorder.wait_for("connection_state_changed", ConnectionState.CONNECTED, count=2)
    ben = await site.join(BEN)
    await _meet(agent, ada, ben)
    ada[0].push_audio_frame(tone(600, 0.3, RATE_HZ))
    assert loudness(await _hear_loud(agent[0], ADA, 5)) > 1000
    # Nobody was lost, and no connection made twice.
    assert agent[1].of("user_left") == ada[1].of("user_left") == []
    assert Counter(uid for (uid,) in agent[1].of("user_connected")) == {ADA: 1, BEN: 1}


@pytest.mark.asyncio
@pytest.mark.parametrize("who", [0, 1])
async def test_a_dead_peer_connection_is_replaced(site: Site, who: int) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    await agent[0].subscribe_audio(ADA)
    channel, other = [(agent, AGENT, ADA), (ada, ADA, AGENT)][who][0][0], [ADA, AGENT][who]
    peer = channel._mesh.links[other].peer
    assert peer is not None
    await peer._pc.close()
    for _, recorder, uid in ((*agent, ADA), (*ada, AGENT)):
        await recorder.wait_for("user_connected", uid, count=2)
    ada[0].push_audio_frame(tone(440, 0.3, RATE_HZ))
    assert loudness(await _hear_loud(agent[0], ADA, 5)) > 1000
    assert agent[1].of("user_left") == []


@pytest.mark.asyncio
async def test_a_network_that_swallows_everything_is_noticed_and_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, ada = await site.join(AGENT, "agent"), await site.join(ADA)
    await _meet(agent, ada)
    peer = ada[0]._mesh.links[AGENT].peer
    assert peer is not None
    ice = peer._pc.getTransceivers()[0].receiver.transport.transport._connection
    for protocol in ice._protocols:
        monkeypatch.setattr(protocol.transport, "sendto", lambda *_: None, raising=False)
    for _, recorder, uid in ((*agent, ADA), (*ada, AGENT)):
        await recorder.wait_for("user_connected", uid, count=2)
    await agent[0].subscribe_audio(ADA)
    ada[0].push_audio_frame(tone(440, 0.3, RATE_HZ))
    assert loudness(await _hear_loud(agent[0], ADA, 5)) > 1000
    assert agent[1].of("user_left") == []


@pytest.mark.asyncio
async def test_refusals_and_silence_have_codes(open_site: OpenSite, unused_port: int) -> None:
    secret = "s" * 32
    site: Site = await open_site(secrets=(secret,))
    with pytest.raises(RoomError) as caught:
        await site.join(ADA)
    assert caught.value.code == "unauthorized"
    token = mint_token(secret, channel="demo", uid=ADA, role="user", ttl_s=60)
    with pytest.raises(RoomError) as caught:
        await site.join(BEN, token=token)
    assert caught.value.code == "forbidden"
    channel, _ = await site.join(ADA, token=token)
    assert channel.uid == ADA
    nowhere = RtcEngine(f"http://127.0.0.1:{unused_port}").create_channel(RtcOptions("demo"))
    with pytest.raises(RoomError) as caught:
        await nowhere.connect()
    assert caught.value.code == "unreachable"
    await nowhere.disconnect()
    with pytest.raises(ValueError, match="room server"):
        RtcEngine("ftp://127.0.0.1")


@pytest.mark.asyncio
async def test_a_mute_room_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtc.signaling.client.CONNECT_TIMEOUT_S", 0.2)
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _r, w: writers.append(w), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = RtcEngine(f"ws://127.0.0.1:{port}").create_channel(RtcOptions("demo"))
    with pytest.raises(RoomError) as caught:
        await channel.connect()
    assert caught.value.code == "timeout"
    await channel.disconnect()
    for writer in writers:
        writer.close()
    server.close()


@pytest.mark.asyncio
async def test_dumps_hold_what_was_sent_and_heard(site: Site, tmp_path: Path) -> None:
    agent = await site.join(AGENT, "agent", dump_dir=tmp_path)
    ada = await site.join(ADA)
    await _meet(agent, ada)
    await agent[0].subscribe_audio(ADA)
    agent[0].push_audio_frame(tone(440, 0.2, RATE_HZ), key="a")
    agent[0].finish_audio("a")
    ada[0].push_audio_frame(tone(880, 0.2, RATE_HZ))
    await _hear_loud(agent[0], ADA, 8)
    await agent[1].wait_for("playout_done")
    await agent[0].disconnect()
    sent = await asyncio.to_thread(read_dump, tmp_path, f"demo-{AGENT}-sent")
    heard = await asyncio.to_thread(read_dump, tmp_path, f"demo-{AGENT}-from-{ADA}")
    assert sent[: RATE_HZ // 5 * 2] == tone(440, 0.2, RATE_HZ)
    assert abs(frequency_hz(heard, RATE_HZ) - 880) < 15


@pytest.mark.asyncio
async def test_nothing_said_or_secret_is_logged(
    open_site: OpenSite, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "s" * 32
    site: Site = await open_site(secrets=(secret,))
    token = mint_token(secret, channel="demo", uid=ADA, role="user", ttl_s=60)
    with caplog.at_level(logging.INFO):
        channel, _ = await site.join(ADA, token=token)
        await channel.chat.send_message(ChatMessage("the secret word"))
        await channel.disconnect()
    assert "joined" in caplog.text
    for text in (token, secret, "secret word"):
        assert text not in caplog.text
    assert token not in repr(channel.options)


def test_options_are_checked() -> None:
    wrongs: list[dict[str, Any]] = [
        {"channel_name": "../x"},
        {"channel_name": "x", "uid": 0},
        {"channel_name": "x", "sample_rate_hz": 44_100},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"^(channel_name or uid|sample_rate_hz)"):
            RtcOptions(**wrong)
