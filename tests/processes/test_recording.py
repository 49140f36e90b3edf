"""Recordings of real agent processes that are killed, and on a disk that is full."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.fakes.openai_realtime import tone
from tests.processes.conftest import until
from tests.processes.test_real_agent import START, serve
from tests.processes.test_recall import calling
from tests.recordings import Recording, tiny_disk
from tests.rtc.sound import has_tone

# Made beforehand: it takes long, and the calls of this process would stand still meanwhile.
RATE_HZ = 24_000
BEFORE, AFTER, LONG = tone(400, hz=440), tone(400, hz=880), tone(2_500)


def only_file(directory: Path) -> Path:
    [path] = directory.iterdir()
    return path


@pytest.mark.asyncio
async def test_a_recording_outlives_its_process_and_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "recordings"
    changes = {"recordings_dir": str(directory)}
    async with calling(tmp_path, changes=changes, recording=True) as scene:
        path = only_file(directory)
        assert path.stem == (await scene.shown())["agent_id"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await scene.session.say(BEFORE, "before")
        await scene.person.wait_event("agent_playout_done")
        await until(lambda: Recording.read(path).right.total_ms >= 380)
        revived = await scene.kill()
        before = Recording.read(path)
        await scene.person.wait_ready_agents(2)
        await revived.say(AFTER, "after")
        await scene.person.wait_event("agent_playout_done", 2)
        status, _ = await scene.server.post("/stop_agent", {"channel_name": "demo"})
        assert status == 200
        call = Recording.read(path)
        assert call.right.loud_ms[: len(before.right.loud_ms)] == before.right.loud_ms
        assert call.right.total_ms == pytest.approx(800, abs=50)
        assert call.right.loud_ms[len(before.right.loud_ms)] > before.duration_ms - 1
        place = round(before.duration_ms) * len(call.right.samples) // round(call.duration_ms)
        earlier, later = call.right.samples[:place], call.right.samples[place:]
        assert has_tone(earlier.tobytes(), 440, RATE_HZ)
        assert has_tone(later.tobytes(), 880, RATE_HZ)
        assert only_file(directory) == path


@pytest.mark.asyncio
async def test_a_full_disk_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    directory = tmp_path / "recordings"
    directory.mkdir()
    changes = {"recordings_dir": str(directory)}
    with tiny_disk(directory, 128 * 1024):
        async with calling(tmp_path, changes=changes, recording=True) as scene:
            path = only_file(directory)
            await scene.session.say(LONG, "more than fits")
            await scene.person.wait_event("agent_playout_done")
            await scene.wait_shown(
                lambda shown: (shown["vitals"] or {}).get("recording") == "incomplete"
            )
            await scene.session.say(tone(300), "still here")
            await scene.person.wait_event("agent_playout_done", 2)
            call = Recording.read(path)
            assert call.duration_ms > 500
            assert call.right.loud_ms
            assert "the recording is incomplete" in scene.server.log.read_text()


@pytest.mark.asyncio
async def test_a_recording_needs_a_folder(tmp_path: Path) -> None:
    with serve(tmp_path, "ws://127.0.0.1:9") as server:
        status, answer = await server.post("/start_agent", START | {"recording": True})
        assert (status, answer["code"]) == (400, "recording_unavailable")
        assert "RECORDINGS_DIR" in answer["error"]
