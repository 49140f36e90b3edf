"""What sessions may ask of their engines: voices, languages, noise suppression."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from realtime import struct as wire
from speech.abilities import Abilities, primary_language
from speech.errors import ClientError
from speech.session_config import default_session, updated_session

ENGLISH = frozenset({"en"})
PACKAGED = Abilities(
    recogniser="whisper-tiny.en",
    hears=ENGLISH,
    multilingual=None,
    voices=("joe",),
    takes_any_voice=False,
    speaks=ENGLISH,
)
SERVERS = Abilities(
    recogniser="large",
    hears=None,
    multilingual=None,
    voices=("nova",),
    takes_any_voice=True,
    speaks=None,
)


def _updated(abilities: Abilities, session: dict[str, Any]) -> dict[str, Any]:
    default = default_session(abilities, session_id="s", expires_at=0)
    update = wire.Session.model_validate({"type": "realtime", **session})
    return updated_session(default, update, abilities)


def _with_language(language: str | None, **more: Any) -> dict[str, Any]:
    transcription = {"model": "whisper-1", "language": language}
    return {"audio": {"input": {"transcription": transcription}}, **more}


@pytest.mark.parametrize(
    ("abilities", "asked", "voice"),
    [
        (PACKAGED, "joe", "joe"),
        (PACKAGED, "marin", "joe"),
        (replace(PACKAGED, voices=("af_heart", "am_michael")), "am_michael", "am_michael"),
        (replace(PACKAGED, voices=("af_heart", "am_michael")), "marin", "af_heart"),
        (SERVERS, "af_sky", "af_sky"),
        (SERVERS, "marin", "nova"),
    ],
)
def test_a_session_gets_the_voice_that_it_asks_for(
    abilities: Abilities, asked: str, voice: str
) -> None:
    session = _updated(abilities, {"audio": {"output": {"voice": asked}}})
    assert session["audio"]["output"]["voice"] == voice


def test_an_unknown_voice_is_refused_with_those_there_are() -> None:
    abilities = replace(PACKAGED, voices=("af_heart", "am_michael"))
    with pytest.raises(ClientError, match="there is af_heart, am_michael") as caught:
        _updated(abilities, {"audio": {"output": {"voice": "joe"}}})
    assert caught.value.code == "unsupported_voice"


@pytest.mark.parametrize(
    ("abilities", "language", "transcription"),
    [
        (PACKAGED, None, {"model": "whisper-tiny.en", "language": "en"}),
        (PACKAGED, "en-GB", {"model": "whisper-tiny.en", "language": "en"}),
        (
            replace(PACKAGED, multilingual="whisper-base", speaks=None),
            "de",
            {"model": "whisper-base", "language": "de"},
        ),
        (SERVERS, None, {"model": "large"}),
        (SERVERS, "fr", {"model": "large", "language": "fr"}),
        (replace(SERVERS, language="it"), None, {"model": "large", "language": "it"}),
    ],
)
def test_a_language_picks_the_recogniser(
    abilities: Abilities, language: str | None, transcription: dict[str, Any]
) -> None:
    session = _updated(abilities, _with_language(language))
    assert session["audio"]["input"]["transcription"] == transcription


@pytest.mark.parametrize(
    ("abilities", "hint"),
    [
        (PACKAGED, "make setup SPEECH=multilingual.*STT_BASE_URL"),
        (replace(PACKAGED, multilingual="whisper-base"), "TTS_BASE_URL.*replies in text"),
        (replace(SERVERS, speaks=ENGLISH), "voice nova speaks en only, not 'de'"),
    ],
)
def test_a_language_that_is_not_heard_or_spoken_is_refused_with_what_would_help(
    abilities: Abilities, hint: str
) -> None:
    with pytest.raises(ClientError, match=hint) as caught:
        _updated(abilities, _with_language("de"))
    assert caught.value.code == "unsupported_language"


def test_what_is_only_written_needs_no_voice_of_that_language() -> None:
    abilities = replace(PACKAGED, multilingual="whisper-base")
    session = _updated(abilities, _with_language("de", output_modalities=["text"]))
    assert session["audio"]["input"]["transcription"]["model"] == "whisper-base"


def test_noise_suppression_needs_its_package() -> None:
    update = {"audio": {"input": {"noise_reduction": {"type": "far_field"}}}}
    with pytest.raises(ClientError, match="make setup SPEECH=noise"):
        _updated(PACKAGED, update)
    able = replace(PACKAGED, can_suppress_noise=True)
    assert _updated(able, update)["audio"]["input"]["noise_reduction"] == {"type": "far_field"}
    default = default_session(replace(able, suppresses_noise=True), session_id="s", expires_at=0)
    assert default["audio"]["input"]["noise_reduction"] == {"type": "near_field"}
    off = updated_session(
        default,
        wire.Session.model_validate({"audio": {"input": {"noise_reduction": None}}}),
        able,
    )
    assert off["audio"]["input"]["noise_reduction"] is None


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en-GB", "en"), ("DE_at", "de"), ("", None), (None, None), ("zh-Hans-CN", "zh")],
)
def test_tags_of_languages_are_read(tag: str | None, code: str | None) -> None:
    assert primary_language(tag) == code
