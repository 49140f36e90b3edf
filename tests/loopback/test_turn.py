"""Media through a real coturn: with credentials of its REST scheme, and with none that are good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from rtc.channel import Channel, RtcOptions
from rtc.engine import RtcEngine
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.room_server.ice_servers import IceServers
from tests.deadlines import DEADLINE_S
from tests.fakes.coturn import SECRET, Coturn, running_coturn
from tests.loopback.conftest import OpenSite, Recorder, Site
from tests.rtc.sound import frequency_hz, loudness, tone

AGENT, ADA = 1000, 1
RATE_HZ = 24_000
RELAY_ONLY = MediaOptions(network=MediaNetwork(is_relay_only=True))


@pytest_asyncio.fixture
async def coturn(tmp_path: Path) -> AsyncIterator[Coturn]:
    async with running_coturn(tmp_path) as coturn:
        yield coturn


@asynccontextmanager
async def joined(site: Site, media: MediaOptions) -> AsyncIterator[list[tuple[Channel, Recorder]]]:
    """An agent and a person in the room, both by `media`."""
    async with AsyncExitStack() as stack:
        parties = []
        for options in (RtcOptions("demo", AGENT), RtcOptions("demo", ADA, "user")):
            channel = RtcEngine(site.url, media).create_channel(options)
            stack.push_async_callback(channel.disconnect)
            parties.append((channel, Recorder(channel)))
            await channel.connect()
        yield parties


async def _hear(channel: Channel, uid: int) -> float:
    """The pitch of what `uid` says."""
    pcm = b""
    async with asyncio.timeout(DEADLINE_S):
        async for frame in channel.get_audio_frames(uid):
            if loudness(frame.pcm) > 1000:
                pcm += frame.pcm
            if len(pcm) > RATE_HZ:
                return frequency_hz(pcm, RATE_HZ)
    raise AssertionError("the stream ended")


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_relay_only_call_carries_both_voices(
    coturn: Coturn, open_site: OpenSite, transport: str
) -> None:
    servers = IceServers(turn_urls=(coturn.url(transport),), turn_secret=SECRET)
    async with joined(await open_site(ice_servers=servers), RELAY_ONLY) as parties:
        (agent, _), (ada, _) = parties
        for (_, recorder), other in zip(parties, (ADA, AGENT), strict=True):
            await recorder.wait_for("user_connected", other)
        await agent.subscribe_audio(ADA)
        await ada.subscribe_audio(AGENT)
        agent.push_audio_frame(tone(440, 1.5, RATE_HZ))
        ada.push_audio_frame(tone(1000, 1.5, RATE_HZ))
        at_agent, at_ada = await asyncio.gather(_hear(agent, ADA), _hear(ada, AGENT))
        assert abs(at_agent - 1000) < 10
        assert abs(at_ada - 440) < 10
        peer = agent._mesh.links[ADA].peer
        assert peer is not None
        sdp = peer._pc.localDescription.sdp
        assert "typ relay" in sdp
        assert "typ host" not in sdp
    # Each participant came with a name of its own.
    for uid in (AGENT, ADA):
        await coturn.wait_for(f":{uid}>")


class _Warnings(logging.Handler):
    """What the gathering of addresses complains about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.text.put_nowait(record.getMessage())


@pytest.fixture
def warnings() -> Iterator[asyncio.Queue[str]]:
    handler, logger = _Warnings(), logging.getLogger("rtc.aiortc_hooks.ice_gathering")
    logger.addHandler(handler)
    yield handler.text
    logger.removeHandler(handler)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("secret", "ttl_s", "cause"),
    [(SECRET, -60, "the credentials expired"), ("not coturn's secret", 60, "TURN_SECRET")],
)
async def test_bad_credentials_are_refused_and_the_log_says_why(
    coturn: Coturn,
    open_site: OpenSite,
    warnings: asyncio.Queue[str],
    secret: str,
    ttl_s: int,
    cause: str,
) -> None:
    servers = IceServers(turn_urls=(coturn.url(),), turn_secret=secret, turn_ttl_s=ttl_s)
    async with joined(await open_site(ice_servers=servers), RELAY_ONLY) as parties:
        async with asyncio.timeout(DEADLINE_S):
            warning = await warnings.get()
        assert parties[0][1].of("user_connected") == []
    assert coturn.url() in warning
    assert "401" in warning
    assert cause in warning
    assert secret not in warning
