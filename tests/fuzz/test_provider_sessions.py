"""Whatever a provider says, its session lives and what it says next is heard."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import events as ours
from realtime.model import RealtimeModel
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import tone
from tests.fuzz.provider_logs import MARKER, STAGES, Stage, wrong

EXAMPLES = 25


@cache
def log(stage: Stage) -> list[str]:
    return stage.log()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.provider)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_session_survives_what_its_provider_says(stage: Stage, data: st.DataObject) -> None:
    asyncio.run(_talk(stage, data.draw(wrong(log(stage)))))


async def _talk(stage: Stage, frames: list[str]) -> None:
    async with stage.server() as server:
        model, session = await stage.connect(server)
        try:
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                group.create_task(_say(session, frames))
                await _hear(model)
        finally:
            await model.close()


async def _say(session: Any, frames: list[str]) -> None:
    for text in frames:
        await session.send_raw(text)
    await session.say(tone(60), MARKER)


async def _hear(model: RealtimeModel) -> None:
    words: dict[str, str] = {}
    async for event in model.events():
        assert not isinstance(event, ours.SessionEnded)
        fields = {name: value for name, value in asdict(event).items() if name != "pcm"}
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
        if isinstance(event, ours.AudioDelta):
            assert len(event.pcm) % 2 == 0
        if isinstance(event, ours.TranscriptDelta):
            words[event.item_id] = words.get(event.item_id, "") + event.delta
            if words[event.item_id].endswith(MARKER):
                return
    raise AssertionError("what came next was not heard")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.provider)
def test_the_logs_are_sound(stage: Stage) -> None:
    assert len(log(stage)) > 8
    asyncio.run(_talk(stage, log(stage)))
