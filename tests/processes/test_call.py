"""A call from the terminal to a real agent with the real local model, as the README shows it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from audio import Resampler, write_wav
from cli.call import SAMPLE_RATE_HZ
from speech.engines.whisper import WhisperRecogniser
from tests.deadlines import DEADLINE_S
from tests.fakes.outputs import bad_output
from tests.real_server import ROOT, RealServer, open_real_server, wait_until_gone
from tests.speech.understood import shared_words
from tests.wav_files import read_wav

SPEECH = ROOT / "tests" / "data" / "speech"


@dataclass
class Terminal:
    """Output and recording of the command."""

    lines: list[str]
    code: int
    answer: Path

    def said(self, start: str) -> list[str]:
        return [line.removeprefix(start).strip() for line in self.lines if line.startswith(start)]


def _question(path: Path, *parts: str | float) -> Path:
    """A WAV of utterances and pauses (seconds)."""
    pcm = b""
    for part in parts:
        pcm += bytes(int(part * 32_000)) if isinstance(part, float) else _utterance(part)
    write_wav(path, pcm, 16_000)
    return path


def _utterance(name: str) -> bytes:
    pcm, rate_hz = read_wav(SPEECH / f"{name}.wav")
    assert rate_hz == 16_000
    return pcm


async def _start_agent(server: RealServer, **more: str) -> int:
    body = {"channel_name": "demo", "uid": 1000, **more}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}start_agent", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
    return await server.agent_pid("demo")


async def _call(
    server: RealServer, question: Path, answer: Path, output: int = asyncio.subprocess.PIPE
) -> Terminal:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "call", "--channel_name=demo"),
        *(f"--server={server.url}", f"--in={question}", f"--out={answer}"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PARLEY_ENV_FILE": ""},
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        said, _ = await process.communicate()
    return Terminal((said or b"").decode().splitlines(), process.returncode or 0, answer)


def _recognise(path: Path) -> str:
    pcm, rate_hz = read_wav(path)
    assert rate_hz == SAMPLE_RATE_HZ
    resampler = Resampler(SAMPLE_RATE_HZ, 16_000)
    return WhisperRecogniser().transcribe(resampler.push(pcm) + resampler.flush()).text.lower()


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["stuck pipe", "broken pipe", "full disk"])
async def test_a_call_goes_on_when_its_output_is_not_read(kind: str, tmp_path: Path) -> None:
    question = _question(tmp_path / "question.wav", "u01_f")
    async with open_real_server(TZ="UTC") as server:
        await _start_agent(server, toolset="everyday", greeting="Good day.")
        with bad_output(kind) as output:
            call = await _call(server, question, tmp_path / "answer.wav", output.fd)
        assert (call.code, call.lines) == (0, [])
        assert "good day" in _recognise(call.answer)


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_a_question_is_answered_with_a_tool_and_heard(tmp_path: Path) -> None:
    question = _question(tmp_path / "question.wav", "u01_f")
    async with open_real_server(TZ="UTC") as server:
        pid = await _start_agent(server, toolset="everyday", greeting="Good day.")
        call = await _call(server, question, tmp_path / "answer.wav")
        assert call.code == 0, call.lines
        assert call.said("you:") == ["What time is it?"]
        assert any("get_current_time" in line for line in call.said("tool:"))
        greeting, answer = call.said("agent:")
        assert greeting == "Good day."
        heard = _recognise(call.answer)
        assert "good day" in heard
        # Not each word: how well the time of day is heard depends on it.
        assert shared_words(answer, heard.split("good day")[1]), (answer, heard)
        async with aiohttp.ClientSession() as http:
            body = {"channel_name": "demo"}
            async with http.post(f"{server.url}stop_agent", json=body) as stopped:
                assert stopped.status == 200
        await wait_until_gone(pid)


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_a_story_is_interrupted(tmp_path: Path) -> None:
    # The story takes half a minute; the caller speaks up four seconds into it.
    question = _question(tmp_path / "question.wav", "u18_f", 5.0, "u22_f")
    async with open_real_server() as server:
        await _start_agent(server)
        call = await _call(server, question, tmp_path / "answer.wav")
        assert call.code == 0, call.lines
        (heard,) = call.said("agent, interrupted, was heard saying:")
        assert len(heard) > 10
        assert "hello" in call.said("you:")[-1].lower()
        pcm, _ = read_wav(call.answer)
        assert len(pcm) / 2 / SAMPLE_RATE_HZ < 25, "the story went on"


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_agent_in_the_foreground_leaves_on_a_signal(number: signal.Signals) -> None:
    async with open_real_server() as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "main", "agent", "--channel_name=demo", "--uid=5"),
            f"--server={server.url.rstrip('/')}",
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PARLEY_ENV_FILE": ""},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while b"-> ready" not in await process.stderr.readline():
                pass
            process.send_signal(number)
            rest = await process.stderr.read()
            assert await process.wait() == 0
        assert b"Traceback" not in rest
        assert b"-> exited" in rest
