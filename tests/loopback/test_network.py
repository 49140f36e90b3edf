"""A network that breaks in mid-call: noticed within 3 s, healed, and nobody has left."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from rtc.aiortc_hooks.path_monitor import CALM_INTERVAL_S, GIVE_UP_AFTER_S
from rtc.aiortc_hooks.receiver import close_connection
from rtc.channel import Channel, ConnectionState, RtcOptions
from rtc.engine import RtcEngine
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from tests.deadlines import DEADLINE_S
from tests.fakes.media_gate import MediaGate, own_address
from tests.fakes.relayed_call import answering_room
from tests.loopback.conftest import Recorder, Site
from tests.loopback.loop_watch import watching_loop
from tests.rtc.sound import loudness, tone
from utils import OwnedTasks

AGENT, ADA = 1000, 1
PORTS = (29_310, 29_317)
RATE_HZ = 24_000
# Noticed in 2.5 s, half a second for the one who answered to ask, and a handshake on a busy machine.
HEALED_WITHIN_S = 10.0


@dataclass
class Side:
    """A channel that talks all the time, and when it heard the other."""

    channel: Channel
    recorder: Recorder
    heard_at_s: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, uid: int) -> None:
        await self.channel.subscribe_audio(uid)
        async for frame in self.channel.get_audio_frames(uid):
            if loudness(frame.pcm) > 500:
                self.heard_at_s.append(frame.received_at)
                self.news.set()

    async def hear(self, *, after_s: float, frames: int = 25) -> None:
        """Wait until this many loud frames arrived after that moment."""
        async with asyncio.timeout(DEADLINE_S):
            while sum(at_s > after_s for at_s in self.heard_at_s) < frames:
                self.news.clear()
                await self.news.wait()

    def gap_s(self, *, from_s: float) -> float:
        """The longest time without a loud frame since then."""
        times = [from_s, *(at_s for at_s in self.heard_at_s if at_s >= from_s)]
        return max(after - before for before, after in itertools.pairwise(times))


@dataclass
class Talk:
    """Both sides of a call in which both speak."""

    agent: Side
    ada: Side

    async def hear(self, after_s: float) -> None:
        """Until both hear each other after that moment."""
        await asyncio.gather(self.agent.hear(after_s=after_s), self.ada.hear(after_s=after_s))

    async def connected_again(self) -> None:
        await self.agent.recorder.wait_for("user_connected", ADA, count=2)
        await self.ada.recorder.wait_for("user_connected", AGENT, count=2)

    def assert_nobody_left(self) -> None:
        assert self.agent.recorder.of("user_left") == self.ada.recorder.of("user_left") == []


@asynccontextmanager
async def talking(site: Site) -> AsyncIterator[tuple[Talk, MediaGate]]:
    """Agent and Ada speak and hear each other, the agent behind a gate.

    What Ada advertises leads nowhere, so that nothing goes past the gate.
    """
    addresses = MediaNetwork(bind_address=own_address(3), advertised_address=own_address(4))
    ada = MediaOptions(has_loopback=False, network=addresses)
    async with MediaGate(own_address(2), own_address(9), PORTS) as gate, AsyncExitStack() as stack:
        talk = Talk(
            await _join(stack, site, RtcOptions("demo", AGENT), gate.options),
            await _join(stack, site, RtcOptions("demo", ADA, "user"), ada),
        )
        await talk.agent.recorder.wait_for("user_connected", ADA)
        await talk.ada.recorder.wait_for("user_connected", AGENT)
        tasks = OwnedTasks(logging.getLogger("talk"))
        stack.push_async_callback(tasks.close)
        for side, other in ((talk.agent, ADA), (talk.ada, AGENT)):
            tasks.start(side.listen(other), name="listen")
            side.channel.push_audio_frame(tone(440, 60, RATE_HZ))
        await talk.hear(time.monotonic())
        yield talk, gate


async def _join(
    stack: AsyncExitStack, site: Site, options: RtcOptions, media: MediaOptions
) -> Side:
    channel = RtcEngine(site.url, media).create_channel(options)
    stack.push_async_callback(channel.disconnect)
    side = Side(channel, Recorder(channel))
    await channel.connect()
    return side


@pytest.mark.asyncio
@pytest.mark.parametrize(("inwards", "outwards"), [(True, True), (True, False), (False, True)])
async def test_a_dead_path_is_replaced_and_nobody_leaves(
    site: Site, inwards: bool, outwards: bool
) -> None:
    async with talking(site) as (talk, gate), watching_loop() as watch:
        cut_at_s = time.monotonic()
        gate.shut(inwards=inwards, outwards=outwards, present_only=True)
        await talk.connected_again()
        await talk.hear(time.monotonic())
        assert gate.lost > 0
        gaps_s = [side.gap_s(from_s=cut_at_s) for side in (talk.agent, talk.ada)]
        assert max(gaps_s) < HEALED_WITHIN_S
        # A direction that still carries is not interrupted for the sake of the other one.
        if not (inwards and outwards):
            assert min(gaps_s) < 1.5 + watch.held_up_s
        talk.assert_nobody_left()
        print(f"gaps {gaps_s[0]:.2f} s at the agent, {gaps_s[1]:.2f} s at the caller")


@pytest.mark.asyncio
async def test_a_path_that_comes_back_goes_on_at_once(site: Site) -> None:
    """Shut for longer than it takes to call it dead; a successor cannot come up either."""
    async with talking(site) as (talk, gate):
        gate.shut()
        link = talk.agent.channel._mesh.links[ADA]
        await wait_until(lambda: link.peer is not None and not link.peer.is_path_well)
        healed_at_s = time.monotonic()
        gate.open()
        await talk.hear(healed_at_s)
        for side in (talk.agent, talk.ada):
            first_s = min(at_s for at_s in side.heard_at_s if at_s > healed_at_s)
            assert first_s - healed_at_s < 3.0
        talk.assert_nobody_left()


@pytest.mark.asyncio
async def test_media_and_signaling_lost_together_come_back(site: Site) -> None:
    """The offer that is to heal the path has nowhere to go until the room is back."""
    async with talking(site) as (talk, gate):
        await site.stop()
        gate.shut(present_only=True)
        for side, other in ((talk.agent, ADA), (talk.ada, AGENT)):
            await side.recorder.wait_for("connection_state_changed", ConnectionState.DISCONNECTED)
            link = side.channel._mesh.links[other]
            await wait_until(lambda: link.peer is None or not link.peer.is_path_well)  # noqa: B023
        await site.restart()
        await talk.connected_again()
        await talk.hear(time.monotonic())
        talk.assert_nobody_left()


@pytest.mark.asyncio
async def test_a_caller_without_signaling_is_waited_for_and_then_gone(site: Site) -> None:
    """A one-request caller cannot be given another connection."""
    async with MediaGate(own_address(2), own_address(9), PORTS) as gate, AsyncExitStack() as stack:
        options = RtcOptions("demo", AGENT)
        agent = await _join(stack, site, options, gate.options)
        client = RTCPeerConnection()
        stack.push_async_callback(close_connection, client)
        client.addTransceiver("audio")
        await client.setLocalDescription(await client.createOffer())
        # Where the client is, the agent learns through the gate only.
        offer = re.sub(r"a=(candidate:|end-of-candidates).*\r\n", "", client.localDescription.sdp)
        answer = await answering_room(site.url, "demo")(offer)
        await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        (uid,) = await agent.recorder.wait_for("user_connected")
        gate.shut()
        shut_at_s = time.monotonic()
        user, reason = await agent.recorder.wait_for("user_left")
        assert (user.uid, reason) == (uid, "closed")
        assert time.monotonic() - shut_at_s > GIVE_UP_AFTER_S - CALM_INTERVAL_S


async def wait_until(is_true: Callable[[], bool]) -> None:
    """Looks often; for states that nobody announces."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
