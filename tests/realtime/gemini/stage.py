"""A mapper of Gemini's messages, fed frame by frame."""

from __future__ import annotations

import itertools
import json

from realtime.events import ModelEvent
from realtime.gemini import wire
from realtime.gemini.mapping import GeminiMapper
from realtime.gemini.tool_calls import ToolCallTracker
from tests.fakes import gemini_frames as fake

PCM = b"\1\0\2\0"
SPEECH_MS = 2_000
END = fake.content(turnComplete=True)


class Stage:
    """A mapper with readable ids and a clock that stands still."""

    def __init__(self, *, is_manual: bool = False, sent_ms: int = SPEECH_MS) -> None:
        numbers = itertools.count(1)
        self.tool_calls = ToolCallTracker([], is_blocking=True)
        self.mapper = GeminiMapper(
            self.tool_calls,
            input_sample_rate_hz=16_000,
            output_sample_rate_hz=24_000,
            is_manual=is_manual,
            make_id=lambda prefix: f"{prefix}{next(numbers)}",
        )
        self.mapper.note_audio(sent_ms * 32)
        self.now_s = 100.0

    def feed(self, *frames: fake.Frame) -> list[ModelEvent]:
        parsed = (wire.parse(json.dumps(frame)) for frame in frames)
        return [event for each in parsed for event in self.mapper.map(each, now_s=self.now_s)]


def activity(kind: str, offset: str | None = None) -> fake.Frame:
    return {"voiceActivity": {"type": kind} | ({"audioOffset": offset} if offset else {})}
