"""Turns taken by hand, the same with every provider: only what is said while pushing is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import tone
from tests.loopback.provider_sides import (
    SCRIPTED_SIDES,
    AnySide,
    LocalSide,
    OpenSide,
    ScriptedSide,
    local,
)
from tests.loopback.stage import Person, Stage, soon
from tests.speech.talk import spoken

# Made beforehand: it takes long, and the call would stand still meanwhile.
QUESTION, ANSWER, STORY = tone(400, hz=300), tone(300), tone(8_000)
# Of 400 ms of a tone; the samples near its zeros do not count as loud.
HEARD_MS = 280
STORY_WORDS = " ".join(f"word{number}" for number in range(60))


class Pusher:
    """Somebody who pushes to talk. heard_ms: how much of all that was said the model has"""

    def __init__(self, stage: Stage, person: Person, heard_ms: Callable[[], float]) -> None:
        self._stage = stage
        self._person = person
        self._heard_ms = heard_ms

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - a look, there is no event
                await asyncio.sleep(0.01)

    async def start(self) -> None:
        assert self._stage.agent is not None
        hearing = self._stage.agent._session.parts.audio_input
        self._person.send(type="client_activity_start")
        await self.until(lambda: hearing.is_any_active)

    async def say(self, pcm: bytes, heard_ms: float = HEARD_MS) -> None:
        """Push, speak, let go when so much of it was heard."""
        await self.start()
        before_ms = self._heard_ms()
        self._person.channel.push_audio_frame(pcm, key=object())
        await self.until(lambda: self._heard_ms() >= before_ms + heard_ms)
        self._person.send(type="client_activity_end")


@pytest.mark.asyncio
@pytest.mark.parametrize("open_side", SCRIPTED_SIDES)
async def test_turns_are_taken_by_hand(open_side: OpenSide) -> None:
    async with open_side() as side, Stage() as stage:
        assert isinstance(side, ScriptedSide)
        person = await start(side, stage)
        pusher = Pusher(stage, person, side._voice_ms)

        # Who does not push is not heard, however long the line has been open.
        all_sent = asyncio.Event()
        person.channel.once("playout_done", lambda _key: all_sent.set())
        person.channel.push_audio_frame(QUESTION, key="unheard")
        person.channel.finish_audio("unheard")
        await soon(all_sent.wait())
        await soon(stage_heard(stage, 600))
        assert side._voice_ms() == 0

        side._now.reply_with = lambda session: session.say(STORY, STORY_WORDS, pace=0.8)
        await pusher.say(QUESTION)
        await person.wait_loud(600)

        # A push silences the agent before a word is said.
        side._now.reply_with = lambda session: session.say(ANSWER, "Yes.")
        await pusher.start()
        interrupted = await person.wait_event("agent_interrupted")
        assert interrupted["heard"]
        assert STORY_WORDS.startswith(interrupted["heard"])
        before_ms = person.loud_ms
        await pusher.say(QUESTION)
        done = await person.wait_event("agent_playout_done")
        assert done["item_id"] != interrupted["item_id"]
        await person.wait_loud(before_ms + 250)

        # A touch is no turn, and spoils none.
        person.send(type="client_activity_start")
        person.send(type="client_activity_end")
        assert (await person.wait_event("agent_error"))["code"] == "activity_too_short"
        await pusher.say(QUESTION)
        await person.wait_event("agent_playout_done", 2)
        # Each of the three turns was measured, from the end of the push on.
        measured = await person.wait_event("agent_turn_measured", 3)
        assert measured["timings"]["turn"] == 3
        assert measured["timings"]["endpoint_to_first_byte_ms"] >= 0
        assert stage.agent is not None
        made_up_ms = 20 * stage.channel._audio[7].statistics.concealed
        assert side._voice_ms() <= 3 * 400 + made_up_ms, "more was heard than was said pushing"
        await side.close()


@pytest.mark.asyncio
@pytest.mark.speech
async def test_the_local_model_takes_turns_by_hand() -> None:
    async with local() as side, Stage() as stage:
        assert isinstance(side, LocalSide)
        person = await start(side, stage)
        question = await asyncio.to_thread(spoken, "How much is five plus two?")
        assert stage.agent is not None
        hearing = stage.agent._session.parts.audio_input
        pusher = Pusher(stage, person, lambda: hearing.activity_ms)
        # A little longer than it is: silence says nothing else.
        await pusher.say(question, len(question) / 48 + 400)
        understood = await person.wait_event("agent_input_transcription_done")
        assert "plus" in understood["transcript"]
        await person.wait_event("agent_playout_done")


async def start(side: AnySide, stage: Stage) -> Person:
    """An agent with manual turns, and somebody in its room who knows of them."""
    await stage.run_until_ready(provider=side.config, turn_detection={"type": "none"})
    await side.attach()
    person = await stage.join()
    assert (await person.wait_event("agent_ready"))["has_manual_turns"]
    return person


async def stage_heard(stage: Stage, duration_ms: float) -> None:
    """The agent received so much of its first user."""
    assert stage.agent is not None
    channel = stage.channel
    uid = next(iter(channel.remote_users))
    begin = channel._audio[uid].statistics.frames
    while channel._audio[uid].statistics.frames < begin + duration_ms / 20:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
