"""The ten scenarios of the examples, as an owner runs them, and what is left when they are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.deadlines import DEADLINE_S
from tests.real_server import ROOT, poll
from tests.scenarios.sites import APP, EXAMPLES, environment

STOPPED_S = 60.0


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the command puts what is temporary."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def _command(
    *options: str | Path, temporary: Path, app: Path = APP
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m main test`, which is killed at the end if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "test", *map(str, options), "--app", str(app)),
        cwd=ROOT,
        env=environment() | {"TMPDIR": str(temporary)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _output(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.speech
@pytest.mark.timeout(400)
@pytest.mark.asyncio
async def test_all_of_them_pass(tmp_path: Path, temporary: Path) -> None:
    files = sorted(EXAMPLES.glob("*.yaml"))
    assert len(files) == 10
    reports: list[str | Path] = [
        *("--json", tmp_path / "all.json", "--junit", tmp_path / "all.xml"),
        *("--report", tmp_path / "report"),
    ]
    async with _command(*files, "--parallel", "2", *reports, temporary=temporary) as process:
        code, said = await _output(process)
    assert code == 0, said
    results = json.loads((tmp_path / "all.json").read_text())
    assert len(results["scenarios"]) == 10
    assert len(ET.parse(tmp_path / "all.xml").findall(".//testcase")) >= 10
    assert (tmp_path / "report" / "index.html").is_file()
    assert len([*(tmp_path / "report").glob("*.wav")]) >= 10
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["no.yaml"], "no.yaml: cannot be read"),
        ([str(EXAMPLES / "hang_up.yaml"), "--only", "nothing"], "there is hang up"),
        ([str(EXAMPLES / "hang_up.yaml")] * 2, "two scenarios are called hang up"),
        ([str(EXAMPLES / "hang_up.yaml"), "--server", "http://127.0.0.1:9"], "no server answers"),
    ],
)
@pytest.mark.asyncio
async def test_what_is_wrong_ends_with_code_2(
    temporary: Path, options: list[str], words: str
) -> None:
    async with _command(*options, temporary=temporary) as process:
        code, said = await _output(process)
    assert code == 2, said
    assert words in said


@pytest.mark.timeout(240)
@pytest.mark.asyncio
async def test_an_app_that_cannot_be_loaded_is_shown(tmp_path: Path, temporary: Path) -> None:
    app = tmp_path / "broken.py"
    app.write_text("from parley import Agent\nagent = Agent('a', voice=3\n")
    scenario = EXAMPLES / "hang_up.yaml"
    async with _command(scenario, temporary=temporary, app=app) as process:
        code, said = await _output(process)
    assert code == 2, said
    assert "broken.py" in said
    assert os.listdir(temporary) == []


@pytest.mark.speech
@pytest.mark.timeout(240)
@pytest.mark.asyncio
async def test_nothing_is_left_when_it_is_stopped_in_the_middle_of_a_call(
    tmp_path: Path, temporary: Path
) -> None:
    scenario = tmp_path / "long.yaml"
    scenario.write_text(
        "name: long\nagent: restaurant\nfirst: agent\nturns: [{silence_s: 500}]\ntimeout_s: 900\n"
    )
    async with _command(scenario, temporary=temporary) as process:
        running: list[psutil.Process] = []

        async def is_calling() -> bool:
            assert process.returncode is None, (await _output(process))[1]
            running[:] = psutil.Process(process.pid).children(recursive=True)
            return any(_is_in_call(each) for each in running)

        await poll(is_calling, 120.0)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOPPED_S):
            code, said = await _output(process)
    assert code == 130, said
    assert "nothing is left running" in said

    async def are_gone() -> bool:
        return not any(each.is_running() for each in running)

    await poll(are_gone, DEADLINE_S)
    assert os.listdir(temporary) == []


def _is_in_call(process: psutil.Process) -> bool:
    """Whether this is an agent with media: it has a UDP socket."""
    try:
        return len(process.net_connections("udp")) > 0
    except psutil.Error:
        return False
