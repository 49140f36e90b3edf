"""The recorder on real disks: while it goes on, over two processes, on a full and a missing disk."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from session.recording.recorder import Recorder, RecordingState
from session.recording.wav import HEAD_BYTES, WavHead
from tests.deadlines import DEADLINE_S
from tests.recordings import Recording, tiny_disk

RATE_HZ = 24_000
LOUD_FRAME = np.full(RATE_HZ // 50, 9_000, np.int16).tobytes()
# Opening a file under a lease blocks until its holder releases it.
HOLD = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
"""

log = logging.getLogger("test")


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - a file sends no event
            await asyncio.sleep(0.02)


async def opened(path: Path) -> Recorder:
    recorder = Recorder(path, RATE_HZ, log)
    await recorder.open()
    return recorder


def speak(recorder: Recorder, begin_s: float, duration_ms: int) -> None:
    """Both sides are loud for a while."""
    for number in range(duration_ms // 20):
        recorder.handle_received_audio(7, LOUD_FRAME, begin_s + number * 0.02)
        recorder.handle_sent_audio(LOUD_FRAME, begin_s + number * 0.02)


def description(path: Path) -> str:
    return WavHead.parse(path.read_bytes()[:HEAD_BYTES]).description


@pytest.mark.asyncio
async def test_the_file_is_readable_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "a1.wav"
    recorder = await opened(path)
    assert Recording.read(path).duration_ms == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    speak(recorder, now_s(), 1_000)
    await until(lambda: Recording.read(path).duration_ms > 0)
    await until(lambda: Recording.read(path).duration_ms >= 1_000)
    await recorder.close()
    await recorder.close()
    written = Recording.read(path)
    assert written.left.spurts_ms == written.right.spurts_ms == [(0, 1_000)]
    assert recorder.state is RecordingState.ON
    assert description(path) == "Call a1"


@pytest.mark.asyncio
async def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    recorder = await opened(tmp_path / "a1.wav")
    speak(recorder, now_s(), 200)
    await recorder.close()
    assert Recording.read(tmp_path / "a1.wav").left.spurts_ms == [(0, 200)]


@pytest.mark.asyncio
async def test_a_call_without_any_sound_leaves_no_file(tmp_path: Path) -> None:
    recorder = await opened(tmp_path / "a1.wav")
    await recorder.close()
    assert not (tmp_path / "a1.wav").exists()


@pytest.mark.asyncio
async def test_another_process_goes_on_at_the_right_time(tmp_path: Path) -> None:
    path = tmp_path / "a1.wav"
    first = await opened(path)
    begin_s = now_s()
    speak(first, begin_s, 400)
    begun_s = now_s()
    await first.close()
    # As a lost process leaves it: half a sample too much, and a head that knows less.
    data = path.read_bytes()
    head = WavHead.parse(data[:HEAD_BYTES])
    shorter = WavHead(RATE_HZ, head.data_bytes - 4_000, head.began_ms, head.description)
    path.write_bytes(shorter.to_bytes() + data[HEAD_BYTES:] + b"\1\2\3")
    await asyncio.sleep(max(0.0, begin_s + 0.8 - now_s()))
    second = await opened(path)
    again_s = now_s()
    speak(second, again_s, 400)
    late_ms = (now_s() - again_s + begun_s - begin_s) * 1000
    await second.close()
    written = Recording.read(path)
    assert len(written.left.spurts_ms) == 2
    (begin_ms, end_ms), (again_ms, last_ms) = written.left.spurts_ms
    assert (begin_ms, end_ms) == (0, 400)
    assert last_ms - again_ms == pytest.approx(400, abs=10)
    assert again_ms == pytest.approx((again_s - begin_s) * 1000, abs=25 + late_ms)


@pytest.mark.asyncio
async def test_a_clock_that_was_set_back_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a1.wav"
    path.write_bytes(WavHead(RATE_HZ, 4 * RATE_HZ, 4_000_000_000_000, "Call a1").to_bytes())
    path.write_bytes(path.read_bytes() + bytes(4 * RATE_HZ))
    recorder = await opened(path)
    speak(recorder, now_s(), 100)
    await recorder.close()
    assert Recording.read(path).left.spurts_ms == [(1_000, 1_100)]


@pytest.mark.asyncio
@pytest.mark.parametrize("content", [b"x" * 2 * HEAD_BYTES, WavHead(8_000, 0, 0, "").to_bytes()])
async def test_a_file_of_another_kind_is_left_alone(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a1.wav"
    path.write_bytes(content)
    recorder = await opened(path)
    speak(recorder, now_s(), 100)
    await recorder.close()
    assert path.read_bytes() == content
    assert recorder.state is RecordingState.INCOMPLETE
    assert "the call goes on" in caplog.text


@pytest.mark.asyncio
async def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "a1.wav").symlink_to(tmp_path / "target")
    recorder = await opened(tmp_path / "a1.wav")
    speak(recorder, now_s(), 100)
    await recorder.close()
    assert (tmp_path / "target").read_bytes() == b""
    assert recorder.state is RecordingState.INCOMPLETE


@pytest.mark.asyncio
async def test_a_missing_folder_is_told_and_nothing_else_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = await opened(tmp_path / "gone" / "a1.wav")
    speak(recorder, now_s(), 100)
    await recorder.close()
    assert recorder.state is RecordingState.INCOMPLETE
    assert "No such file" in caplog.text


@pytest.mark.asyncio
async def test_a_file_that_does_not_open_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a1.wav"
    path.touch()
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    recorder = await opened(path)
    assert recorder.state is RecordingState.INCOMPLETE
    assert "does not answer" in caplog.text
    speak(recorder, now_s(), 100)
    holder.stdin.close()
    await holder.wait()
    async with asyncio.timeout(DEADLINE_S):
        await recorder.close()


@pytest.mark.asyncio
async def test_a_full_disk_leaves_what_fitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a1.wav"
    with tiny_disk(tmp_path, 256 * 1024):
        recorder = await opened(path)
        begin_s = now_s()
        speak(recorder, begin_s, 1_000)
        await until(lambda: Recording.read(path).duration_ms >= 1_000)
        speak(recorder, begin_s + 1, 6_000)
        await recorder.close()
        written = Recording.read(path)
        assert recorder.state is RecordingState.INCOMPLETE
        assert written.left.spurts_ms[0][0] == 0
        assert written.left.spurts_ms[0][1] >= 1_000
        assert "incomplete from" in description(path)
        assert os.strerror(28) in description(path) or os.strerror(27) in description(path)
        assert caplog.text.count("the recording is incomplete") == 1


@pytest.mark.asyncio
async def test_a_disk_with_room_again_is_used_again(tmp_path: Path) -> None:
    path, filler = tmp_path / "a1.wav", tmp_path / "filler"
    with tiny_disk(tmp_path, 1024 * 1024):
        recorder = await opened(path)
        begin_s = now_s()
        speak(recorder, begin_s, 100)
        await until(lambda: Recording.read(path).duration_ms >= 100)
        if not fill(filler):
            pytest.skip("a limit on the size of files leaves no room to fill")
        speak(recorder, begin_s + 1, 2_000)
        await until(lambda: recorder.state is RecordingState.INCOMPLETE)
        filler.unlink()
        # Later than anything that was lost.
        speak(recorder, max(now_s(), begin_s + 3.5), 200)
        await recorder.close()
        spurts_ms = Recording.read(path).left.spurts_ms
        assert spurts_ms[0][0] == 0
        assert spurts_ms[-1][1] - spurts_ms[-1][0] == pytest.approx(200, abs=10)


def fill(path: Path) -> bool:
    """Take all the room there is; False when a file may not be so large."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            return error.errno == 28
