"""Conversations with the official client over the real models; each event is validated strictly."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.speech.talk import Caller, calls_of, client_for, utterance, words_of

pytestmark = pytest.mark.speech

TIMER = {
    "type": "function",
    "name": "set_timer",
    "description": "Set a timer.",
    "parameters": {
        "type": "object",
        "properties": {"duration_s": {"type": "number"}, "label": {"type": "string"}},
        "required": ["duration_s"],
    },
}

UNSUPPORTED: list[tuple[dict[str, Any], str, str]] = [
    ({"reasoning": {"effort": "low"}}, "unsupported_setting", "reasoning"),
    ({"prompt": {"id": "pmpt_1"}}, "unsupported_setting", "prompt"),
    ({"include": ["item.input_audio_transcription.logprobs"]}, "unsupported_setting", "include"),
    (
        {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}},
        "unsupported_setting",
        "truncation",
    ),
    (
        {"audio": {"input": {"transcription": {"model": "whisper-1", "language": "de"}}}},
        "unsupported_language",
        "audio.input.transcription.language",
    ),
    ({"audio": {"output": {"voice": "nobody"}}}, "unsupported_voice", "audio.output.voice"),
    (
        {"audio": {"output": {"voice": {"id": "voice_1"}}}},
        "unsupported_voice",
        "audio.output.voice",
    ),
    ({"temperature": 0.8}, "unknown_parameter", "temperature"),
    ({"audio": {"output": {"pitch": 2}}}, "unknown_parameter", "audio.output.pitch"),
]

SPOKEN_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
]
SPOKEN_REPLY = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


@pytest.mark.asyncio
async def test_audio_that_is_cut_inside_samples_is_heard(caller: Caller) -> None:
    sound = utterance("u07_f") + bytes(700 * 48)
    for start in range(0, len(sound), 4_801):
        audio = base64.b64encode(sound[start : start + 4_801]).decode().rstrip("=")
        await caller.send(type="input_audio_buffer.append", audio=audio)
    assert await caller.reply() == "27 times 14 is 378."
    assert not [event for event in caller.events if event["type"] == "error"]


@pytest.mark.asyncio
async def test_the_session_tells_what_it_does_whatever_a_client_of_openai_asked_for(
    caller: Caller,
) -> None:
    await caller.update(
        tracing="auto",
        audio={
            "input": {"transcription": {"model": "gpt-4o-mini-transcribe", "prompt": "names"}},
            "output": {"voice": "marin"},
        },
    )
    session = caller.events[-1]["session"]
    assert session["model"] == "parley-local"
    assert session["audio"]["output"]["voice"] == "joe"
    assert session["audio"]["input"]["transcription"] == {
        "model": "whisper-tiny.en",
        "language": "en",
    }
    assert session["tracing"] is None


@pytest.mark.asyncio
async def test_a_spoken_question_gets_a_spoken_answer_in_the_protocols_order(
    caller: Caller,
) -> None:
    session = caller.events[0]["session"]
    assert {"id", "object", "expires_at", "audio", "tools"} <= set(session)
    await caller.speak("u07_f")
    assert await caller.reply() == "27 times 14 is 378."
    assert caller.types(1) == SPOKEN_TURN + SPOKEN_REPLY
    started = next(e for e in caller.events if e["type"].endswith("speech_started"))
    heard = next(e for e in caller.events if e["type"].endswith("transcription.completed"))
    assert heard["transcript"] == "How much is 27 times 14?"
    assert heard["item_id"] == started["item_id"]
    assert 0 <= started["audio_start_ms"] <= 300
    usage = caller.events[-1]["response"]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_token_details"]["audio_tokens"] > 20
    assert usage["input_token_details"]["audio_tokens"] > 20


@pytest.mark.asyncio
async def test_what_it_says_can_be_heard_again(caller: Caller) -> None:
    """The reply's audio, played back as the next question, is recognised word by word."""
    await caller.send(
        type="response.create", response={"instructions": "Say exactly: Set a timer for 5 minutes."}
    )
    assert await caller.reply() == "Set a timer for 5 minutes."
    await caller.update(tools=[TIMER])
    await caller.play(caller.audio())
    done = await caller.until("response.done")
    (call,) = calls_of(done)
    assert json.loads(call["arguments"]) == {"duration_s": 300}


@pytest.mark.asyncio
async def test_a_tool_is_called_and_its_result_spoken_about(caller: Caller) -> None:
    await caller.update(tools=[TIMER])
    start = len(caller.events)
    await caller.speak("u03_f")
    done = await caller.until("response.done")
    (call,) = calls_of(done)
    assert (call["name"], json.loads(call["arguments"])) == ("set_timer", {"duration_s": 300})
    assert caller.types(start)[len(SPOKEN_TURN) :] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    output = json.dumps({"status": "timer set", "duration_s": 300, "label": ""})
    item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
    await caller.send(type="conversation.item.create", item=item)
    await caller.send(type="response.create")
    assert await caller.reply() == "Your timer is set for 5 minutes."


@pytest.mark.asyncio
async def test_speech_interrupts_a_long_reply(caller: Caller) -> None:
    await caller.speak("u18_f")
    await caller.until("response.output_audio.delta")
    await caller.speak("u10_f")
    started = await caller.until("input_audio_buffer.speech_started")
    done = await caller.until("response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    assert done["response"]["output"][-1]["status"] == "incomplete"
    assert started["item_id"] != done["response"]["output"][-1]["id"]
    assert await caller.reply() == "Okay."
    cut = caller.events.index(done)
    late = [e for e in caller.events[cut:] if e.get("response_id") == done["response"]["id"]]
    assert late == []


@pytest.mark.asyncio
async def test_truncation_forgets_what_was_not_heard(caller: Caller) -> None:
    words = "Say exactly: The first sentence was heard. The second one was not."
    await caller.send(type="response.create", response={"instructions": words})
    done = await caller.until("response.done")
    item_id = done["response"]["output"][0]["id"]
    audio_ms = len(caller.audio()) // 48
    cut: dict[str, Any] = {"item_id": item_id, "content_index": 0}
    await caller.send(
        type="conversation.item.truncate", event_id="far", audio_end_ms=audio_ms + 1, **cut
    )
    error = await caller.until("error")
    assert (error["error"]["event_id"], error["error"]["param"]) == ("far", "audio_end_ms")
    first_ms = audio_ms // 2
    await caller.send(type="conversation.item.truncate", audio_end_ms=first_ms, **cut)
    assert (await caller.until("conversation.item.truncated"))["audio_end_ms"] == first_ms
    await caller.send(type="conversation.item.retrieve", item_id=item_id)
    part = (await caller.until("conversation.item.retrieved"))["item"]["content"][0]
    assert len(base64.b64decode(part["audio"])) == first_ms * 48
    assert part["transcript"].startswith("The first sentence was")
    assert "not" not in part["transcript"]
    assert await caller.ask("What did you say?") == part["transcript"]


@pytest.mark.asyncio
async def test_written_questions_get_written_answers(caller: Caller) -> None:
    await caller.update(output_modalities=["text"])
    start = len(caller.events)
    assert await caller.ask("What is 6 times 7?") == "6 times 7 is 42."
    assert caller.types(start) == [
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]


@pytest.mark.asyncio
async def test_manual_turns(caller: Caller) -> None:
    await caller.update(audio={"input": {"turn_detection": None}})
    await caller.speak("u22_f")
    await caller.send(type="input_audio_buffer.clear")
    await caller.until("input_audio_buffer.cleared")
    await caller.send(type="input_audio_buffer.commit", event_id="nothing")
    error = (await caller.until("error"))["error"]
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "nothing")
    start = len(caller.events)
    await caller.speak("u07_f", silence_ms=0)
    await caller.send(type="input_audio_buffer.commit")
    await caller.send(type="response.create")
    assert await caller.reply() == "27 times 14 is 378."
    kinds = caller.types(start)
    assert kinds[:3] == SPOKEN_TURN[2:5]
    assert "input_audio_buffer.speech_started" not in kinds


@pytest.mark.asyncio
async def test_a_session_update_changes_only_what_it_names(caller: Caller) -> None:
    before = caller.events[0]["session"]
    after = (await caller.update(instructions="You are Ada."))["session"]
    assert after == {**before, "instructions": "You are Ada."}
    vad = {"type": "server_vad", "silence_duration_ms": 300}
    after = (await caller.update(audio={"input": {"turn_detection": vad}}))["session"]
    assert after["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 300
    assert after["audio"]["output"] == before["audio"]["output"]
    await caller.update(tools=[TIMER])
    cleared = (await caller.update(tools=[], instructions=""))["session"]
    assert (cleared["tools"], cleared["instructions"]) == ([], "")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "session.explode"}, "invalid_value", "type"),
        ({"no": "type"}, "missing_required_parameter", "type"),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
        ({"type": "input_audio_buffer.append", "audio": "%%%"}, "invalid_value", "audio"),
        ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
        (
            {"type": "conversation.item.retrieve", "item_id": "nobody"},
            "item_retrieve_invalid_item_id",
            "item_id",
        ),
        (
            {"type": "conversation.item.delete", "item_id": "nobody"},
            "item_delete_invalid_item_id",
            "item_id",
        ),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "nobody",
                "content_index": 0,
                "audio_end_ms": 0,
            },
            "item_truncate_invalid_item_id",
            "item_id",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "audio": {"input": {"format": {"type": "audio/pcmu"}}},
                },
            },
            "unsupported_audio_format",
            "session.audio.input.format",
        ),
        *(
            ({"type": "session.update", "session": {"type": "realtime"} | changes}, code, f"session.{param}")
            for changes, code, param in UNSUPPORTED
        ),
        (
            {"type": "response.create", "response": {"prompt": {"id": "pmpt_1"}}},
            "unsupported_setting",
            "response.prompt",
        ),
        (
            {"type": "response.create", "response": {"audio": {"output": {"voice": "nobody"}}}},
            "unsupported_voice",
            "response.audio.output.voice",
        ),
        (
            {"type": "session.update", "session": {"type": "transcription"}},
            "invalid_value",
            "session.type",
        ),
        (
            {"type": "response.create", "response": {"tool_choice": {"type": "function", "name": "x"}}},
            "invalid_value",
            "response.tool_choice",
        ),
        (
            {
                "type": "conversation.item.create",
                "previous_item_id": "nobody",
                "item": {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hi"}],
                },
            },
            "item_create_invalid_previous_item_id",
            "previous_item_id",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_audio", "audio": ""}],
                },
            },
            "invalid_value",
            "item.content[0].type",
        ),
    ],
)  # fmt: skip
async def test_every_mistake_is_answered_and_the_session_goes_on(
    caller: Caller, event: dict[str, Any], code: str, param: str | None
) -> None:
    await caller.send(**event, event_id="mine")
    error = (await caller.until("error"))["error"]
    assert (error["event_id"], error["code"], error.get("param")) == ("mine", code, param)
    await caller.update(output_modalities=["text"])
    assert await caller.ask("What is 1 plus 1?") == "1 plus 1 is 2."


@pytest.mark.asyncio
async def test_one_reply_at_a_time_and_cancelling(caller: Caller) -> None:
    await caller.say_text("Tell me a story.")
    await caller.send(type="response.create")
    created = await caller.until("response.created")
    await caller.send(type="response.create", event_id="second")
    error = (await caller.until("error"))["error"]
    assert error["code"] == "conversation_already_has_active_response"
    await caller.until("response.output_audio.delta")
    await caller.send(type="response.cancel")
    done = (await caller.until("response.done"))["response"]
    assert (done["id"], done["status"]) == (created["response"]["id"], "cancelled")
    assert done["status_details"]["reason"] == "client_cancelled"
    assert await caller.ask("What is 1 plus 1?") == "1 plus 1 is 2."


@pytest.mark.asyncio
async def test_an_out_of_band_reply_leaves_no_trace(caller: Caller) -> None:
    await caller.update(output_modalities=["text"])
    start = len(caller.events)
    question = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "2 plus 2"}],
    }
    params = {"conversation": "none", "metadata": {"topic": "sum"}, "input": [question]}
    await caller.send(type="response.create", response=params)
    done = await caller.until("response.done")
    assert words_of(done) == "2 plus 2 is 4."
    assert done["response"]["metadata"] == {"topic": "sum"}
    assert done["response"].get("conversation_id") is None
    assert not [kind for kind in caller.types(start) if kind.startswith("conversation.item")]
    assert await caller.ask("What did I ask before?") == "You have not said anything before that."


@pytest.mark.asyncio
async def test_a_token_limit_cuts_the_reply(caller: Caller) -> None:
    await caller.say_text("Tell me a story.")
    await caller.send(type="response.create", response={"max_output_tokens": 60})
    done = (await caller.until("response.done"))["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"]["reason"] == "max_output_tokens"


@pytest.mark.asyncio
async def test_a_turn_without_words_gets_no_reply(caller: Caller) -> None:
    """A detector set to take anything for speech opens turns; nobody said a word in them."""
    vad = {"type": "server_vad", "threshold": 0.001, "silence_duration_ms": 200}
    await caller.update(audio={"input": {"turn_detection": vad}})
    noise = np.random.default_rng(3).normal(0, 300, 24_000).astype(np.int16).tobytes()
    await caller.play(noise)
    await caller.until("input_audio_buffer.speech_started")
    await caller.send(type="input_audio_buffer.commit")
    heard = await caller.until("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == ""
    assert await caller.ask("What is 1 plus 1?") == "1 plus 1 is 2."
    assert caller.types().count("response.created") == 1


@pytest.mark.asyncio
async def test_silence_for_too_long_asks_whether_anyone_is_there(caller: Caller) -> None:
    vad = {"type": "server_vad", "idle_timeout_ms": 300}
    await caller.update(audio={"input": {"turn_detection": vad}})
    await caller.send(type="response.create", response={"instructions": "Say exactly: Hi."})
    assert await caller.reply() == "Hi."
    timeout = await caller.until("input_audio_buffer.timeout_triggered")
    committed = await caller.until("input_audio_buffer.committed")
    assert committed["item_id"] == timeout["item_id"]
    assert await caller.reply() == "Are you still there?"


@pytest.mark.asyncio
async def test_semantic_detection_waits_for_the_end_of_the_sentence(caller: Caller) -> None:
    """After "remind me to call my" the turn stays open far beyond the usual silence."""
    vad = {"type": "semantic_vad", "eagerness": "high"}
    await caller.update(audio={"input": {"turn_detection": vad}})
    await caller.speak("i01_f_incomplete", is_realtime=True, silence_ms=700)
    # The end of a turn is looked for while audio comes: a busy machine needs more of it.
    await caller.speak("u03_f", is_realtime=True, silence_ms=5_000)
    heard = await caller.until("conversation.item.input_audio_transcription.completed")
    words = heard["transcript"].lower()
    assert "remind me to call my" in words
    assert "timer for five minutes" in words


@pytest.mark.asyncio
async def test_two_sessions_at_once_do_not_mix(port: int) -> None:
    async with (
        client_for(port) as client,
        client.realtime.connect(model="a") as first,
        client.realtime.connect(model="b") as second,
    ):
        callers = (Caller(first), Caller(second))
        answers = await asyncio.gather(
            *(_hear(caller, name) for caller, name in zip(callers, ("u07_f", "u22_m"), strict=True))
        )
    assert answers == ["27 times 14 is 378.", "Yes, I can hear you. What can I do for you?"]


async def _hear(caller: Caller, name: str) -> str:
    await caller.speak(name)
    return await caller.reply()
