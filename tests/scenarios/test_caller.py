"""A simulated person in a real room with a real agent, whose model is scripted."""

from __future__ import annotations

import asyncio

import pytest

from scenarios.caller import Caller, CallerError
from scenarios.format import Network, Noise
from scenarios.sound import SAMPLE_RATE_HZ, rms
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage, soon

WORDS = "one two three four five six seven eight nine ten"


@pytest.mark.asyncio
async def test_what_the_agent_says_is_heard_and_its_words_are_placed() -> None:
    async with Stage() as stage, Caller(stage.room_url, "demo", name="ann", uid=7) as caller:
        session = await stage.start()
        await soon(caller.join())
        start_s = asyncio.get_running_loop().time()
        saying = asyncio.get_running_loop().create_task(session.say(tone(3000), WORDS))
        assert await caller.until_speaking(within_s=DEADLINE_S, since_s=start_s)
        assert await caller.until_heard("three", within_s=DEADLINE_S, since_s=start_s)
        assert not caller.log.has_heard("ten", start_s, 0.0)
        assert await caller.until_answered(start_s, quiet_s=0.3, within_s=DEADLINE_S)
        await saying
        assert caller.heard.loud_ms(start_s) > 2000
        (reply,) = caller.log.replies_since(start_s)
        assert (reply.transcript, reply.is_played) == (WORDS, True)
        assert caller.latency_s(start_s) is not None


@pytest.mark.asyncio
async def test_what_the_person_says_is_heard_by_the_model() -> None:
    async with Stage() as stage, Caller(stage.room_url, "demo", uid=7) as caller:
        session = await stage.start()
        await soon(caller.join())
        utterance = await soon(caller.say(tone(600) + bytes(SAMPLE_RATE_HZ), "a tone"))
        await soon(session.wait_loud(500))
        assert utterance.began_s is not None
        assert utterance.ended_s is not None
        # Its silence at the end is not counted.
        assert utterance.ended_s - utterance.began_s > 0.5
        assert caller.sent[0][1] == utterance.pcm


@pytest.mark.asyncio
async def test_a_person_in_noise_sends_it_all_the_time_and_speaks_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noise = Noise(snr_db=6)
    async with Stage() as stage, Caller(stage.room_url, "demo", uid=7, noise=noise) as caller:
        session = await stage.start()
        await soon(caller.join())
        # One sample in 25 of this noise is loud; of silence none is.
        await soon(session.wait_loud(40))
        pcm = tone(500)
        utterance = await soon(caller.say(pcm))
        assert utterance.ended_s is not None
        caller.stop_speaking()
        levels = [rms(sent) for _, sent in caller.sent]
        assert max(levels) > 2 * min(level for level in levels if level)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


@pytest.mark.asyncio
async def test_a_bad_network_loses_some_and_lets_the_rest_through() -> None:
    network = Network(loss=0.2, jitter_ms=20, seed=5)
    async with Stage() as stage, Caller(stage.room_url, "demo", uid=7, network=network) as caller:
        session = await stage.start()
        await soon(caller.join())
        await soon(caller.say(tone(2000)))
        await soon(session.wait_loud(800))
        await soon(session.say(tone(2000), WORDS))
        assert await caller.until_quiet(0.3, within_s=DEADLINE_S)
        await caller.leave()
        assert caller.statistics is not None
        assert caller.statistics.packets_lost > 0
        users = stage.channel.statistics().users
        assert 7 not in users or users[7].packets_lost > 0
        assert caller.heard.loud_ms(0.0) > 1000


@pytest.mark.asyncio
@pytest.mark.parametrize("hangs_up", [False, True])
async def test_silence_falls_in_the_middle_of_a_word(*, hangs_up: bool) -> None:
    async with Stage() as stage, Caller(stage.room_url, "demo", uid=7) as caller:
        session = await stage.start()
        await soon(caller.join())
        saying = asyncio.get_running_loop().create_task(caller.say(tone(60_000)))
        await soon(session.wait_loud(200))
        if hangs_up:
            await caller.leave()
        else:
            caller.stop_speaking()
        utterance = await soon(saying)
        assert utterance.ended_s is not None


@pytest.mark.asyncio
async def test_a_room_without_an_agent_is_named() -> None:
    async with Stage() as stage:
        async with Caller(stage.room_url, "empty", name="ann") as caller:
            with pytest.raises(CallerError, match="ann: no agent in this channel"):
                await caller.join(within_s=0.5)
        async with Caller("http://127.0.0.1:9", "empty", name="ann") as caller:
            with pytest.raises(CallerError, match="ann cannot join"):
                await caller.join()
