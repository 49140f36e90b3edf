"""Faults of a call's environment that it must survive: a full disk, a stepped clock, a hung provider."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from control.admission.policy import AGENT_DESCRIPTORS
from tests.chaos.stage import DESCRIPTORS, Scene
from tests.fakes.freezing_relay import FreezingRelay
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.faulty_forkserver import allow, refuse
from tests.processes.test_real_agent import START
from tests.processes.test_server import forkserver_of, until_not_ready
from tests.recordings import tiny_disk

DAY_S = 86_400
_DISK_BYTES = 2 * 1024 * 1024
_CLOCK = """
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


class EnvironmentFault:
    """One fault of a call's environment, triggered by `inject`."""

    breaks_model = False
    """True if the model's session is lost."""
    is_model_back = False
    """True if a start during the fault waits for its end."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        """Prepare the environment, still without the fault; yield settings for the server."""
        yield {}

    def enter(self) -> None:
        """Called once the server runs."""

    def check_agent(self, pid: int) -> None:
        """Check that the fault can affect this process."""

    async def inject(self, here: Scene) -> None:
        """Trigger the fault."""
        raise NotImplementedError

    def heal(self) -> None:
        """End the fault, after the call."""

    def check_record(self, record: dict[str, Any]) -> None:
        """Check the trace of the fault in the call's record, if it leaves one."""


class FullDisk(EnvironmentFault):
    """The disk of the data and dump folders is full."""

    @property
    def _disk(self) -> Path:
        return self._folder / "disk"

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        self._disk.mkdir()
        with tiny_disk(self._disk, _DISK_BYTES):
            yield {
                "data_dir": str(self._disk / "data"),
                "dump_dir": str(self._disk),
                "write_agent_pcm": True,
            }

    async def inject(self, here: Scene) -> None:
        with (self._disk / "filler").open("wb", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def heal(self) -> None:
        (self._disk / "filler").unlink()


class SteppedClock(EnvironmentFault):
    """The wall clock of server and agents steps a day ahead, then back beyond its first time."""

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        self._set(0)
        self._library = build_clock(self._folder)
        self._monkeypatch.setenv("PARLEY_TEST_CLOCK", str(self._file))
        self._monkeypatch.setenv("LD_PRELOAD", str(self._library))
        yield {}

    def enter(self) -> None:
        self._monkeypatch.delenv("LD_PRELOAD")

    @property
    def _file(self) -> Path:
        return self._folder / "clock"

    def _set(self, offset_s: int) -> None:
        # In place: processes have it mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("l", offset_s))

    def check_agent(self, pid: int) -> None:
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert str(self._library) in maps, "its clock is the real one"

    async def inject(self, here: Scene) -> None:
        self._set(DAY_S)
        # All processes have it mapped.
        shown = await here.shown()
        assert 0 <= shown["uptime_s"] < 600
        self._set(-DAY_S)

    def heal(self) -> None:
        self._set(0)

    def check_record(self, record: dict[str, Any]) -> None:
        # The stamps are the wall clock's, so the step is one of theirs.
        assert record["ended_at_ms"] < record["started_at_ms"]


class HungProvider(EnvironmentFault):
    """The provider's sockets stay open and carry nothing; new ones find it mute or healthy."""

    breaks_model = True

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        async with FreezingRelay(int(provider.uri.rpartition(":")[2])) as self._relay:
            yield {"realtime_api_base_uri": self._relay.uri}

    async def inject(self, here: Scene) -> None:
        # An agent without a session yet gets none.
        here.provider.faults.is_mute = not here.provider.sessions
        self._relay.freeze()


class LostForkserver(EnvironmentFault):
    """The forkserver is killed."""

    number = signal.SIGKILL

    async def inject(self, here: Scene) -> None:
        lost = forkserver_of(here.server)
        lost.send_signal(self.number)
        # Until its replacement runs.
        await until_not_ready(here.server, "forkserver")
        await here.wait_ready_again()
        assert forkserver_of(here.server).pid != lost.pid


class HungForkserver(LostForkserver):
    """It is there, and does nothing, until the server ends it."""

    number = signal.SIGSTOP


class RefusedForks(EnvironmentFault):
    """The kernel refuses forks: a limit is reached, or memory is short."""

    async def inject(self, here: Scene) -> None:
        refuse(self._folder / "data", "EAGAIN", "forkserver")
        status, answer = await another_start(here)
        assert (status, answer["code"]) in {(502, "start_failed"), (503, "draining")}, answer

    def heal(self) -> None:
        allow(self._folder / "data")


class NoDescriptors(EnvironmentFault):
    """The server has too few descriptors left for one more agent."""

    async def inject(self, here: Scene) -> None:
        self._server = psutil.Process(here.server.process.pid)
        limit = self._server.num_fds() + AGENT_DESCRIPTORS - 2
        self._server.rlimit(psutil.RLIMIT_NOFILE, (limit, DESCRIPTORS))
        status, answer = await another_start(here)
        assert (status, answer["code"]) in {(429, "at_capacity"), (503, "draining")}, answer

    def heal(self) -> None:
        self._server.rlimit(psutil.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


class LostModel(EnvironmentFault):
    """The local model server is killed; another one follows on the same port."""

    breaks_model = True
    is_model_back = True
    number = signal.SIGKILL

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        port = provider.uri.rpartition(":")[2]
        command = (sys.executable, "-m", "tests.chaos.model_relay", "{fd}", port)
        self._monkeypatch.setenv("PARLEY_TEST_MODEL", json.dumps(command))
        yield {"model_provider": "local", "local_model_uri": None}

    def enter(self) -> None:
        self._monkeypatch.delenv("PARLEY_TEST_MODEL")

    async def inject(self, here: Scene) -> None:
        self._send_signal(here)
        # Reported in the status.
        await until_not_ready(here.server, "local model")

    def _send_signal(self, here: Scene) -> None:
        children = psutil.Process(here.server.process.pid).children()
        (model,) = (one for one in children if "tests.chaos.model_relay" in one.cmdline())
        model.send_signal(self.number)


class HungModel(LostModel):
    """It is there, and does nothing, until the server ends it: that takes longer than a start has."""

    is_model_back = False
    number = signal.SIGSTOP

    async def inject(self, here: Scene) -> None:
        self._send_signal(here)


async def another_start(here: Scene) -> tuple[int, dict[str, Any]]:
    """Return the answer to a start in another channel."""
    return await here.server.post("/start_agent", START | {"channel_name": "another"})


def build_clock(folder: Path) -> Path:
    """Build the library that offsets the wall clock."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_CLOCK)
    compiler = shutil.which("cc")
    assert compiler is not None, "install a C compiler"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library
