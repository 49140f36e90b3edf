"""Keys that a function or a program gives: kept, made anew, bounded, and never repeated."""

from __future__ import annotations

import asyncio
import functools
import os
import shlex
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realtime import events as ours
from realtime.api_keys import MAX_KEY_CHARACTERS, forget_key, resolve_key
from realtime.key_command import KeyCommand
from realtime.model import ApiKey, ModelConnectError, RealtimeModelConfig
from realtime.openai.client_secrets import client_secret_key
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ResilientModel
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults
from tests.realtime.resilience.stage import FAST, collecting


def python(source: str, **options: Any) -> KeyCommand:
    return KeyCommand([sys.executable, "-c", source], **options)


async def failure(key: ApiKey) -> str:
    with pytest.raises(ModelConnectError) as caught:
        await resolve_key(key)
    assert (caught.value.code, caught.value.is_retryable) == ("no_api_key", True)
    return str(caught.value)


async def until(condition: Callable[[], bool]) -> None:
    """Until another thread or process has this effect."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - neither tells the loop
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


class _Asker:
    async def __call__(self) -> str:
        return "k"


async def _asked() -> str:
    return "k"


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["k", lambda: " k\n", _asked, _Asker(), functools.partial(_asked)])
async def test_a_key_is_given_in_any_form(key: ApiKey) -> None:
    assert await resolve_key(key) == "k"


@pytest.mark.asyncio
async def test_a_function_that_blocks_keeps_no_loop_waiting() -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow() -> str:
        is_asked.set()
        may_answer.wait(DEADLINE_S)
        return "k"

    task = asyncio.get_running_loop().create_task(resolve_key(slow))
    await until(is_asked.is_set)
    may_answer.set()
    assert await task == "k"


def _fail() -> str:
    raise RuntimeError("sk-secret")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [None, 3, b"k", "", "two words", "sk-\n-secret", "é", "x" * (MAX_KEY_CHARACTERS + 1)],
)
async def test_nonsense_is_no_key_and_is_not_repeated(answer: Any) -> None:
    words = await failure(lambda: answer)
    assert "visible ASCII" in words
    assert not answer or str(answer) not in words


@pytest.mark.asyncio
async def test_a_failing_function_is_named_by_its_kind_alone() -> None:
    words = await failure(_fail)
    assert "RuntimeError" in words
    assert "secret" not in words


# -- programs ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_program_gets_its_arguments_without_a_shell(tmp_path: Path) -> None:
    line = f"{sys.executable} -c 'import sys; print(sys.argv[1])' '$HOME;id>x'"
    assert await KeyCommand(shlex.split(line))() == "$HOME;id>x"


@pytest.mark.asyncio
async def test_a_key_is_kept_for_its_time_and_until_it_is_refused(tmp_path: Path) -> None:
    counter = tmp_path / "runs"
    now_s = 100.0
    source = (
        f"from pathlib import Path; p = Path({str(counter)!r});"
        "n = len(p.read_text()) + 1 if p.exists() else 1; p.write_text('x' * n); print(f'key{n}')"
    )
    command = python(source, lifetime_s=60, clock=lambda: now_s)
    assert set(await asyncio.gather(command(), command())) == {"key1"}
    now_s = 159.0
    assert await command() == "key1"
    now_s = 160.0
    assert await command() == "key2"
    assert not forget_key(command), "a fresh key that is refused is refused again"
    assert await command() == "key3"
    assert await command() == "key3"
    assert forget_key(command)
    assert await command() == "key4"
    assert not forget_key("k")
    assert not forget_key(lambda: "k")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("print('sk-secret'); raise SystemExit(3)", "failed with status 3"),
        ("pass", "visible ASCII"),
        ("print('sk secret')", "visible ASCII"),
        ("print('sk-secret' * 9_000)", "more than"),
        ("import sys; sys.stdout.buffer.write(bytes([255, 254]))", "visible ASCII"),
    ],
)
async def test_a_program_without_a_key_says_so_and_nothing_of_its_output(
    source: str, words: str
) -> None:
    told = await failure(python(source))
    assert words in told
    assert "secret" not in told


@pytest.mark.asyncio
async def test_a_program_that_is_not_there_is_named() -> None:
    assert "no-such-program cannot be run" in await failure(KeyCommand(["/x/no-such-program"]))


@pytest.mark.asyncio
async def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    source = (
        "import subprocess, sys, pathlib;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(p.pid)); p.wait()"
    )
    command = python(source, deadline_s=3.0)
    task = asyncio.get_running_loop().create_task(command())
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = int(pid_file.read_text())
    await until(lambda: not is_running(pid))


@pytest.mark.asyncio
async def test_a_program_that_is_too_slow_is_named() -> None:
    words = await failure(python("import time; time.sleep(60)", deadline_s=0.2))
    assert f"{os.path.basename(sys.executable)} gave none in 0.2 s" in words


# -- sessions ----------------------------------------------------------------------------------


def config(server: FakeRealtimeServer, key: ApiKey) -> RealtimeModelConfig:
    return RealtimeModelConfig("gpt-realtime-2.1", server.uri, key, timeout_s=5.0)


@pytest.mark.asyncio
async def test_a_kept_key_that_is_refused_is_made_anew_at_once(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("first\n")
    async with FakeRealtimeServer(faults=Faults(api_key="first")) as server:
        command = KeyCommand(["cat", str(key_file)])
        model = ResilientModel(OpenAIRealtimeModel, options=FAST)
        await model.connect(config(server, command))
        async with collecting(model) as talk:
            session = await server.next_session()
            key_file.write_text("second\n")
            server.faults.api_key = "second"
            await session.drop()
            await server.next_session()
            await talk.until_status(ours.ConnectionStatus.OPEN, 2)
            assert not talk.all_of(ours.SessionEnded)


@pytest.mark.asyncio
async def test_a_fresh_key_that_is_refused_is_not_asked_for_twice() -> None:
    asked: list[None] = []

    def key() -> str:
        asked.append(None)
        return "wrong"

    async with FakeRealtimeServer(faults=Faults(api_key="right")) as server:
        for wrong in (key, KeyCommand(["echo", "wrong"])):
            model = ResilientModel(OpenAIRealtimeModel, options=FAST)
            with pytest.raises(ModelConnectError) as caught:
                await model.connect(config(server, wrong))
            assert caught.value.code == "invalid_api_key"
            await model.close()
    assert len(asked) == 1


@pytest.mark.asyncio
async def test_each_session_is_opened_with_an_ephemeral_key_of_its_own() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key="real")) as server:
        model = ResilientModel(OpenAIRealtimeModel, options=FAST)
        await model.connect(config(server, client_secret_key(server.uri, "real")))
        async with collecting(model):
            session = await server.next_session()
            await session.drop()
            await server.next_session()
            assert len(server.ephemeral_keys) == 2
