"""A caller behind a bad network: stock WebRTC that says recorded speech, through a `UdpRelay`."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from rtc.aiortc_hooks.receiver import close_connection, prefer_opus
from rtc.opus import OpusEncoder
from tests.deadlines import DEADLINE_S
from tests.fakes.loopback_candidates import use_loopback_candidates
from tests.fakes.udp_relay import UdpRelay

RATE_HZ = 24_000
FRAME_BYTES = 960
PTIME_S = 0.02


class SpeechTrack(MediaStreamTrack):
    """Sends a packet every 20 ms, of what was queued or of silence."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._encoder = OpusEncoder(RATE_HZ, is_dtx=False, expected_loss_percent=15)
        self._unsaid: deque[bytes] = deque()
        self._said = asyncio.Event()
        self._index = 0
        self._began_s: float | None = None

    async def say(self, pcm: bytes) -> None:
        """Say it in real time; returns when the last of it has left."""
        self._said.clear()
        self._unsaid.extend(
            pcm[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            for at in range(0, len(pcm), FRAME_BYTES)
        )
        await self._said.wait()

    async def recv(self) -> av.Packet[Any]:
        """The next packet, for aiortc's sender."""
        now_s = asyncio.get_running_loop().time()
        if self._began_s is None:
            self._began_s = now_s
        await asyncio.sleep(max(0.0, self._began_s + self._index * PTIME_S - now_s))
        pcm = self._unsaid.popleft() if self._unsaid else bytes(FRAME_BYTES)
        if not self._unsaid:
            self._said.set()
        packet = av.Packet(self._encoder.encode(pcm))
        packet.pts, packet.time_base = self._index * 960, fractions.Fraction(1, 48_000)
        self._index += 1
        return packet


@contextlib.asynccontextmanager
async def calling_through(
    relay: UdpRelay, answer: Callable[[str], Awaitable[str]]
) -> AsyncIterator[SpeechTrack]:
    """Offer, have `answer` make an answer of it, and talk once connected."""
    use_loopback_candidates()
    connection = RTCPeerConnection()
    track = SpeechTrack()
    prefer_opus(connection.addTransceiver(track, "sendrecv"))
    connected = asyncio.Event()
    connection.on(
        "connectionstatechange",
        lambda: connected.set() if connection.connectionState == "connected" else None,
    )
    try:
        await connection.setLocalDescription(await connection.createOffer())
        sdp = await answer(relay.rewrite_offer(connection.localDescription.sdp))
        await connection.setRemoteDescription(
            RTCSessionDescription(relay.rewrite_answer(sdp), "answer")
        )
        async with asyncio.timeout(DEADLINE_S):
            await connected.wait()
        yield track
    finally:
        track.stop()
        await close_connection(connection)


def answering_room(room_url: str, channel_name: str) -> Callable[[str], Awaitable[str]]:
    """Has the agent in a room answer, by the one-request call."""

    async def answer(sdp: str) -> str:
        url = f"{room_url}/rooms/{channel_name}/call"
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, json={"type": "offer", "sdp": sdp}) as response,
        ):
            body = await response.json()
            assert response.status == 200, body
            return str(body["sdp"])

    return answer
