"""Commands as Gemini's messages: what goes out when, and what cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.gemini import wire
from realtime.gemini.commands import GO_ON, MAX_HELD, CommandWriter, Messages, tool_response
from realtime.gemini.images import ImageLimiter
from realtime.gemini.model_quirks import quirks_of
from realtime.gemini.tool_calls import MAX_REMEMBERED, ToolCallTracker
from realtime.model import UnsupportedCommandError
from tests.fakes import gemini_frames as fake

OLD_WAY = "gemini-3.1-flash-live-preview"
AUDIO = ours.AppendAudio(b"\1\0")
AUDIO_FRAME = ("realtimeInput", {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AQA="}})
START: Any = ("realtimeInput", {"activityStart": {}})
END: Any = ("realtimeInput", {"activityEnd": {}})


def told(messages: Messages) -> list[tuple[str, fake.Frame]]:
    """What the server reads."""
    return [fake.read(wire.serialize(message)) for message in messages]


def content(*turns: tuple[str, str], is_complete: bool) -> tuple[str, fake.Frame]:
    parts = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return "clientContent", ({"turns": parts} if turns else {}) | {"turnComplete": is_complete}


class Desk:
    """A writer and what it wrote."""

    def __init__(self, model: str = "gemini-3.8-live", *, is_manual: bool = False) -> None:
        quirks = quirks_of(model)
        self.tool_calls = ToolCallTracker([], is_blocking=quirks.has_blocking_tools)
        self.writer = CommandWriter(
            quirks, self.tool_calls, is_manual=is_manual, input_sample_rate_hz=16_000
        )

    def write(
        self, *commands: ModelCommand, is_replying: bool = False, now_s: float = 0.0
    ) -> list[tuple[str, fake.Frame]]:
        written = (
            self.writer.write(each, is_replying=is_replying, now_s=now_s) for each in commands
        )
        return [frame for messages in written for frame in told(messages)]

    def reply(self, instructions: str | None = None) -> list[tuple[str, fake.Frame]]:
        return told(self.writer.reply(instructions))


# -- speech ------------------------------------------------------------------------------------


def test_speech_flows_and_a_commit_ends_the_stream() -> None:
    written = Desk().write(AUDIO, AUDIO, ours.CommitAudio(), ours.ClearAudio())
    assert written == [AUDIO_FRAME, AUDIO_FRAME, ("realtimeInput", {"audioStreamEnd": True})]


def test_manual_turns_begin_with_their_first_audio_and_end_with_a_commit() -> None:
    desk = Desk(is_manual=True)
    turn = desk.write(ours.CommitAudio(), ours.ClearAudio(), AUDIO, AUDIO, ours.CommitAudio())
    assert turn == [START, AUDIO_FRAME, AUDIO_FRAME, END]
    assert desk.reply() == [], "the end of a turn is answered by itself"
    assert desk.write(AUDIO) == [START, AUDIO_FRAME]
    desk.writer.note_reply()
    assert desk.reply() == [content(is_complete=True)]


def test_of_several_pictures_a_second_the_newest_is_sent() -> None:
    desk = Desk()
    first, second, third = (ours.AddImage(f"jpeg{each}".encode()) for each in range(3))
    [(_, shown)] = desk.write(first, second, third, now_s=10.0)
    assert shown["video"]["mimeType"] == "image/jpeg"
    assert desk.write(AUDIO, now_s=10.9) == [AUDIO_FRAME]
    (_, later), audio = desk.write(AUDIO, now_s=11.0)
    assert (later["video"]["data"], audio) == ("anBlZzI=", AUDIO_FRAME)
    assert desk.write(AUDIO, now_s=13.0) == [AUDIO_FRAME]


def test_pictures_left_out_are_counted() -> None:
    limiter = ImageLimiter()
    assert [limiter.show(each, now_s=0.0) for each in (b"1", b"2", b"3")] == [b"1", None, None]
    assert (limiter.dropped, limiter.next_due(now_s=1.0)) == (1, b"3")


# -- the conversation --------------------------------------------------------------------------


def test_messages_go_out_at_once_and_a_request_closes_the_turn() -> None:
    desk = Desk()
    assert desk.write(ours.AddText("hi")) == [content(("user", "hi"), is_complete=False)]
    assert desk.reply() == [content(is_complete=True)]
    assert desk.reply("Say exactly: Hello") == [
        content(("user", "Say exactly: Hello"), is_complete=True)
    ]


def test_messages_wait_for_the_end_of_a_reply_and_go_together() -> None:
    desk = Desk()
    texts = [ours.AddText("a"), ours.AddText("b", "assistant"), ours.AddText("c", "system")]
    assert desk.write(*texts, is_replying=True) == []
    turns = ("user", "a"), ("model", "b"), ("user", "(System note, not spoken by the user: c)")
    assert told(desk.writer.flush()) == [content(*turns, is_complete=False)]
    assert desk.writer.flush() == []
    desk.write(ours.AddText("d"), is_replying=True)
    assert desk.reply() == [content(("user", "d"), is_complete=True)]


def test_too_many_waiting_messages_are_refused() -> None:
    desk = Desk()
    desk.write(*[ours.AddText("a")] * MAX_HELD, is_replying=True)
    with pytest.raises(UnsupportedCommandError, match="too many"):
        desk.write(ours.AddText("a"), is_replying=True)


def test_models_of_the_old_way_get_text_as_speech_when_a_reply_is_wanted() -> None:
    desk = Desk(OLD_WAY)
    assert desk.write(ours.AddText("a"), ours.AddText("b")) == []
    assert desk.writer.flush() == []
    assert desk.reply("c") == [("realtimeInput", {"text": "a\nb\nc"})]
    assert desk.reply() == [("realtimeInput", {"text": GO_ON})]
    with pytest.raises(UnsupportedCommandError):
        desk.write(ours.AddToolCall("c1", "f", "{}"))


def test_earlier_calls_are_told_as_history() -> None:
    commands = ours.AddToolCall("c1", "f", '{"a": 1}'), ours.AddToolOutput("c1", "3")
    call = {"id": "c1", "name": "f", "args": {"a": 1}}
    answer = {"id": "c1", "name": "f", "response": {"output": 3}}
    assert [frame["turns"] for _, frame in Desk().write(*commands)] == [
        [{"role": "model", "parts": [{"functionCall": call}]}],
        [{"role": "user", "parts": [{"functionResponse": answer}]}],
    ]


@pytest.mark.parametrize(
    "command",
    [
        ours.TruncateItem("i", 0, 1, ""),
        ours.DeleteItem("i"),
        ours.AnswerToolApproval("r", is_approved=True),
        ours.UpdateSettings({"voice": "Kore"}),
    ],
)
def test_what_cannot_be_said_is_refused(command: ModelCommand) -> None:
    with pytest.raises(UnsupportedCommandError):
        Desk().write(command)


def test_settings_change_by_context() -> None:
    desk = Desk()
    update = ours.UpdateSettings({"tools": [{"name": "f", "scheduling": "SILENT"}]})
    declared = {"tools": [{"functionDeclarations": [{"name": "f"}]}]}
    assert desk.write(update) == [("contextUpdate", {"tools": declared})]
    desk.tool_calls.note_calls([("c1", wire.FunctionCall(id="c1", name="f"))])
    [(_, frame)] = desk.write(ours.AddToolOutput("c1", "{}"))
    assert frame["functionResponses"][0]["scheduling"] == "SILENT"
    assert desk.write(ours.UpdateSettings({})) == []


# -- calls -------------------------------------------------------------------------------------


def tool_calls(*, is_blocking: bool, names: str = "fg", **tool: Any) -> ToolCallTracker:
    """Calls c0, c1 … of one message, one a name."""
    made = ToolCallTracker([{"name": "f", **tool}], is_blocking=is_blocking)
    calls = [wire.FunctionCall(id=f"c{number}", name=name) for number, name in enumerate(names)]
    made.note_calls([(call.id or "", call) for call in calls])
    return made


def ids(answers: list[wire.FunctionResponse]) -> list[str | None]:
    return [answer.id for answer in answers]


def test_model_that_waits_gets_the_answers_of_one_message_together() -> None:
    waiting = tool_calls(is_blocking=True)
    assert ids(waiting.answer("c1", "1")) == []
    assert ids(waiting.answer("c0", "1")) == ["c0", "c1"]
    assert ids(waiting.answer("c0", "1")) == []


def test_model_that_talks_on_gets_each_answer_at_once() -> None:
    assert ids(tool_calls(is_blocking=False).answer("c1", "1")) == ["c1"]
    assert ids(tool_calls(is_blocking=True, behavior="NON_BLOCKING").answer("c0", "1")) == ["c0"]


def test_answer_to_a_cancelled_call_is_not_sent() -> None:
    waiting = tool_calls(is_blocking=True)
    assert waiting.cancel(["c0", "unheard-of"]) == []
    assert waiting.knows("c0")
    assert waiting.answer("c0", "1") == []
    assert ids(waiting.answer("c1", "1")) == ["c1"]


def test_memory_of_calls_is_bounded() -> None:
    forgetful = ToolCallTracker([], is_blocking=False)
    for number in range(MAX_REMEMBERED + 1):
        forgetful.note_earlier_call(f"e{number}", "f")
        forgetful.note_calls([(f"c{number}", wire.FunctionCall(name="f"))])
    forgetful.cancel([f"c{number}" for number in range(MAX_REMEMBERED + 1)])
    assert forgetful.earlier_answer("e0", "1") is None
    assert not forgetful.knows("c0")
    assert forgetful.knows("c1")


@pytest.mark.parametrize(
    ("output", "response"),
    [
        ("sunny", {"output": "sunny"}),
        ("3", {"output": 3}),
        ('["a"]', {"output": ["a"]}),
        ('{"error": "no"}', {"error": "no"}),
    ],
)
def test_answers_are_objects(output: str, response: dict[str, Any]) -> None:
    [(_, frame)] = told(tool_response(tool_calls(is_blocking=False).answer("c0", output)))
    assert frame["functionResponses"] == [{"id": "c0", "name": "f", "response": response}]
    json.dumps(frame)


@pytest.mark.parametrize(("is_blocking", "scheduling"), [(False, "SILENT"), (True, None)])
def test_a_silent_result_is_scheduled_silently_where_the_model_talks_on(
    is_blocking: bool, scheduling: str | None
) -> None:
    calls = ToolCallTracker([{"name": "f"}], is_blocking=is_blocking)
    calls.note_calls([("c1", wire.FunctionCall(id="w1", name="f", args={}))])
    (answer,) = calls.answer("c1", "{}", is_silent=True)
    assert answer.scheduling == scheduling
