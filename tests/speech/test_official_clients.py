"""The official clients with a language model behind: spoken turns, tools, interruptions, written chat."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import pytest
from agents.realtime.model_inputs import RealtimeModelSendInterrupt

from speech.engine_pool import Engines
from speech.engines.create import ENGLISH, TINY
from speech.engines.protocols import RecogniserEngine, VoiceEngine
from speech.engines.vad import SileroDetector
from speech.options import LanguageModelOptions, SessionOptions
from speech.settings import SpeechSettings
from tests.fakes.agents_sdk import agents_talk
from tests.fakes.chat_assistant import STORY, reply_as_assistant
from tests.fakes.chat_server import ChatServer, chat_server
from tests.speech.local_model import model_server
from tests.speech.talk import WEATHER, Caller, calls_of, client_for, utterance, words_of

pytestmark = pytest.mark.speech


@asynccontextmanager
async def _served(engines: Engines) -> AsyncIterator[tuple[ChatServer, int]]:
    """The chat server behind, and the port of the model server before it."""
    async with chat_server(reply_with=reply_as_assistant) as chat:
        model = LanguageModelOptions(base_url=chat.base_url, model="scripted")
        settings = SpeechSettings(options=SessionOptions(language_model=model))
        async with model_server(engines, settings) as (_, port):
            yield chat, port


@asynccontextmanager
async def _talking(engines: Engines) -> AsyncIterator[tuple[Caller, ChatServer]]:
    async with (
        _served(engines) as (chat, port),
        client_for(port) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        caller = Caller(connection)
        await caller.until("session.created")
        yield caller, chat
        await caller.hang_up()


def _asked(chat: ChatServer, words: str) -> Any:
    """The last request whose user said this last."""
    return next(call for call in reversed(chat.calls) if words in call.user_text.lower())


@pytest.mark.asyncio
async def test_the_openai_client_holds_a_spoken_conversation(engines: Engines) -> None:
    async with _talking(engines) as (caller, chat):
        await caller.update(tools=[WEATHER], instructions="Be brief.")
        await caller.speak("u02_f")
        (call,) = calls_of(await caller.until("response.done"))
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Tokyo"})
        output = json.dumps({"report": "rain in Tokyo."})
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
        await caller.send(type="conversation.item.create", item=item)
        await caller.send(type="response.create")
        assert "rain in Tokyo" in await caller.reply()
        assert len(caller.audio()) > 24_000

        await caller.speak("u18_f")
        added = await caller.until("response.output_item.added")
        await caller.until("response.output_audio.delta")
        story = _asked(chat, "story")
        begin = len(caller.events)
        await caller.speak("u15_f", is_realtime=True)
        cut = await caller.until("response.done")
        assert cut["response"]["status_details"]["reason"] == "turn_detected"
        await story.was_closed.wait()
        where = {"item_id": added["item"]["id"], "content_index": 0}
        await caller.send(type="conversation.item.truncate", audio_end_ms=1_000, **where)
        assert "Canberra" in await caller.reply()
        assert "input_audio_buffer.speech_started" in caller.types(begin)

        # What was not heard is not remembered; all that was is.
        await caller.ask("What was my first question?")
        messages = _asked(chat, "first question").messages
        assert "weather in tokyo" in messages[1]["content"].lower()
        told = json.dumps(messages)
        assert "rain in Tokyo" in told
        assert "Once upon" in told
        assert "through the night" not in told


@pytest.mark.asyncio
async def test_the_agents_sdk_holds_a_conversation_with_its_tools(engines: Engines) -> None:
    async with (
        _served(engines) as (chat, port),
        agents_talk(f"ws://127.0.0.1:{port}/v1/realtime?model=gpt-realtime") as talk,
    ):
        await talk.session.send_message("What is the weather in Berlin?")
        assert (await talk.until_type("tool_end")).output == "It is sunny in Berlin."
        await talk.until_reply()
        assert len(talk.audio) > 24_000

        await talk.session.send_message("Tell me a story.")
        await talk.until_type("audio")
        await talk.session.model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        await _asked(chat, "story").was_closed.wait()
        await talk.until(lambda event: getattr(event, "type", "") == "audio_interrupted")

        await talk.session.send_audio(utterance("u15_f") + bytes(48 * 8_000))
        await talk.until_reply()
        assert "capital" in _asked(chat, "capital").user_text.lower()


def _touched(*_arguments: object, **_options: object) -> NoReturn:
    raise AssertionError("an engine was used")


class _Untouchable:
    """Engines that fail at the first touch."""

    sample_rate_hz = 24_000
    transcribe = staticmethod(_touched)
    synthesise = staticmethod(_touched)


@pytest.mark.asyncio
async def test_written_chat_uses_no_recogniser_and_no_voice() -> None:
    engines = Engines(
        RecogniserEngine(_Untouchable(), TINY, ENGLISH),
        VoiceEngine.of(_Untouchable(), "none", languages=ENGLISH),
        SileroDetector,
    )
    async with _talking(engines) as (caller, chat):
        await caller.update(output_modalities=["text"], tools=[WEATHER])
        assert await caller.ask("What is the capital of Australia?") == "The capital is Canberra."
        types = caller.types()
        assert "response.output_text.delta" in types
        assert not [kind for kind in types if "audio" in kind]

        await caller.say_text("What is the weather in Bern?")
        await caller.send(type="response.create")
        (call,) = calls_of(await caller.until("response.done"))
        assert json.loads(call["arguments"]) == {"city": "Bern"}
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": "Snow."}
        await caller.send(type="conversation.item.create", item=item)
        await caller.send(type="response.create")
        assert await caller.reply() == "The forecast says: Snow."

        await caller.say_text("Tell me a story.")
        await caller.send(type="response.create")
        await caller.until("response.output_text.delta")
        await caller.send(type="response.cancel")
        done = await caller.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        assert words_of(done) in STORY
        await _asked(chat, "story").was_closed.wait()

        # One reply in writing in a session that speaks.
        await caller.update(output_modalities=["audio"])
        await caller.say_text("What was my first question?")
        await caller.send(type="response.create", response={"output_modalities": ["text"]})
        assert await caller.reply() == "You asked: What is the capital of Australia?"
