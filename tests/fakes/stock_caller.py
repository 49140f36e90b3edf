"""A stock WebRTC client on this machine, whose offer may be changed before it is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from rtc.aiortc_hooks.receiver import close_connection
from tests.fakes.loopback_candidates import use_loopback_candidates

Munge = Callable[[str], str]


def sections_of(sdp: str) -> tuple[str, list[str]]:
    """What comes before the media sections, and these."""
    head, *sections = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    return head, sections


class StockCaller:
    """Offer, be answered, and talk over data channels. `close` at the end."""

    def __init__(
        self, labels: Sequence[str] = ("events",), munge: Munge = lambda offer: offer
    ) -> None:
        use_loopback_candidates()
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.transceiver = self.connection.addTransceiver("audio")
        self.channels = [self.connection.createDataChannel(label) for label in labels]
        self.received: asyncio.Queue[tuple[str, str | bytes]] = asyncio.Queue()
        self._munge = munge
        for channel in self.channels:
            self._listen(channel)

    def _listen(self, channel: RTCDataChannel) -> None:
        channel.on("message", lambda text: self.received.put_nowait((channel.label, text)))

    async def offer(self) -> str:
        """The changed offer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self._munge(self.connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take an answer to the changed offer as one to our own: its order, its mids, its group."""
        _, own = sections_of(self.connection.localDescription.sdp)
        head, answered = sections_of(answer)
        ordered: list[str] = []
        for section in own:
            mid, kind = re.search(r"a=mid:\S+", section), section.split(" ")[0]
            assert mid is not None
            found = [one for one in answered if f"{mid[0]}\r\n" in one and one.startswith(kind)]
            bare = [one for one in answered if "a=mid:" not in one and one.startswith(kind)]
            ordered.append((found or [bare[0] + f"{mid[0]}\r\n"])[0])
        mids = " ".join(str(number) for number in range(len(own)))
        head = re.sub(r"a=group:[^\r\n]*\r\n", "", head) + f"a=group:BUNDLE {mids}\r\n"
        sdp = head + "".join(ordered)
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def wait_open(self) -> None:
        """Until each data channel is."""
        for channel in self.channels:
            if channel.readyState != "open":
                opened = asyncio.Event()
                channel.on("open", opened.set)
                await opened.wait()

    async def close(self) -> None:
        """Hang up."""
        await close_connection(self.connection)
