"""The way to a listener is measured from its RTCP, and counts as not heard. Real WebRTC."""

from __future__ import annotations

import pytest

from line.playout.listener_delay import ASSUMED_PLAYOUT_S
from tests.deadlines import DEADLINE_S
from tests.fakes.relayed_call import answering_room, calling_through
from tests.fakes.udp_relay import Conditions, UdpRelay
from tests.loopback.conftest import Site
from tests.loopback.loop_watch import watching_loop
from tests.real_server import poll
from tests.rtc.sound import tone

AGENT = 1000
RATE_HZ = 24_000
ONE_WAY_MS = 120
ASSUMED_MS = ASSUMED_PLAYOUT_S * 1000


@pytest.mark.asyncio
async def test_the_way_to_a_plain_listener_is_measured_and_counts_as_not_heard(site: Site) -> None:
    agent, events = await site.join(AGENT, "agent")
    relay = UdpRelay(Conditions(delay_s=ONE_WAY_MS / 1000, has_rtcp=True))
    call = calling_through(relay, answering_room(site.url, "demo"))
    async with relay, watching_loop() as watch, call:
        user, *_ = await events.wait_for("user_joined")
        await events.wait_for("user_connected", user.uid)
        agent.push_audio_frame(tone(440, 30, RATE_HZ), key="long")

        async def is_measured() -> bool:
            return heard_after_ms() >= ONE_WAY_MS

        def heard_after_ms() -> float:
            return agent.statistics().users[user.uid].heard_after_ms or 0.0

        # Reports come about once a second and nobody is told of them.
        await poll(is_measured, DEADLINE_S)
        after_ms = heard_after_ms()
        (cut,) = agent.clear_sender_audio_buffer()
        late_ms = watch.held_up_ms
        # A busy machine adds to it, nothing can take from it.
        assert after_ms < 2 * ONE_WAY_MS + ASSUMED_MS + late_ms
        in_flight_ms = cut.in_flight_samples * 1000 / RATE_HZ
        assert ONE_WAY_MS - late_ms <= in_flight_ms <= after_ms + 60 + late_ms
        assert cut.heard_ms == pytest.approx(cut.played_ms - in_flight_ms)
