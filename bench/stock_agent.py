"""The yardstick: our agent with aiortc's own media path in place of ours.

`python -m bench.stock_agent ROOM_URL MODEL_URL CHANNEL UID`: aiortc's receiver with its jitter
buffer and decoder thread, its sender with its encoder, fed with 24 kHz frames. Room, session, model
connection and pacing stay ours, so that only the media path differs. Ends when its room does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import logging
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from pydantic import SecretStr

import rtc.channel
import rtc.peer.link
import rtc.peer.peer
from agent import RealtimeKitAgent
from config.agent import AgentConfig
from config.providers import ProviderConfig
from rtc.options import MediaOptions
from rtc.opus import OpusEncoder
from rtc.peer.peer import Peer, PeerCallbacks
from rtc.receive.remote_audio import RemoteAudio
from rtc.signaling.protocol import IceServer
from utils import OwnedTasks

RATE_HZ: Final = 24_000
FRAME_BYTES: Final = 960
_MAX_WAITING: Final = 25
_LOG = logging.getLogger("stock")


class _NoEncoder(OpusEncoder):
    """Hands frames through unencoded, for aiortc to encode."""

    def encode(self, pcm: bytes) -> bytes:
        return pcm


class _StockTrack(MediaStreamTrack):
    """Frames of 24 kHz PCM for aiortc's sender."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames: deque[av.AudioFrame] = deque(maxlen=_MAX_WAITING)
        self._wake = asyncio.Event()
        self._samples = 0

    def send(self, payload: bytes, *_rest: Any) -> None:
        """Queue a frame of PCM."""
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(payload) // 2)
        frame.planes[0].update(payload)
        frame.sample_rate, frame.pts = RATE_HZ, self._samples
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._samples += frame.samples
        self._frames.append(frame)
        self._wake.set()

    async def recv(self) -> av.AudioFrame:
        """The next frame, for aiortc's sender."""
        while not self._frames:
            if self.readyState != "live":
                raise MediaStreamError
            self._wake.clear()
            await self._wake.wait()
        return self._frames.popleft()

    def stop(self) -> None:
        """End the track; a waiting `recv` ends too."""
        super().stop()
        self._wake.set()


@dataclass
class _Decoded:
    """A frame from aiortc's decoder, and what is kept between frames."""

    frame: av.AudioFrame
    resampler: av.AudioResampler
    rest: bytearray


class _StockAudio(RemoteAudio):
    """Takes decoded frames instead of packets, and cuts them into 20 ms at our rate."""

    def handle_packet(self, packet: Any) -> None:
        if not self.is_subscribed:
            return
        rest = packet.rest
        for piece in packet.resampler.resample(packet.frame):
            rest += bytes(piece.planes[0])[: piece.samples * 2]
        while len(rest) >= FRAME_BYTES:
            self._put([bytes(rest[:FRAME_BYTES])], self._loop.time())
            del rest[:FRAME_BYTES]

    def handle_connected(self) -> None:
        """aiortc fills nothing, so neither do we."""


class _StockPeer(Peer):
    """A peer whose received track is read as aiortc gives it."""

    def __init__(
        self,
        connection_id: str,
        ice_servers: Sequence[IceServer],
        media: MediaOptions,
        callbacks: PeerCallbacks,
    ) -> None:
        super().__init__(connection_id, ice_servers, media, callbacks)
        self._reading = OwnedTasks(_LOG)
        self._pc.on("track", self._read)

    def _read(self, track: MediaStreamTrack) -> None:
        self._reading.start(self._pump(track), name="stock track")

    async def _pump(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        rest = bytearray()
        on_frame: Any = self._callbacks.on_packet
        with contextlib.suppress(MediaStreamError):
            while True:
                on_frame(_Decoded(await track.recv(), resampler, rest))  # type: ignore[arg-type]

    async def close(self) -> None:
        await self._reading.close()
        await super().close()


def use_stock_media() -> None:
    """From now on channels of this process use aiortc's media path."""
    for module, name, stock in (
        (rtc.peer.peer, "OpusTrack", _StockTrack),
        (rtc.peer.peer, "tap_receiver", lambda *_: None),
        (rtc.peer.link, "Peer", _StockPeer),
        (rtc.peer.peer, "feed_sender", lambda *_: None),
        (rtc.channel, "OpusEncoder", _NoEncoder),
        (rtc.channel, "RemoteAudio", _StockAudio),
    ):
        assert hasattr(module, name), f"{module.__name__} has no {name}: bring the yardstick along"
        setattr(module, name, stock)


async def run(room_url: str, model_url: str, channel_name: str, uid: int) -> None:
    """Live as the room lets us."""
    use_stock_media()
    provider = ProviderConfig(
        name="openai", model="gpt-realtime", base_uri=model_url, api_key=SecretStr("sk-bench")
    )
    config = AgentConfig(
        agent_id="stock",
        channel_name=channel_name,
        uid=uid,
        room_url=room_url,
        provider=provider,
        user_wait_s=120,
    )
    await RealtimeKitAgent(config).run()


if __name__ == "__main__":
    # aiortc complains when both sides close at once; of an agent that is stopped this says nothing.
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
