"""A call with a real agent over a network that fails, moves, or has one port range only."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from rtc.media_network import MediaNetwork
from tests.deadlines import DEADLINE_S
from tests.fakes.networks import PORTS, Network, Talker, some_network, talking
from tests.fakes.openai_session import FakeSession
from tests.loopback.stage import Stage
from tests.rtc.sound import loudness, tone

RATE_HZ = 24_000
LOUD = 500
# Of what is seen on a quiet machine, several times: others may be at work on it.
HEALED_WITHIN_S = 15.0
BACK_WITHIN_S = 5.0


@dataclass
class Call:
    """Agent and caller talk to each other all the time."""

    network: Network
    stage: Stage
    session: FakeSession
    caller: Talker

    def model_heard_at_s(self) -> list[float]:
        """When loud pieces of the caller's voice reached the model."""
        return [
            event.at_s
            for event in self.session.received
            if event.type == "input_audio_buffer.append"
            and loudness(base64.b64decode(event.frame["audio"])) > LOUD
        ]

    def gaps_s(self, from_s: float) -> tuple[float, float]:
        """The longest silence since then: at the caller, at the model."""
        return _gap_s(self.caller.heard_at_s, from_s), _gap_s(self.model_heard_at_s(), from_s)

    async def hear(self, after_s: float) -> None:
        """Until both sides hear each other after that moment."""
        await self.caller.hear(after_s=after_s)
        async with asyncio.timeout(DEADLINE_S):
            while sum(at_s > after_s for at_s in self.model_heard_at_s()) < 25:
                count = len(self.session.all_of("input_audio_buffer.append"))
                await self.session.wait_for("input_audio_buffer.append", count + 10)

    def assert_same_conversation(self) -> None:
        """Nobody left, and the model has one session still."""
        assert self.caller.left == []
        assert self.stage.agent is not None
        assert self.stage.provider.sessions == [self.session]

    def assert_own_ports_only(self) -> None:
        """The agent offers addresses within its range of ports."""
        assert self.stage.agent is not None
        peer = self.stage.channel._mesh.links[7].peer
        assert peer is not None
        lines = peer._pc.localDescription.sdp.splitlines()
        ports = {int(line.split()[5]) for line in lines if line.startswith("a=candidate")}
        assert ports
        assert ports <= set(range(PORTS[0], PORTS[1] + 1))


def _gap_s(times_s: list[float], from_s: float) -> float:
    times_s = [from_s, *(at_s for at_s in times_s if at_s >= from_s)]
    return max(after - before for before, after in itertools.pairwise(times_s))


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call]:
    async with some_network() as network, Stage(host="0.0.0.0") as stage:
        session = await stage.start(media=MediaNetwork(**network.agent_media))
        port = stage.room_url.rpartition(":")[2]
        async with talking(network, f"http://{network.room_host}:{port}") as caller:
            await session.say(tone(440, 60, RATE_HZ), "la la", delta_ms=1000)
            call = Call(network, stage, session, caller)
            await call.hear(time.monotonic())
            yield call


@pytest.mark.asyncio
async def test_a_path_cut_for_5_s_comes_back_in_the_same_conversation(call: Call) -> None:
    call.network.cut()
    cut_at_s = time.monotonic()
    await asyncio.sleep(5)
    call.network.heal()
    healed_at_s = time.monotonic()
    await call.hear(healed_at_s)
    lengths = [gap_s - (healed_at_s - cut_at_s) for gap_s in call.gaps_s(cut_at_s)]
    print(
        f"{call.network.kind}: heard again {lengths[0]:.2f} s (caller), {lengths[1]:.2f} s (model)"
    )
    assert max(lengths) < BACK_WITHIN_S
    call.assert_same_conversation()


@pytest.mark.asyncio
async def test_a_caller_with_another_address_goes_on_in_the_same_conversation(call: Call) -> None:
    call.assert_own_ports_only()
    moved_at_s = time.monotonic()
    await call.network.move(call.caller)
    await call.hear(moved_at_s + 1)
    gaps_s = call.gaps_s(moved_at_s)
    print(f"{call.network.kind}: gaps {gaps_s[0]:.2f} s (caller), {gaps_s[1]:.2f} s (model)")
    assert max(gaps_s) < HEALED_WITHIN_S
    assert call.caller.connected >= 2
    call.assert_own_ports_only()
    call.assert_same_conversation()
