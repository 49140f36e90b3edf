"""Clients that are not ours: stock WebRTC by one request, trickling ones, and broken ones."""

from __future__ import annotations

import asyncio
import fractions
import random
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from rtc.signaling.protocol import RelayedCandidate, RelayedDescription
from tests.deadlines import DEADLINE_S
from tests.fakes.loopback_candidates import use_loopback_candidates
from tests.loopback.conftest import Site, receive
from tests.rtc.sound import frequency_hz, loudness, tone

AGENT, ADA = 1000, 1
RATE_HZ = 24_000


class ToneTrack(MediaStreamTrack):
    """A stock track: 48 kHz frames of a sine in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pcm = np.frombuffer(tone(700, 1, 48_000), np.int16).reshape(1, -1)
        self._index = 0
        self._start_s = asyncio.get_running_loop().time()

    async def recv(self) -> av.AudioFrame:
        due_s = self._start_s + self._index * 0.02
        await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
        start = self._index % 50 * 960
        piece = np.ascontiguousarray(self._pcm[:, start : start + 960])
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, self._index * 960
        frame.time_base = fractions.Fraction(1, 48_000)
        self._index += 1
        return frame


async def _post_call(site: Site, sdp: str) -> tuple[int, dict[str, Any]]:
    url = f"{site.url}/rooms/demo/call"
    async with site.http.post(url, json={"type": "offer", "sdp": sdp}) as response:
        return response.status, await response.json()


async def _first_loud(channel: Any, uid: int, frames: int) -> bytes:
    pcm = b""
    async with asyncio.timeout(DEADLINE_S):
        async for frame in channel.get_audio_frames(uid):
            if pcm or loudness(frame.pcm) > 1000:
                pcm += frame.pcm
            if len(pcm) >= frames * 960:
                return pcm
    raise AssertionError("the stream ended")


@pytest.mark.asyncio
async def test_a_stock_client_calls_with_one_request(site: Site) -> None:
    agent, events = await site.join(AGENT, "agent")
    use_loopback_candidates()
    client = RTCPeerConnection()
    client.addTrack(ToneTrack())
    data = client.createDataChannel("events")
    received: asyncio.Queue[str] = asyncio.Queue()
    data.on("message", received.put_nowait)
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    client.on("track", tracks.put_nowait)
    await client.setLocalDescription(await client.createOffer())
    status, answer = await _post_call(site, client.localDescription.sdp)
    assert (status, answer["type"]) == (200, "answer")
    uid = answer["uid"]
    await client.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    await events.wait_for("user_connected", uid)
    assert agent.remote_users[uid].role == "user"

    heard = await _first_loud(agent, uid, 20)
    assert abs(frequency_hz(heard, RATE_HZ) - 700) < 10
    agent.push_audio_frame(tone(440, 2, RATE_HZ), key="reply")
    assert agent.send_event('{"type": "agent_ready"}', uid=uid)
    assert await asyncio.wait_for(received.get(), DEADLINE_S) == '{"type": "agent_ready"}'
    data.send('{"type": "client_response_create"}')
    await events.wait_for("event", '{"type": "client_response_create"}', uid)
    track = await tracks.get()
    pcm = b""
    async with asyncio.timeout(DEADLINE_S):
        while len(pcm) < 48_000:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            samples = frame.to_ndarray()[0, ::2].astype(np.int16).tobytes()
            pcm += samples if pcm or loudness(samples) > 1000 else b""
    assert abs(frequency_hz(pcm, 48_000) - 440) < 5

    await client.close()
    user, reason = await events.wait_for("user_left")
    assert (user.uid, reason) == (uid, "closed")
    assert [member.uid for member in site.server.rooms()["demo"]] == [AGENT]


@pytest.mark.asyncio
async def test_a_call_with_an_unusable_offer_is_refused_and_the_agent_stays(site: Site) -> None:
    agent, events = await site.join(AGENT, "agent")
    rng = random.Random(2)
    client = RTCPeerConnection()
    client.addTransceiver("audio")
    await client.setLocalDescription(await client.createOffer())
    good = client.localDescription.sdp
    lines = good.splitlines(keepends=True)
    await client.close()
    mangled = ["v=0\r\nm=audio 9 X 1\r\n", good + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"]
    mangled.append(good.replace("opus", "vorbis"))
    mangled.append(good.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 zz"))
    for _ in range(8):
        cut = rng.sample(lines[3:], len(lines) // 2)
        mangled.append("".join(lines[:1] + cut))
    for sdp in mangled:
        before = len(site.server.rooms()["demo"])
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_post_call(site, sdp))
        status, answer = call.result()
        if status == 200:
            # Still a usable offer to aiortc; nobody will ever connect, so hang up.
            site.server.leave("demo", answer["uid"], "closed")
        else:
            assert answer["code"] in {"invalid", "agent_failed"}
        assert len(site.server.rooms()["demo"]) == before
    assert agent.uid in {member.uid for member in site.server.rooms()["demo"]}
    assert events.of("connection_state_changed")[-1] == ("connected",)


@pytest.mark.asyncio
async def test_candidates_that_overtake_the_answering_are_kept(site: Site) -> None:
    agent, _ = await site.join(AGENT, "agent")
    client = RTCPeerConnection()
    client.addTransceiver("audio")
    await client.setLocalDescription(await client.createOffer())
    lines = client.localDescription.sdp.splitlines(keepends=True)
    await client.close()
    bare = "".join(line for line in lines if "candidate" not in line)
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await receive(socket, "joined")
    link = agent._mesh.links[ADA]
    offer = RelayedDescription(sender=ADA, connection_id="c1", sdp_type="offer", sdp=bare)
    text = "candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host"
    # Both in one turn of the loop, as frames that arrive together are handled.
    link.handle_description(offer)
    link.handle_candidate(
        RelayedCandidate(sender=ADA, connection_id="c1", candidate=text, sdp_m_line_index=0)
    )
    await receive(socket, "description")
    peer = link._next
    assert peer is not None
    transport = peer._pc.getTransceivers()[0].receiver.transport.transport
    assert [candidate.port for candidate in transport.getRemoteCandidates()] == [50000]


@pytest.mark.asyncio
async def test_what_a_dead_socket_swallowed_is_said_again(site: Site) -> None:
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await site.join(AGENT, "agent")
    offer = await receive(socket, "description")
    assert await receive(socket, "description") == offer
    client = RTCPeerConnection()
    client.addTransceiver("audio")
    await client.setLocalDescription(await client.createOffer())
    sdp = client.localDescription.sdp
    await client.close()
    mine = {"type": "description", "to": AGENT, "connection_id": "c9", "sdp_type": "offer"}
    answers = []
    for _ in range(2):
        await socket.send_json({**mine, "sdp": sdp})
        # Ours has precedence, but for an offer that the agent repeats meanwhile.
        while (frame := await receive(socket, "description"))["sdp_type"] == "offer":
            pass
        answers.append(frame)
    assert answers[0] == answers[1]
    assert answers[0]["connection_id"] == "c9"


@pytest.mark.asyncio
async def test_a_trickling_client_with_hidden_addresses_connects(site: Site) -> None:
    """As browsers do: addresses come later, and mDNS names stand for some of them."""
    _, events = await site.join(AGENT, "agent")
    use_loopback_candidates()
    client = RTCPeerConnection()
    client.addTransceiver("audio")
    client.createDataChannel("events")
    await client.setLocalDescription(await client.createOffer())
    lines = client.localDescription.sdp.splitlines(keepends=True)
    found = [line.strip()[2:] for line in lines if line.startswith("a=candidate")]
    hidden = "a=candidate:9 1 udp 99 11111111-2222-3333-4444-555555555555.local 50000 typ host\r\n"
    # A complete description would now say that these are all.
    bare = "".join(line for line in lines if "candidate" not in line) + hidden
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await receive(socket, "joined")
    to_agent = {"to": AGENT, "connection_id": "c1"}
    await socket.send_json({"type": "description", "sdp_type": "offer", "sdp": bare, **to_agent})
    for candidate in (hidden.strip()[2:], "candidate:nonsense", found[0], ""):
        frame = {"type": "candidate", "candidate": candidate, "sdp_m_line_index": 0}
        await socket.send_json({**frame, **to_agent})
    answer = await receive(socket, "description")
    assert (answer["connection_id"], answer["sdp_type"]) == ("c1", "answer")
    await client.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    await events.wait_for("user_connected", ADA)
    await client.close()


@pytest.mark.asyncio
async def test_broken_descriptions_from_a_member_do_no_harm(site: Site) -> None:
    agent, events = await site.join(AGENT, "agent")
    socket = await site.socket()
    await socket.send_json({"type": "join", "role": "user", "uid": ADA})
    await receive(socket, "joined")
    for number, sdp in enumerate(("nonsense", "v=0\r\nm=audio 9 X 1\r\na=rtpmap:1 opus/48000\r\n")):
        for kind in ("offer", "answer"):
            frame = {"type": "description", "to": AGENT, "connection_id": f"c{number}"}
            await socket.send_json({**frame, "sdp_type": kind, "sdp": sdp})
    ben, ben_events = await site.join(2)
    await ben_events.wait_for("user_connected", AGENT)
    await events.wait_for("user_connected", 2)
    assert set(agent.remote_users) == {ADA, 2}
    assert ben.remote_users[ADA].uid == ADA
