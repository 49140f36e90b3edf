"""A call with ourselves, over in a moment: what a first call sets up is there afterwards.

OpenSSL looks its algorithms up on first use, cryptography its types, libopus and libsrtp their
tables, Python fills caches all over. A process that forks agents rehearses before it does, so that
its forks share all of it, where each would make its own. Nothing of the call stays: no task,
descriptor or thread, and its keys are thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from line.timing import PTIME_TICKS
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.opus import OpusEncoder
from rtc.peer.peer import Peer, PeerCallbacks, PeerError, new_connection_id
from rtc.receive.decoder import VoiceDecoder

DEADLINE_S: Final = 3.0
_RATE_HZ: Final = 24_000
_PACKETS: Final = 5
_ON_LOOPBACK: Final = MediaOptions(network=MediaNetwork(bind_address="127.0.0.1"))
_SILENCE: Final = bytes(960)


class _Side:
    """One end of the call, which listens."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.told = asyncio.Event()
        self.peer = Peer(
            new_connection_id(),
            (),
            _ON_LOOPBACK,
            PeerCallbacks(
                on_packet=self._hear,
                on_event=lambda _text: self.told.set(),
                on_event_refused=lambda _reason: None,
                on_path_dead=lambda: None,
            ),
        )
        self._voice = VoiceDecoder(_RATE_HZ)

    def _hear(self, packet: RtpPacket) -> None:
        now_s = asyncio.get_running_loop().time()
        self._voice.add(
            packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload, now_s
        )
        if self._voice.take(now_s):
            self.heard.set()

    def talk(self, encoder: OpusEncoder) -> None:
        for number in range(_PACKETS):
            self.peer.track.send(encoder.encode(_SILENCE), number * PTIME_TICKS)
        self.peer.send_event("{}")

    async def close(self) -> None:
        await self.peer.close()
        self._voice.close()


async def warm_up() -> bool:
    """Connect two peers of this process by loopback, talk both ways, hang up.

    Returns whether all of it came about within `DEADLINE_S`; if not, nothing of it stays either.
    """
    async with contextlib.AsyncExitStack() as stack:
        caller, callee = _Side(), _Side()
        for side in (caller, callee):
            stack.push_async_callback(side.close)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await _talk(caller, callee)
        except (PeerError, OSError, TimeoutError):
            return False
    return True


async def _talk(caller: _Side, callee: _Side) -> None:
    answer = await callee.peer.answer(await caller.peer.offer())
    await caller.peer.accept(answer)
    encoder = OpusEncoder(_RATE_HZ, is_dtx=False)
    for side in (caller, callee):
        await side.peer.connected.wait()
    for side in (caller, callee):
        side.talk(encoder)
    for side in (caller, callee):
        await side.heard.wait()
        await side.told.wait()
