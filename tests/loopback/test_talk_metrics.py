"""Pauses, and both voices at once, are measured in a real call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conversation.talk_clock import PAUSE_S
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Person, Stage, soon
from tests.loopback.test_interruption import open_scene
from utils import wall_clock_ms


@pytest.mark.asyncio
async def test_a_voice_over_the_other_and_a_silence_are_told_when_they_are_over() -> None:
    async with Stage() as stage:
        scene = await open_scene(stage, interrupt={"mode": "never"})
        began_ms = wall_clock_ms()
        await scene.begin_reply(tone(3_000), "one two three", pace=1.0)
        scene.person.channel.push_audio_frame(tone(900, hz=300), key=object())
        told = await measured(scene.person, "overlap")
        assert 200 <= told["duration_ms"] < 3_000
        assert began_ms < told["began_at_ms"] < wall_clock_ms()
        assert scene.saying is not None
        await soon(scene.saying)
        await scene.person.wait_event("agent_playout_done")
        # Nobody speaks for as long as makes a pause; its end is what is told.
        await asyncio.sleep(PAUSE_S + 0.3)
        await scene.begin_reply(tone(500), "four")
        pause = await measured(scene.person, "pause")
        assert pause["duration_ms"] > PAUSE_S * 1000


async def measured(person: Person, kind: str) -> dict[str, Any]:
    """The first of this kind."""

    def found() -> list[dict[str, Any]]:
        return [one for one in person.all_of("agent_talk_measured") if one["kind"] == kind]

    await person.until(found)
    return found()[0]
