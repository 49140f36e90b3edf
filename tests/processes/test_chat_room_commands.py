"""A chat room that a command of the terminal runs in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from audio import write_wav
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.processes.conftest import ROOT, ServerProcess
from tests.processes.test_app import serve
from tests.processes.test_chat_room import APP, sessions


async def run(
    server: ServerProcess, provider: FakeRealtimeServer, *arguments: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", *arguments),
        *("--channel_name=demo", "--agent=panel", f"--server={server.url}"),
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PARLEY_ENV_FILE": "",
            "MODEL_PROVIDER": "openai",
            "OPENAI_API_KEY": "sk-test",
            "REALTIME_API_BASE_URI": provider.uri,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.asyncio
async def test_a_room_runs_in_the_foreground(tmp_path: Path) -> None:
    app = tmp_path / "panel.py"
    app.write_text(APP)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            process = await run(server, provider, "agent", f"--app={app}")
            models = await sessions(provider)
            assert set(models) == {"ada", "ben"}
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                _, errors = await process.communicate()
            assert process.returncode == 0, errors.decode()


@pytest.mark.asyncio
async def test_a_call_from_the_terminal_shows_which_agent_speaks(tmp_path: Path) -> None:
    app, question = tmp_path / "panel.py", tmp_path / "question.wav"
    app.write_text(APP)
    write_wav(question, tone(800), 24_000)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            files = (f"--in={question}", f"--out={tmp_path / 'answer.wav'}")
            process = await run(server, provider, "call", f"--app={app}", *files)
            models = await sessions(provider)
            ada, ben = models["ada"], models["ben"]
            item = await ada.speech_started()
            await ada.wait_loud(300)
            await ada.speech_stopped(item, "Ben, are you there?")
            await ben.wait_for("response.create")
            await ben.say(tone(300), "Yes, ask Ada.")
            await ada.wait_for("response.create")
            await ada.say(tone(300), "So am I.")
            async with asyncio.timeout(DEADLINE_S):
                output, errors = await process.communicate()
            assert process.returncode == 0, (output + errors).decode()
            lines = output.decode().splitlines()
            wanted = ["you:   Ben, are you there?", "Ben: Yes, ask Ada.", "Ada: So am I."]
            assert [line for line in lines if line in wanted] == wanted, lines
