"""Much that comes at once: what is to be heard does not wait for the rest."""

from __future__ import annotations

import asyncio

import pytest

from realtime import events as ours
from realtime.model import Capabilities, RealtimeModelConfig
from realtime.resilience.model import ResilientModel
from tests.deadlines import DEADLINE_S
from tests.realtime.resilience.stage import FAST
from tests.realtime.scripted_model import Provider

CONFIG = RealtimeModelConfig("m", "ws://127.0.0.1:9")


def _audio(pcm: bytes) -> ours.AudioDelta:
    return ours.AudioDelta("r1", "a1", 0, pcm, 24_000)


@pytest.mark.asyncio
async def test_audio_is_passed_on_before_the_rest_of_a_burst_is_read() -> None:
    provider = Provider(Capabilities(24_000, 24_000))
    model = ResilientModel(provider.create, options=FAST)
    await model.connect(CONFIG)
    session = await provider.opened.get()
    burst: list[ours.ModelEvent] = [
        ours.ResponseCreated("r1"),
        ours.TranscriptDelta("r1", "a1", 0, "Good"),
        _audio(b"\1\0"),
        ours.TranscriptDelta("r1", "a1", 0, " day"),
        _audio(b"\2\0"),
        ours.AudioDone("r1", "a1", 0),
        ours.ResponseDone("r1", ours.ResponseStatus.COMPLETED),
    ]
    session.say(*burst)
    seen: list[ours.ModelEvent] = []
    unread_at_audio: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in model.events():
            seen.append(event)
            if isinstance(event, ours.AudioDelta):
                unread_at_audio.append(session.unread)
            if isinstance(event, ours.ResponseDone):
                break
    await model.close()
    assert seen[-len(burst) :] == burst
    assert unread_at_audio == [4, 2]
