"""The engines of a process: loaded once for equal options, shared, let go when there are too many."""

from __future__ import annotations

import pytest

from speech.engine_pool import EnginePool
from speech.errors import SpeechError, UnsupportedLanguageError
from speech.options import RecogniserOptions, SessionOptions, VoiceOptions
from speech.settings import SpeechSettings
from tests.speech.engines.fake_engines import FakeEars, FakeVoice, fake_engines

HERE = "tests.speech.engines.own_engines"


def _pool(languages: frozenset[str] | None = None) -> EnginePool:
    return EnginePool(fake_engines(FakeEars(), FakeVoice(), languages=languages), SpeechSettings())


def _options(
    ears: str = "BlockingEars", voice: str = "two_voices", name: str = ""
) -> SessionOptions:
    return SessionOptions(
        recogniser=RecogniserOptions(engine=f"{HERE}:{ears}"),
        voice=VoiceOptions(engine=f"{HERE}:{voice}", name=name),
    )


@pytest.mark.asyncio
async def test_sessions_have_the_engines_of_the_process_unless_they_ask_for_others() -> None:
    pool = _pool()
    abilities = await pool.prepare(_options(name="bob"))
    assert abilities.recogniser == "BlockingEars"
    assert abilities.voices == ("bob", "ada")
    default, own = pool.session(), pool.session(_options(name="bob"))
    assert (default.voice, own.voice) == ("ada", "bob")
    assert (await default.transcribe(bytes(320))).text == "hello"
    assert (await own.transcribe(bytes(320))).text == "10 ms of None"
    pieces = b"".join([piece async for piece in own.speak("Hello there.", 1.0)])
    assert len(pieces) > 100 * 48
    for session in (default, own):
        session.close()
    await pool.close()


@pytest.mark.asyncio
async def test_equal_options_share_one_engine_whatever_the_voice() -> None:
    pool = _pool()
    for name in ("ada", "bob", "ada"):
        await pool.prepare(_options(name=name))
    sessions = [pool.session(_options(name=name)) for name in ("ada", "bob")]
    assert len(pool.loaded) == 4  # the process's own two, and these two
    assert all(sum(each.uses(engine) for engine in pool.loaded) == 2 for each in sessions)
    await pool.close()


@pytest.mark.asyncio
async def test_engines_of_no_session_make_room_for_others() -> None:
    pool = _pool()
    names = ("BlockingEars", "AsyncEars", "WrappedEars")
    voices = ("WholeVoice", "PiecesVoice", "AsyncVoice", "WrappedVoice")
    kept = _options(names[0], voices[0])
    await pool.prepare(kept)
    session = pool.session(kept)
    for ears in names:
        for voice in voices:
            await pool.prepare(_options(ears, voice))
    assert len(pool.loaded) <= 8
    assert sum(session.uses(engine) for engine in pool.loaded) == 2
    assert (await session.transcribe(bytes(320))).text == "10 ms of None"
    await pool.close()


@pytest.mark.asyncio
async def test_more_engines_than_may_be_in_use_at_once_are_refused() -> None:
    pool = _pool()
    voices = ("WholeVoice", "PiecesVoice", "AsyncVoice", "WrappedVoice", "two_voices")
    ears = ("BlockingEars", "AsyncEars", "WrappedEars")
    wanted = [_options(ears[index % 3], voice) for index, voice in enumerate(voices)]
    sessions = []

    async def use(options: SessionOptions) -> None:
        await pool.prepare(options)
        sessions.append(pool.session(options))

    for options in wanted[:3]:  # with those of the process, eight
        await use(options)
    with pytest.raises(SpeechError, match="too many different recognisers and voices"):
        await use(wanted[3])
    sessions.pop().close()
    await use(wanted[3])
    await pool.close()


@pytest.mark.asyncio
async def test_what_cannot_be_had_is_refused_and_the_pool_goes_on() -> None:
    pool = _pool(frozenset({"en"}))
    with pytest.raises(SpeechError, match="ZeroDivisionError"):
        await pool.prepare(_options(ears="failing"))
    with pytest.raises(SpeechError, match=r"no voice 'eve' \(TTS_VOICE\): there is ada, bob"):
        await pool.prepare(_options(name="eve"))
    with pytest.raises(UnsupportedLanguageError, match="voice ada speaks en only, not 'de'"):
        await pool.prepare(
            SessionOptions(
                language="de-CH", recogniser=RecogniserOptions(engine=f"{HERE}:AsyncEars")
            )
        )
    await pool.prepare(_options())
    await pool.close()


@pytest.mark.asyncio
@pytest.mark.speech
async def test_another_language_brings_the_multilingual_recogniser() -> None:
    ears = FakeEars()
    engines = fake_engines(ears, FakeVoice(), languages=frozenset({"en"}))
    pool = EnginePool(engines, SpeechSettings())
    session = pool.session()
    assert session.abilities.multilingual == "whisper-base"
    assert not session.is_recogniser_missing
    session.change_language("es")
    assert session.is_recogniser_missing
    await session.load_recogniser()
    assert not session.is_recogniser_missing
    assert (await session.transcribe(bytes(32_000))).text == ""
    assert ears.languages == []
    session.change_language("en")
    assert (await session.transcribe(bytes(32_000))).text == "hello"
    assert ears.languages == ["en"]
    await pool.close()
