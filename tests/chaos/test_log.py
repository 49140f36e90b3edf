"""Faults of the log in every state of an agent: a reader that hangs or is gone, a full disk. No call
is affected. CHAOS=long runs the whole table.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.environment_faults import EnvironmentFault, FullDisk
from tests.chaos.stage import STATES, Scene
from tests.chaos.test_environment_faults import run_call_with_fault
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.outputs import fill
from tests.recordings import tiny_disk

_DISK_BYTES = 1024 * 1024


class _LogPipe(EnvironmentFault):
    """The log is a pipe with space left until the fault."""

    @property
    def _path(self) -> Path:
        return self._folder / "server.log"

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        os.mkfifo(self._path)
        self._reader: int | None = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield {}
        finally:
            self._close()

    def _close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            os.close(reader)


class StuckLog(_LogPipe):
    """The reader of the log hangs, and the pipe is full."""

    async def inject(self, here: Scene) -> None:
        writer = os.open(self._path, os.O_WRONLY)
        fill(writer)
        os.close(writer)


class BrokenLog(_LogPipe):
    """The reader of the log is gone."""

    async def inject(self, here: Scene) -> None:
        self._close()
        await here.server.get("/agents")


class FullLog(FullDisk):
    """The disk of the log is full."""

    @asynccontextmanager
    async def prepared(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
        self._disk.mkdir()
        with tiny_disk(self._disk, _DISK_BYTES):
            (self._folder / "server.log").symlink_to(self._disk / "server.log")
            yield {}


KINDS: Final = {"stuck": StuckLog, "broken": BrokenLog, "full": FullLog}
TABLE: Final = (
    [(kind, state) for kind in KINDS for state in STATES]
    if os.environ.get("CHAOS") == "long"
    else [("stuck", "running"), ("broken", "running")]
)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "state"), TABLE)
async def test_a_call_and_its_log(
    name: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_call_with_fault(KINDS[name](tmp_path, monkeypatch), state, tmp_path)
