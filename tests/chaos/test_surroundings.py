"""What happens around a call: the disk fills, the clock steps."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.stage import scene
from tests.recordings import tiny_disk

DAY_S = 86_400
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* The wall clock of this process, off by as many seconds as the file says. */
static long offset(void) {
  static volatile long *shared;
  if (!shared) {
    int file = open(getenv("PARLEY_TEST_CLOCK"), O_RDONLY);
    shared = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    close(file);
  }
  return *shared;
}
int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(id, now);
  if (id == CLOCK_REALTIME) now->tv_sec += offset();
  return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int result = real(now, zone);
  now->tv_sec += offset();
  return result;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_full_disk_costs_what_is_written_and_no_call(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    more: dict[str, Any] = {
        "data_dir": str(disk / "data"),
        "dump_dir": str(disk),
        "write_agent_pcm": True,
    }
    with tiny_disk(disk, 2 * 1024 * 1024):
        async with scene(tmp_path, **more) as here:
            status, answer = await here.start("")
            assert status == 200, answer
            here.call_id = answer["agent_id"]
            filler = disk / "filler"
            fill(filler)
            session = await here.provider.next_session()
            await here.join()
            await session.speech_stopped(await session.speech_started(), "is anybody there")
            await here.is_heard_again(session, is_new_process=False)
            shown = await here.shown()
            assert (shown["state"], shown["restarts"]) == ("running", 0)
            status, _ = await here.server.post("/stop_agent", {"channel_name": "demo"})
            assert status == 200
            assert "is incomplete: No space left on device" in here.server.log.read_text()
            filler.unlink()
            # What could not be written waited.
            assert (await here.stored())["exit_reason"] == "stopped"
            await here.nothing_left()


def fill(path: Path) -> None:
    """Until not a byte goes in any more."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_step_of_the_wall_clock_is_nobodys_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("l", 0))
    library = build_clock(tmp_path)
    monkeypatch.setenv("PARLEY_TEST_CLOCK", str(clock))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    async with scene(tmp_path) as here:
        monkeypatch.delenv("LD_PRELOAD")
        status, answer = await here.start("")
        assert status == 200, answer
        here.call_id = answer["agent_id"]
        session = await here.provider.next_session()
        await here.join()
        pid = (await here.shown())["pid"]
        assert str(library) in maps_of(pid), "its clock is the real one"
        for step_s in (DAY_S, -DAY_S, 0):
            step(clock, step_s)
            await here.is_heard_again(session, is_new_process=False)
            shown = await here.shown()
            assert (shown["state"], shown["restarts"]) == ("running", 0)
            assert 0 <= shown["heartbeat_age_s"] < 10
            assert 0 <= shown["uptime_s"] < 600
        step(clock, DAY_S)
        status, answer = await here.server.post("/stop_agent", {"channel_name": "demo"})
        assert (status, answer["exit_reason"]) == (200, "stopped")
        # The stamps are the clock's, so the step was one.
        record = await here.stored()
        assert record["ended_at_ms"] - record["started_at_ms"] > DAY_S * 1000
        await here.nothing_left()


def step(clock: Path, offset_s: int) -> None:
    """Put the server's and its agents' wall clocks off, from now on."""
    with clock.open("r+b") as file:
        file.write(struct.pack("l", offset_s))


def maps_of(pid: int) -> str:
    """The libraries of a process."""
    return Path(f"/proc/{pid}/maps").read_text()


def build_clock(folder: Path) -> Path:
    """The library in front of the wall clock."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    compiler = shutil.which("cc")
    assert compiler is not None, "install a C compiler"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library
