"""Recognisers and voices that fail while a session needs them: nobody is left in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from speech.engine_pool import Engines
from speech.engines.create import create_voices
from speech.errors import EngineError
from speech.options import SessionOptions, VoiceOptions
from speech.settings import SpeechSettings
from tests.fakes.audio_server import audio_server
from tests.speech.engines.fake_engines import FakeEars, FakeVoice, fake_engines
from tests.speech.local_model import model_server
from tests.speech.talk import Caller, client_for, words_of

SERVER_VOICE = VoiceOptions(engine="server", base_url="http://127.0.0.1:1/v1")
TONE_BYTES = 4_800


@asynccontextmanager
async def _calling(
    ears: FakeEars, voice: FakeVoice, options: SessionOptions | None = None
) -> AsyncIterator[Caller]:
    settings = SpeechSettings(options=options or SessionOptions())
    async with (
        model_server(fake_engines(ears, voice), settings) as (_, port),
        client_for(port) as client,
        client.realtime.connect(model="parley-local") as connection,
    ):
        caller = Caller(connection)
        await caller.until("session.created")
        yield caller
        await caller.hang_up()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [EngineError("the server is down"), ZeroDivisionError("a bug")])
async def test_a_caller_who_was_not_heard_is_told_so(error: Exception) -> None:
    ears, voice = FakeEars(), FakeVoice()
    async with _calling(ears, voice) as caller:
        ears.error = error
        await caller.speak("u01_f")
        failed = await caller.until("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["code"] == "transcription_failed"
        assert "down" not in failed["error"]["message"]
        said = await caller.reply()
        assert said == "Sorry, my speech recognition failed just now. Please say that again."
        assert caller.audio()
        # The next turn is heard again.
        ears.error = None
        await caller.speak("u01_f")
        assert await caller.reply() == "Hello! What can I do for you?"


@pytest.mark.asyncio
async def test_who_makes_its_replies_itself_is_not_told() -> None:
    ears = FakeEars()
    async with _calling(ears, FakeVoice()) as caller:
        await caller.update(
            audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}
        )
        ears.error = EngineError("down")
        await caller.speak("u01_f")
        await caller.until("conversation.item.input_audio_transcription.failed")
        ears.error = None
        assert await caller.ask("Say still here.")
    assert "Sorry" not in str(caller.events)


@pytest.mark.asyncio
@pytest.mark.speech
async def test_the_packaged_voice_speaks_when_another_one_fails() -> None:
    voice = FakeVoice()
    async with _calling(FakeEars(), voice, SessionOptions(voice=SERVER_VOICE)) as caller:
        assert await caller.ask("Say one thing.")
        assert voice.texts
        before = len(caller.audio())
        voice.error = EngineError("http://127.0.0.1:1/v1/audio/speech: ClientConnectorError")
        first = await caller.ask("Say Here is another thing.")
        assert first == "Here is another thing."
        assert len(caller.audio()) - before > 4 * TONE_BYTES  # real speech
        tried = len(voice.texts)
        assert await caller.ask("Say And a third thing.") == "And a third thing."
        # Not tried again so soon: each try may cost the whole timeout.
        assert len(voice.texts) == tried


@pytest.mark.asyncio
async def test_without_another_voice_the_words_are_written_and_the_reply_fails() -> None:
    voice = FakeVoice()
    async with _calling(FakeEars(), voice) as caller:
        voice.error = ZeroDivisionError("a bug")
        await caller.say_text("Say Nobody hears this.")
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "failed"
        assert done["response"]["status_details"]["error"]["code"] == "server_error"
        assert words_of(done) == "Nobody hears this."
        assert caller.audio() == b""
        voice.error = None
        assert await caller.ask("Say This is heard.") == "This is heard."
        assert caller.audio()


@pytest.mark.asyncio
async def test_a_session_speaks_with_the_voice_of_a_server_as_it_streams() -> None:
    """Settings, header, pool and client together, over the real wire."""
    async with audio_server() as (fake, base_url):
        options = SessionOptions(
            voice=VoiceOptions(engine="server", base_url=base_url, name="nova", model="lips")
        )
        settings = SpeechSettings(options=options)
        engines = fake_engines(FakeEars(), FakeVoice())
        assert options.voice is not None
        served = Engines(
            engines.recogniser, create_voices(options.voice, settings), engines.new_detector
        )
        async with (
            model_server(served, settings) as (_, port),
            client_for(port) as client,
            client.realtime.connect(model="parley-local") as connection,
        ):
            caller = Caller(connection)
            created = await caller.until("session.created")
            assert created["session"]["audio"]["output"]["voice"] == "nova"
            updated = await caller.update(audio={"output": {"voice": "echo_2"}})
            assert updated["session"]["audio"]["output"]["voice"] == "echo_2"
            assert await caller.ask("Say Good morning.") == "Good morning."
            assert fake.spoken[-1].fields["voice"] == "echo_2"
            assert fake.spoken[-1].fields["model"] == "lips"
            await caller.hang_up()
