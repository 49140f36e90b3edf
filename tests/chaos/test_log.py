"""What happens to the log while a call goes on, in every state of its agent: nobody reads it any
more, its reader is gone, its disk is full. No call notices. CHAOS=long runs the whole table.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.stage import STATES, Scene
from tests.chaos.surroundings import FullDisk, Surrounding
from tests.chaos.test_surroundings import live_through
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.outputs import fill
from tests.recordings import tiny_disk

_DISK_BYTES = 1024 * 1024


class _LogPipe(Surrounding):
    """The log is a pipe; until the strike it has room for what is said."""

    @property
    def _path(self) -> Path:
        return self._folder / "server.log"

    @asynccontextmanager
    async def around(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
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
    """Whoever reads the log reads no more, and it is full."""

    async def strike(self, here: Scene) -> None:
        writer = os.open(self._path, os.O_WRONLY)
        fill(writer)
        os.close(writer)


class BrokenLog(_LogPipe):
    """Whoever read the log is gone."""

    async def strike(self, here: Scene) -> None:
        self._close()
        await here.server.get("/agents")


class FullLog(FullDisk):
    """The log has a disk of its own, and not a byte goes into it."""

    @asynccontextmanager
    async def around(self, provider: FakeRealtimeServer) -> AsyncIterator[dict[str, Any]]:
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
    await live_through(KINDS[name](tmp_path, monkeypatch), state, tmp_path)
