"""Gemini's messages in our words: ids minted once, every turn closed, nothing invented."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from realtime import events as ours
from realtime.events import ModelEvent, ResponseStatus
from realtime.gemini import wire
from realtime.gemini.mapping import LATE_S, ONSET_MS
from realtime.struct import InvalidEventError
from tests.fakes import gemini_frames as fake
from tests.realtime.gemini.stage import END, PCM, SPEECH_MS, Stage, activity

USAGE = ours.Usage(10, 20, 30, {"input_audio_tokens": 10, "output_audio_tokens": 20})


def mapped(*frames: fake.Frame) -> list[ModelEvent]:
    return Stage().feed(*frames)


def kinds(events: list[ModelEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


# -- whole turns -------------------------------------------------------------------------------


def test_a_spoken_turn_from_first_word_to_end() -> None:
    events = mapped(
        fake.heard(" who"),
        fake.heard(" are you"),
        fake.audio(PCM),
        fake.spoken("I am"),
        fake.audio(PCM),
        fake.spoken(" I."),
        fake.content(generationComplete=True),
        {**END, "usageMetadata": fake.usage()},
    )
    user, where = "item1", ("resp2", "item3", 0)
    assert events == [
        ours.SpeechStarted(user, SPEECH_MS - ONSET_MS),
        ours.InputTranscriptDelta(user, " who"),
        ours.InputTranscriptDelta(user, " are you"),
        ours.SpeechStopped(user, SPEECH_MS),
        ours.InputCommitted(user),
        ours.ResponseCreated("resp2"),
        ours.ItemAdded("item3", "message", "assistant", "resp2"),
        ours.AudioDelta(*where, PCM, 24_000),
        ours.TranscriptDelta(*where, "I am"),
        ours.AudioDelta(*where, PCM, 24_000),
        ours.TranscriptDelta(*where, " I."),
        ours.AudioDone(*where),
        ours.GenerationDone("resp2"),
        ours.InputTranscriptDone(user, "who are you"),
        ours.TranscriptDone(*where, "I am I."),
        ours.ResponseDone("resp2", ResponseStatus.COMPLETED, None, USAGE),
    ]


def test_interruption_ends_the_reply_and_begins_the_users_turn() -> None:
    stage = Stage()
    stage.feed(fake.heard("hello"), fake.audio(PCM), fake.spoken("Once upon"))
    cut = stage.feed(fake.content(interrupted=True))
    assert cut == [
        ours.InputTranscriptDone("item1", "hello"),
        ours.SpeechStarted("item4", SPEECH_MS - ONSET_MS),
        ours.Interrupted("resp2"),
    ]
    late = stage.feed(fake.heard("wait"), fake.audio(PCM), END)
    assert late == [
        ours.InputTranscriptDelta("item4", "wait"),
        ours.AudioDelta("resp2", "item3", 0, PCM, 24_000),
        ours.AudioDone("resp2", "item3", 0),
        ours.GenerationDone("resp2"),
        ours.TranscriptDone("resp2", "item3", 0, "Once upon"),
        ours.ResponseDone("resp2", ResponseStatus.CANCELLED, "turn_detected"),
    ]
    after = stage.feed(fake.heard(" please"), fake.audio(PCM), END)
    assert ours.InputTranscriptDone("item4", "wait please") in after
    assert ours.ResponseCreated("resp5") in after


def test_reply_after_an_interruption_whose_end_was_never_told_is_a_new_one() -> None:
    stage = Stage()
    stage.feed(fake.audio(PCM), fake.content(interrupted=True))
    stage.now_s += LATE_S / 2
    assert kinds(stage.feed(fake.audio(PCM))) == ["AudioDelta"]
    stage.now_s += LATE_S
    events = stage.feed(fake.audio(PCM))
    done = ours.ResponseDone("resp1", ResponseStatus.CANCELLED, "turn_detected")
    assert events.index(done) < events.index(ours.ResponseCreated("resp4"))
    assert events[-1] == ours.AudioDelta("resp4", "item5", 0, PCM, 24_000)


def test_words_that_come_late_belong_to_what_is_answered_and_interrupt_nothing() -> None:
    events = mapped(fake.audio(PCM), fake.heard("hello"), fake.heard(" there"), END)
    assert not {"SpeechStarted", "Interrupted"} & set(kinds(events))
    assert ours.InputTranscriptDone("item3", "hello there") in events


def test_several_keys_of_one_message_are_all_heard() -> None:
    frame = {
        "serverContent": {
            "inputTranscription": {"text": "hi"},
            **fake.audio(PCM)["serverContent"],
            "outputTranscription": {"text": "Ho."},
            "generationComplete": True,
            "turnComplete": True,
        },
        "usageMetadata": fake.usage(),
        "goAway": {"timeLeft": "9.5s"},
    }
    events = mapped(frame)
    assert kinds(events)[:3] == ["SpeechStarted", "InputTranscriptDelta", "SpeechStopped"]
    assert kinds(events)[-2:] == ["ResponseDone", "GoAwayReceived"]


def test_snake_case_and_nulls_are_read_alike() -> None:
    frame = {
        "server_content": {
            "model_turn": {
                "parts": [
                    {
                        "inline_data": {"mime_type": "audio/pcm;rate=24000", "data": "AQACAA=="},
                        "text": None,
                    }
                ]
            },
            "output_transcription": None,
            "turn_complete": True,
        },
        "usage_metadata": {"prompt_token_count": 10, "prompt_tokens_details": None},
    }
    events = mapped(frame)
    assert ours.AudioDelta("resp1", "item2", 0, PCM, 24_000) in events
    assert events[-1] == ours.ResponseDone(
        "resp1", ResponseStatus.COMPLETED, None, ours.Usage(input_tokens=10)
    )


# -- calls -------------------------------------------------------------------------------------


def test_calls_pause_the_voice_and_the_turn_goes_on() -> None:
    events = mapped(
        fake.audio(PCM),
        fake.spoken("One moment"),
        fake.calls({"id": "c1", "name": "add", "args": {"a": "ä"}}, {"name": "now"}),
        fake.spoken("."),
        fake.audio(PCM),
        fake.spoken("Three."),
        END,
    )
    calls = [event for event in events if isinstance(event, ours.ToolCallRequested)]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("c1", "add", '{"a": "ä"}'),
        ("call3", "now", "{}"),
    ]
    assert {call.response_id for call in calls} == {"resp1"}
    done = [event for event in events if isinstance(event, ours.TranscriptDone)]
    assert [each.transcript for each in done] == ["One moment.", "Three."]
    assert kinds(events).count("AudioDone") == 2
    assert kinds(events).count("ResponseCreated") == kinds(events).count("ResponseDone") == 1


def test_call_told_twice_is_requested_once() -> None:
    call = fake.calls({"id": "c1", "name": "add", "args": {}})
    assert kinds(mapped(call, call)).count("ToolCallRequested") == 1


def requested(events: list[ours.ModelEvent]) -> list[ours.ToolCallRequested]:
    return [event for event in events if isinstance(event, ours.ToolCallRequested)]


def test_a_name_that_is_a_number_is_a_name() -> None:
    (call,) = requested(mapped(fake.calls({"id": "c1", "name": 5, "args": {}})))
    assert call.name == "5"


@pytest.mark.parametrize("becomes", ["open", "cancelled", "answered"])
def test_an_id_used_again_is_another_call(becomes: str) -> None:
    stage = Stage()
    (first,) = requested(stage.feed(fake.calls({"id": "c1", "name": "add", "args": {"n": 1}})))
    if becomes == "cancelled":
        stage.feed({"toolCallCancellation": {"ids": ["c1"]}})
    if becomes == "answered":
        stage.tool_calls.answer("c1", "1")
    (second,) = requested(
        stage.feed(END, fake.calls({"id": "c1", "name": "add", "args": {"n": 2}}))
    )
    assert second.arguments == '{"n": 2}'
    assert (second.call_id == first.call_id) == (becomes == "answered")
    (answer,) = stage.tool_calls.answer(second.call_id, "2")
    assert answer.id == "c1"


def test_two_calls_of_one_message_with_one_id_are_both_run() -> None:
    stage = Stage()
    calls = [{"id": "c", "name": "add", "args": {"n": number}} for number in range(2)]
    told = requested(stage.feed(fake.calls(*calls)))
    assert len({call.call_id for call in told}) == 2
    cancelled = stage.feed({"toolCallCancellation": {"ids": ["c"]}})
    assert cancelled == [ours.ToolCallCancelled((told[-1].call_id,))]


def test_voices_and_words_are_joined_before_they_are_judged() -> None:
    stage = Stage()
    voice = bytes(range(200))
    texts = [base64.b64encode(piece).decode() for piece in (voice[:101], voice[101:])]
    texts += [base64.encodebytes(voice).decode(), base64.urlsafe_b64encode(voice).decode()]
    blobs = [{"mimeType": "audio/pcm", "data": text} for text in texts]
    events = stage.feed(
        *(fake.content(modelTurn={"parts": [{"inlineData": blob}]}) for blob in blobs),
        *(fake.spoken(piece) for piece in ("a\ud83d", "\ude00b")),
        *(fake.heard(piece) for piece in ("c\ud83d", "\ude00d")),
    )
    heard = [event.pcm for event in events if isinstance(event, ours.AudioDelta)]
    assert b"".join(heard) == voice * 3
    said = [event.delta for event in events if isinstance(event, ours.TranscriptDelta)]
    assert said == ["a", "\U0001f600b"]
    words = [event.delta for event in events if isinstance(event, ours.InputTranscriptDelta)]
    assert words == ["c", "\U0001f600d"]


@pytest.mark.parametrize("odd", [{}, [], True, 1, "yes"])
def test_a_setup_is_complete_whatever_it_says(odd: Any) -> None:
    assert wire.parse(json.dumps({"setupComplete": odd})).setup_complete is not None


def test_cancelled_calls_release_the_answers_that_waited_for_them() -> None:
    stage = Stage()
    stage.feed(fake.calls({"id": "c1", "name": "add"}, {"id": "c2", "name": "add"}))
    assert stage.tool_calls.answer("c1", "1") == []
    events = stage.feed({"toolCallCancellation": {"ids": ["c2"]}})
    assert events == [ours.ToolCallCancelled(("c2",))]
    assert [answer.id for answer in stage.mapper.take_released()] == ["c1"]
    assert stage.mapper.take_released() == []


# -- what we did -------------------------------------------------------------------------------


def test_written_turn_cuts_the_reply_and_nobody_spoke() -> None:
    stage = Stage()
    stage.feed(fake.audio(PCM))
    stage.mapper.note_written_turn()
    events = stage.feed(fake.content(interrupted=True), END)
    assert "SpeechStarted" not in kinds(events)
    done = ours.ResponseDone("resp1", ResponseStatus.CANCELLED, "client_cancelled")
    assert events[-1] == done
    assert "SpeechStarted" in kinds(stage.feed(fake.audio(PCM), fake.content(interrupted=True)))


def test_rest_of_a_cancelled_reply_is_left_out() -> None:
    stage = Stage()
    stage.feed(fake.audio(PCM))
    assert stage.mapper.active_response == "resp1"
    stage.mapper.cancel()
    assert stage.mapper.active_response is None
    rest = stage.feed(fake.audio(PCM), fake.spoken("more"), fake.content(generationComplete=True))
    assert kinds(rest) == ["AudioDone", "GenerationDone"]
    done = ours.ResponseDone("resp1", ResponseStatus.CANCELLED, "client_cancelled")
    assert stage.feed(END) == [done]


def test_manual_turns_are_not_announced_but_committed() -> None:
    stage = Stage(is_manual=True)
    events = stage.feed(
        {"voiceActivity": {"type": "ACTIVITY_START"}}, fake.heard("hi"), fake.audio(PCM)
    )
    assert kinds(events)[:3] == ["InputTranscriptDelta", "InputCommitted", "ResponseCreated"]
    assert "SpeechStarted" not in kinds(stage.feed(fake.content(interrupted=True), END))


# -- single messages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        ([fake.content()], []),
        ([{}], []),
        ([{"setupComplete": {"sessionId": "s"}}], []),
        ([{"usageMetadata": fake.usage()}], []),
        ([END], []),
        ([fake.content(waitingForInput=True, groundingMetadata={})], []),
        ([fake.content(modelTurn={"parts": [{"text": "hm", "thought": True}]})], []),
        ([{"goAway": {"timeLeft": "10s"}}], [ours.GoAwayReceived(10_000)]),
        ([{"goAway": {}}], [ours.GoAwayReceived(None)]),
        ([{"goAway": {"timeLeft": "soon"}}], [ours.GoAwayReceived(None)]),
        (
            [{"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}}],
            [ours.ResumptionUpdated("h")],
        ),
        (
            [{"sessionResumptionUpdate": {"newHandle": "h"}}, {"sessionResumptionUpdate": {}}],
            [ours.ResumptionUpdated(None)] * 2,
        ),
        ([{"novelty": {"a": 1}}], [ours.UnknownEventReceived("novelty", {"a": 1})]),
        (
            [activity("ACTIVITY_START", "0.25s"), activity("ACTIVITY_END", "1.5s")],
            [
                ours.SpeechStarted("item1", 250),
                ours.SpeechStopped("item1", 1_500),
                ours.InputCommitted("item1"),
            ],
        ),
        (
            [{"voiceActivityDetectionSignal": {"vadSignalType": "VAD_SIGNAL_TYPE_SOS"}}],
            [ours.SpeechStarted("item1", SPEECH_MS)],
        ),
        ([activity("ACTIVITY_END")], []),
        (
            [fake.content(interimInputTranscription={"text": "h"})],
            [ours.SpeechStarted("item1", SPEECH_MS - ONSET_MS)],
        ),
        (
            [fake.heard("hi", finished=True)],
            [
                ours.SpeechStarted("item1", SPEECH_MS - ONSET_MS),
                ours.InputTranscriptDelta("item1", "hi"),
                ours.SpeechStopped("item1", SPEECH_MS),
                ours.InputCommitted("item1"),
                ours.InputTranscriptDone("item1", "hi"),
            ],
        ),
        (
            [fake.content(interrupted=True), END],
            [
                ours.SpeechStarted("item1", SPEECH_MS - ONSET_MS),
                ours.Interrupted(),
                ours.SpeechStopped("item1", SPEECH_MS),
                ours.InputCommitted("item1"),
                ours.InputTranscriptFailed("item1", "no words were understood"),
            ],
        ),
        (
            [fake.content(modelTurn={"parts": [{"text": "Hi"}, {"text": "!"}]}), END],
            [
                ours.ResponseCreated("resp1"),
                ours.ItemAdded("item2", "message", "assistant", "resp1"),
                ours.TextDelta("resp1", "item2", 0, "Hi"),
                ours.TextDelta("resp1", "item2", 0, "!"),
                ours.GenerationDone("resp1"),
                ours.TextDone("resp1", "item2", 0, "Hi!"),
                ours.ResponseDone("resp1", ResponseStatus.COMPLETED),
            ],
        ),
        (
            [fake.content(turnComplete=True, turnCompleteReason="RESPONSE_REJECTED")],
            [
                ours.ResponseCreated("resp1"),
                ours.GenerationDone("resp1"),
                ours.ResponseDone("resp1", ResponseStatus.FAILED, "response_rejected"),
            ],
        ),
    ],
)
def test_message_table(frames: list[fake.Frame], events: list[ModelEvent]) -> None:
    assert mapped(*frames) == events


@pytest.mark.parametrize(
    ("fields", "is_over"),
    [
        ({"turnComplete": True}, True),
        ({"turnComplete": True, "interactionStatus": "IDLE"}, True),
        ({"interactionStatus": "IDLE"}, True),
        ({"turnComplete": True, "interactionStatus": "IN_PROGRESS"}, False),
        ({"turnComplete": True, "interactionStatus": "REQUIRES_ACTION"}, False),
        ({"turnComplete": True, "interactionStatus": "INTERACTION_STATUS_UNSPECIFIED"}, True),
        ({"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"}, True),
        ({"generationComplete": True}, False),
    ],
)
def test_when_a_turn_is_over(fields: dict[str, Any], is_over: bool) -> None:
    events = mapped(fake.audio(PCM), fake.content(**fields))
    assert ("ResponseDone" in kinds(events)) is is_over


def test_rate_is_the_messages_own() -> None:
    assert mapped(fake.audio(PCM, 16_000))[-1] == ours.AudioDelta("resp1", "item2", 0, PCM, 16_000)


@pytest.mark.parametrize("data", ["%%%%", "AA\u00e9A", "\ud800"])
def test_audio_that_is_none_is_malformed_and_begins_nothing(data: str) -> None:
    blob = {"mimeType": "audio/pcm", "data": data}
    parts = {"parts": [{"inlineData": blob}]}
    stage = Stage()
    events = stage.feed(fake.content(modelTurn=parts, inputTranscription={"text": "hi"}))
    assert kinds(events) == ["SpeechStarted", "InputTranscriptDelta", "ProviderError"]
    assert stage.mapper.active_response is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"serverContent": 1}', '{"toolCall": {"a'])
def test_frames_that_are_none_are_malformed(text: str) -> None:
    with pytest.raises(InvalidEventError):
        wire.parse(text)
