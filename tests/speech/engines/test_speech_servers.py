"""Recognisers and voices of other servers: what is asked, what is understood, and every fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from speech.engines.server_recogniser import ServerRecogniser, parse_transcription
from speech.engines.server_voice import ServerVoice, ServerVoices
from speech.engines.wav_stream import WavStream
from speech.errors import EngineError
from tests.deadlines import DEADLINE_S
from tests.fakes.audio_server import RATE_HZ, AudioServer, audio_server, streamed_wav, tone
from tests.fakes.ports import lasting_port
from utils import cancel_and_wait


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[AudioServer, str]]:
    """The scripted server and its address."""
    async with audio_server() as (server, base_url):
        yield server, base_url


def _recogniser(base_url: str, **options: Any) -> ServerRecogniser:
    return ServerRecogniser(base_url, model="ears", api_key=SecretStr("sk-1"), **options)


def _voice(base_url: str, **options: Any) -> ServerVoice:
    voices = ServerVoices(base_url, model="lips", api_key=SecretStr("sk-2"), **options)
    return voices.voice("ada")


async def _all(voice: ServerVoice, text: str = "Hello.", speed: float = 1.0) -> bytes:
    try:
        return b"".join([piece async for piece in voice.synthesise(text, speed=speed)])
    finally:
        await voice.aclose()


async def _heard(recogniser: ServerRecogniser, pcm: bytes = bytes(32_000)) -> str:
    try:
        return (await recogniser.transcribe(pcm)).text
    finally:
        await recogniser.aclose()


# -- transcriptions ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_utterance_is_uploaded_as_wav(server: tuple[AudioServer, str]) -> None:
    fake, base_url = server
    fake.text = " Guten Tag. "
    pcm = tone(500, 16_000)
    recogniser = _recogniser(base_url)
    transcript = await recogniser.transcribe(pcm, language="de")
    await recogniser.aclose()
    assert transcript.text == "Guten Tag."
    [heard] = fake.heard
    assert (heard.rate_hz, heard.pcm) == (16_000, pcm)
    assert heard.fields == {"model": "ears", "response_format": "json", "language": "de"}
    assert heard.authorization == "Bearer sk-1"


@pytest.mark.parametrize(
    ("content_type", "content", "text", "language"),
    [
        ("application/json", b'{"text": "hi"}', "hi", None),
        ("text/plain", b'{"text": "hi"}', "hi", None),
        ("text/plain", b" hi\n", "hi", None),
        ("application/json", b'{"text": "hi", "language": "de"}', "hi", "de"),
        ("application/json", b'{"text": "hi", "language": "german"}', "hi", None),
        ("application/json", b'{"text": "x", "segments": [{"no_speech_prob": 0.9}]}', "", None),
        (
            "application/json",
            b'{"text": "hi", "segments": [{"no_speech_prob": 0.9}, {"no_speech_prob": 0.1}]}',
            "hi",
            None,
        ),
        ("application/json", b'{"text": "hi", "segments": [1, {}]}', "hi", None),
    ],
)
def test_every_form_of_answer_is_read(
    content_type: str, content: bytes, text: str, language: str | None
) -> None:
    transcript = parse_transcription(content, content_type)
    assert (transcript.text, transcript.language) == (text, language)


@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/plain", "text/html"]))
def test_no_answer_is_worse_than_refused(content: bytes, content_type: str) -> None:
    for each in (content, b'{"text":' + content + b"}"):
        try:
            parse_transcription(each, content_type)
        except EngineError:
            continue


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (("text/html", b"<html>"), "answered with text/html"),
        (("application/json", b'{"text": 1'), "broken JSON"),
        (("application/json", b'{"words": []}'), "has no text"),
        (("application/json", b'{"text": "' + b"x" * 1_100_000 + b'"}'), "too much"),
    ],
)
async def test_a_senseless_transcription_is_an_error(
    server: tuple[AudioServer, str], answer: tuple[str, bytes], reason: str
) -> None:
    fake, base_url = server
    fake.answer = answer
    with pytest.raises(EngineError, match=reason):
        await _heard(_recogniser(base_url))
    assert len(fake.heard) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_failure_is_tried_once_more(
    server: tuple[AudioServer, str], status: int
) -> None:
    fake, base_url = server
    fake.statuses.append(status)
    assert await _heard(_recogniser(base_url)) == "hello"
    assert len(fake.heard) == 2
    assert fake.heard[0] == fake.heard[1]


@pytest.mark.asyncio
@pytest.mark.parametrize(("statuses", "asked"), [([500, 502], 2), ([401], 1), ([302], 1)])
async def test_a_lasting_failure_is_an_error_that_says_what_the_server_said(
    server: tuple[AudioServer, str], statuses: list[int], asked: int
) -> None:
    fake, base_url = server
    fake.statuses.extend(statuses)
    with pytest.raises(EngineError, match=f"answered {statuses[-1]}: .*scripted"):
        await _heard(_recogniser(base_url))
    assert len(fake.heard) == asked


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match="ClientConnectorError"):
        await _heard(_recogniser(f"http://127.0.0.1:{lasting_port('127.0.0.1')}/v1"))


@pytest.mark.asyncio
async def test_a_server_that_never_answers_is_left(server: tuple[AudioServer, str]) -> None:
    fake, base_url = server
    fake.go.clear()
    with pytest.raises(EngineError, match="did not answer in time"):
        await _heard(_recogniser(base_url, timeout_s=0.2))
    assert len(fake.heard) == 1  # not tried again: that wait would come on top
    await asyncio.wait_for(fake.left.wait(), DEADLINE_S)


@pytest.mark.asyncio
async def test_a_cancelled_transcription_closes_its_request(
    server: tuple[AudioServer, str],
) -> None:
    fake, base_url = server
    fake.go.clear()
    task = asyncio.get_running_loop().create_task(_heard(_recogniser(base_url)))
    await asyncio.wait_for(fake.asked.wait(), DEADLINE_S)
    await cancel_and_wait(task)
    await asyncio.wait_for(fake.left.wait(), DEADLINE_S)


# -- speech --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_speech_is_asked_for_as_pcm(server: tuple[AudioServer, str]) -> None:
    fake, base_url = server
    assert await _all(_voice(base_url), "Good morning.", speed=1.25) == tone() * 3
    [spoken] = fake.spoken
    assert spoken.fields == {
        "model": "lips",
        "input": "Good morning.",
        "voice": "ada",
        "response_format": "pcm",
        "speed": 1.25,
    }
    assert spoken.authorization == "Bearer sk-2"


@pytest.mark.asyncio
async def test_speech_comes_as_it_is_made(server: tuple[AudioServer, str]) -> None:
    fake, base_url = server
    voice = _voice(base_url)
    fake.pieces, fake.holds_after = [tone(), tone(200)], 1
    fake.go.clear()
    async with aclosing(voice.synthesise("Hello.")) as pieces:
        made = await anext(pieces)
        while len(made) < len(tone()):
            made += await anext(pieces)
        fake.go.set()
        rest = b"".join([piece async for piece in pieces])
    assert len(made) == len(tone())
    assert len(rest) == len(tone(200))
    await voice.aclose()


@pytest.mark.asyncio
async def test_closing_the_iterator_closes_the_request(server: tuple[AudioServer, str]) -> None:
    fake, base_url = server
    voice = _voice(base_url)
    pieces = voice.synthesise("Hello.")
    fake.holds_after = 1
    fake.go.clear()
    assert await anext(pieces)
    await pieces.aclose()
    await asyncio.wait_for(fake.left.wait(), DEADLINE_S)
    await voice.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("audio/wav", streamed_wav(tone(300, 24_000), 24_000)),
        ("application/octet-stream", streamed_wav(tone(300, 16_000), 16_000)),
        ("audio/pcm", streamed_wav(tone(300, 44_100), 44_100)),
        ("audio/L16;rate=8000", tone(300, 8_000)),
        ("audio/pcm; rate=48000", tone(300, 48_000)),
    ],
)
async def test_other_rates_and_wav_files_are_understood(
    server: tuple[AudioServer, str], content_type: str, content: bytes
) -> None:
    fake, base_url = server
    fake.content_type = content_type
    fake.pieces = [content[start : start + 999] for start in range(0, len(content), 999)]
    pcm = await _all(_voice(base_url))
    assert len(pcm) / 2 / RATE_HZ == pytest.approx(0.3, abs=0.01)
    loudest = int(np.argmax(np.abs(np.fft.rfft(np.frombuffer(pcm, np.int16)))))
    assert loudest * RATE_HZ / (len(pcm) / 2) == pytest.approx(440, abs=5)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content_type": "audio/mpeg"}, "audio/mpeg: PCM or WAV is needed"),
        ({"content_type": "text/html"}, "text/html: PCM or WAV is needed"),
        ({"pieces": []}, "without any audio"),
        ({"pieces": [streamed_wav(b"", 24_000)]}, "without any audio"),
        ({"pieces": [streamed_wav(tone(), 24_000, bits=8)]}, "not 16-bit PCM"),
        ({"pieces": [b"RIFF\0\0\0\0AVI LIST"]}, "no WAV file"),
        ({"pieces": [tone(60_000)] * 3}, "has no end"),
        ({"breaks_after": 0}, "ClientPayloadError|ServerDisconnectedError|ClientOSError"),
        ({"breaks_after": 2}, "ClientPayloadError|ServerDisconnectedError|ClientOSError"),
    ],
)
async def test_senseless_and_broken_speech_is_an_error(
    server: tuple[AudioServer, str], change: dict[str, Any], reason: str
) -> None:
    fake, base_url = server
    for name, value in change.items():
        setattr(fake, name, value)
    with pytest.raises(EngineError, match=reason):
        await _all(_voice(base_url))


@pytest.mark.asyncio
async def test_speech_that_stalls_is_left(server: tuple[AudioServer, str]) -> None:
    fake, base_url = server
    voice = _voice(base_url, timeout_s=0.2)
    fake.holds_after = 1
    fake.go.clear()
    pieces = voice.synthesise("Hello.")
    assert await anext(pieces)
    with pytest.raises(EngineError, match="did not answer in time"):
        async for _ in pieces:
            pass
    await asyncio.wait_for(fake.left.wait(), DEADLINE_S)
    await voice.aclose()


# -- WAV -----------------------------------------------------------------------------------------


def test_stereo_is_mixed_and_a_known_length_is_kept() -> None:
    left = np.arange(0, 2_000, 2).astype(np.int16)
    both = np.stack([left, left + 100], axis=1).astype(np.int16).tobytes()
    content = streamed_wav(both, 16_000, channels=2)
    known = content.replace(b"data\xff\xff\xff\xff", b"data" + len(both).to_bytes(4, "little"))
    stream = WavStream()
    pcm = b"".join(stream.push(bytes([byte])) for byte in known + b"LIST....")
    assert stream.rate_hz == 16_000
    assert np.array_equal(np.frombuffer(pcm, np.int16), left + 50)


@given(st.lists(st.binary(max_size=80), max_size=10))
def test_no_bytes_break_the_wav_reader(pieces: list[bytes]) -> None:
    for start in (b"", b"RIFF\0\0\0\0WAVE", streamed_wav(b"", 8_000)):
        stream = WavStream()
        try:
            stream.push(start)
            for piece in pieces:
                stream.push(piece)
        except EngineError:
            continue
