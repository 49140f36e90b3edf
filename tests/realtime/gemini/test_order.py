"""Gemini promises no order: whatever comes, turns are whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime import events as ours
from realtime.gemini.mapping import LATE_S
from tests.fakes import gemini_frames as fake
from tests.realtime.gemini.stage import END, PCM, Stage, activity

_FRAMES = [
    fake.heard("a"),
    fake.heard("", finished=True),
    fake.audio(PCM),
    fake.spoken("b"),
    fake.content(),
    fake.content(interrupted=True),
    fake.content(generationComplete=True),
    END,
    fake.content(interactionStatus="IDLE"),
    fake.calls({"name": "f"}),
    activity("ACTIVITY_START"),
    activity("ACTIVITY_END"),
    {"toolCallCancellation": {"ids": ["call1"]}},
]


@given(st.lists(st.sampled_from(_FRAMES), max_size=30), st.booleans())
def test_whatever_the_order_turns_are_whole(frames: list[fake.Frame], is_slow: bool) -> None:
    stage = Stage()
    active: str | None = None
    speaking: set[str] = set()
    over: set[str] = set()
    for frame in [*frames, END]:
        stage.now_s += LATE_S * 2 if is_slow else 0.0
        for event in stage.feed(frame):
            match event:
                case ours.ResponseCreated(response_id):
                    assert active is None
                    assert response_id not in over
                    active = response_id
                case ours.AudioDelta() | ours.TranscriptDelta() | ours.ToolCallRequested():
                    assert event.response_id == active
                case ours.ResponseDone(response_id):
                    assert response_id == active
                    over.add(response_id)
                    active = None
                case ours.SpeechStarted(item_id):
                    assert item_id not in over
                    speaking.add(item_id)
                case ours.SpeechStopped(item_id):
                    speaking.remove(item_id)
                case ours.InputTranscriptDone() | ours.InputTranscriptFailed():
                    assert event.item_id not in over
                    over.add(event.item_id)
                case _:
                    pass
        assert len(speaking) <= 1
    assert active is None
