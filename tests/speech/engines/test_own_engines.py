"""Engines by dotted name, of every shape that the protocols allow."""

from __future__ import annotations

import pytest

from speech.engines.create import create_recogniser, create_voices
from speech.engines.protocols import RecogniserEngine
from speech.engines.shared import SharedRecogniser, SharedVoices
from speech.engines.work_queue import Urgency
from speech.errors import EngineError, SpeechError
from speech.options import RecogniserOptions, VoiceOptions
from speech.settings import SpeechSettings

HERE = "tests.speech.engines.own_engines"
SETTINGS = SpeechSettings()
OWNER = object()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["BlockingEars", "AsyncEars", "WrappedEars"])
async def test_any_shape_of_recogniser_hears(name: str) -> None:
    engine = create_recogniser(RecogniserOptions(engine=f"{HERE}:{name}"), SETTINGS)
    assert (engine.model, engine.languages) == (name, None)
    shared = SharedRecogniser(engine, threads=2)
    transcript = await shared.transcribe(
        bytes(3_200), owner=OWNER, urgency=Urgency.FIRST, language="it"
    )
    assert transcript.text == "100 ms of it"
    await shared.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["WholeVoice", "PiecesVoice", "AsyncVoice", "WrappedVoice"])
async def test_any_shape_of_voice_speaks(name: str) -> None:
    engine = create_voices(VoiceOptions(engine=f"{HERE}:{name}"), SETTINGS)
    assert engine.names == (name,)
    shared = SharedVoices(engine, threads=2)
    for _ in range(2):  # the second time from memory
        pieces = shared.speak(name, "0123456789", 2.0, owner=OWNER, urgency=Urgency.FIRST)
        pcm = b"".join([piece async for piece in pieces])
        assert len(pcm) == 50 * 48
    await shared.close()


def test_a_function_may_return_several_voices() -> None:
    engine = create_voices(VoiceOptions(engine=f"{HERE}:two_voices"), SETTINGS)
    assert engine.names == ("ada", "bob")


@pytest.mark.asyncio
async def test_a_recogniser_that_returns_something_else_fails_at_that_utterance() -> None:
    class Ears:
        def transcribe(self, _pcm16k: bytes, *, language: str | None = None) -> None:
            return None

    shared = SharedRecogniser(RecogniserEngine(Ears(), "ears"), threads=1)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="returned NoneType, no Transcript"):
        await shared.transcribe(b"", owner=OWNER, urgency=Urgency.FIRST, language=None)
    await shared.close()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_package:engine", "ModuleNotFoundError"),
        (f"{HERE}:no_such_function", "AttributeError"),
        (f"{HERE}:failing", r"ZeroDivisionError: by design\)$"),
        (f"{HERE}:nothing", "returned no"),
        (f"{HERE}:tone", "TypeError|returned no"),
    ],
)
def test_a_name_of_no_engine_is_refused_in_one_line(name: str, reason: str) -> None:
    with pytest.raises(SpeechError, match=reason):
        create_recogniser(RecogniserOptions(engine=name), SETTINGS)
    with pytest.raises(SpeechError, match=reason):
        create_voices(VoiceOptions(engine=name), SETTINGS)


def test_a_coroutine_function_is_refused() -> None:
    with pytest.raises(SpeechError, match="must be a plain function"):
        create_voices(VoiceOptions(engine=f"{HERE}:coroutine"), SETTINGS)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(SpeechError, match=r"no recogniser is called 'siri'.*whisper-base, server"):
        create_recogniser(RecogniserOptions(engine="siri"), SETTINGS)
    with pytest.raises(SpeechError, match=r"no voice engine is called 'siri'.*piper, kokoro"):
        create_voices(VoiceOptions(engine="siri"), SETTINGS)


def test_a_server_needs_its_address() -> None:
    with pytest.raises(SpeechError, match="STT_BASE_URL"):
        create_recogniser(RecogniserOptions(engine="server"), SETTINGS)
    with pytest.raises(SpeechError, match="TTS_BASE_URL"):
        create_voices(VoiceOptions(engine="server"), SETTINGS)
