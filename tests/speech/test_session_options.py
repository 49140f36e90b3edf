"""Options that a client chooses for its own session."""

from __future__ import annotations

import base64

import pytest

from speech.options import (
    OPTIONS_HEADER,
    SECRET_HEADER,
    SessionOptions,
    VoiceOptions,
    encode_options,
)
from speech.session_options import OptionsRefusedError, options_of
from speech.settings import SpeechSettings

SETTINGS = SpeechSettings(
    options=SessionOptions(language="en", noise_suppression=True),
    options_secret="s" * 20,
)
CHOSEN = encode_options(SessionOptions(noise_suppression=False, voice=VoiceOptions(name="amy")))


def test_what_is_chosen_goes_over_the_defaults() -> None:
    headers = {OPTIONS_HEADER: CHOSEN, SECRET_HEADER: "s" * 20}
    options = options_of(SETTINGS, headers)
    assert options is not None
    assert options.language == "en"
    assert options.noise_suppression is False
    assert options.voice == VoiceOptions(name="amy")


def test_without_the_header_the_defaults_hold() -> None:
    assert options_of(SETTINGS, {}) is None
    assert options_of(SETTINGS, {SECRET_HEADER: "wrong"}) is None


@pytest.mark.parametrize("secret", [None, "", "s" * 19, "s" * 21, "\udcff"])
def test_only_the_owner_chooses(secret: str | None) -> None:
    headers = {OPTIONS_HEADER: CHOSEN} | ({} if secret is None else {SECRET_HEADER: secret})
    with pytest.raises(OptionsRefusedError, match=SECRET_HEADER):
        options_of(SETTINGS, headers)


def test_a_server_without_a_secret_takes_no_options() -> None:
    headers = {OPTIONS_HEADER: CHOSEN, SECRET_HEADER: ""}
    with pytest.raises(OptionsRefusedError):
        options_of(SpeechSettings(), headers)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not base64", "base64url"),
        (base64.urlsafe_b64encode(b"\xff").decode(), "JSON|Invalid"),
        (base64.urlsafe_b64encode(b'{"mind": "sk-secret"}').decode(), "mind"),
    ],
)
def test_malformed_options_are_refused_without_being_repeated(text: str, words: str) -> None:
    with pytest.raises(OptionsRefusedError, match=words) as caught:
        options_of(SETTINGS, {OPTIONS_HEADER: text, SECRET_HEADER: "s" * 20})
    assert "sk-secret" not in str(caught.value)
