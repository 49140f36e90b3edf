"""Small helpers."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from tests.wav_files import read_wav
from utils import (
    OwnedTasks,
    PcmDump,
    cancel_and_wait,
    run_unless,
    shorten,
    write_wav,
)

LOG = logging.getLogger("test")


@pytest.mark.asyncio
async def test_owned_tasks_end_with_their_owner() -> None:
    tasks = OwnedTasks(LOG)
    endless = tasks.start(asyncio.Event().wait(), name="endless")
    assert len(tasks) == 1
    await tasks.close()
    assert endless.cancelled()
    assert len(tasks) == 0


@pytest.mark.asyncio
async def test_a_failing_owned_task_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    tasks = OwnedTasks(LOG)
    task = tasks.start(fail(), name="failing")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert "task failing failed" in caplog.text
    assert "on purpose" in caplog.text


@pytest.mark.asyncio
async def test_an_owned_task_may_close_its_owner() -> None:
    tasks = OwnedTasks(LOG)
    task = tasks.start(tasks.close(), name="closer")
    await asyncio.wait_for(task, 1)


@pytest.mark.asyncio
async def test_cancel_and_wait_lets_our_own_cancellation_through() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    child = asyncio.get_running_loop().create_task(stubborn())
    await asyncio.sleep(0)
    waiting = asyncio.get_running_loop().create_task(cancel_and_wait(child))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    release.set()
    await asyncio.wait([child])


@pytest.mark.asyncio
async def test_run_unless_returns_the_result() -> None:
    async def answer() -> int:
        return 42

    assert await run_unless(asyncio.get_running_loop().create_future(), answer()) == 42


@pytest.mark.asyncio
async def test_run_unless_cancels_when_stopped() -> None:
    stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    was_cancelled = asyncio.Event()

    async def endless() -> None:
        stopped.set_result(None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise

    await run_unless(stopped, endless())
    assert was_cancelled.is_set()


@pytest.mark.asyncio
async def test_run_unless_raises_what_failed() -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await run_unless(asyncio.get_running_loop().create_future(), fail())


def test_long_strings_are_cut_at_every_depth() -> None:
    cut = shorten({"a": ["x" * 500], "b": 1}, limit=10)
    assert cut == {"a": ["xxxxxxxxxx… (500 characters)"], "b": 1}


def test_a_dump_appears_with_the_first_audio(tmp_path: Path) -> None:
    path = tmp_path / "new" / "call.pcm"
    dump = PcmDump(path)
    dump.close()
    assert not path.exists()
    dump.write(b"\x01\x02")
    dump.close()
    dump.close()
    assert path.read_bytes() == b"\x01\x02"


def test_a_full_disk_costs_the_dump_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    dump = PcmDump(Path("/dev/full"))
    for _ in range(3):
        dump.write(bytes(100_000))
    dump.close()
    late = PcmDump(Path("/dev/full"))
    late.write(b"\x01\x02")
    late.close()
    late.close()
    assert caplog.text.count("full is incomplete: No space left on device") == 2


def test_a_wav_survives(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", b"\x01\x00\x02\x00", 16_000)
    assert read_wav(tmp_path / "a.wav") == (b"\x01\x00\x02\x00", 16_000)
