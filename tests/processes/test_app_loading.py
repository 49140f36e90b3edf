"""Loading of an app in a forkserver of its own: what fails, what hangs, what it sees of the server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.definition import Definition
from control.app_catalog import AppCatalog, Verdict
from control.app_watcher import AppWatcher
from control.forkserver.app_source import MAX_OUTPUT_LINES, AppSource
from control.forkserver.forkserver import Forkserver, ForkserverState
from control.machine.prctl import adopt_orphans
from tests.processes.conftest import SCRIPTED, until

HEAD = "from parley import Agent\ndesk = Agent('desk')\n"


class Judge:
    """Refuses the definitions that are named in `wrong`."""

    def __init__(self) -> None:
        self.wrong: set[str] = set()

    def __call__(self, definition: Definition) -> Verdict:
        return Verdict(("it is wrong",) if definition.name in self.wrong else ())


@asynccontextmanager
async def serving(
    path: Path, text: str, *, is_watched: bool = False, load_s: float = 10.0, **variables: str
) -> AsyncIterator[tuple[Forkserver, AppCatalog]]:
    """A forkserver that has tried to load the app."""
    path.write_text(text)  # noqa: ASYNC240 - nothing else runs yet
    judge = Judge()
    catalog = AppCatalog(AppSource(str(path), variables, load_s), judge, is_watched=is_watched)
    forkserver = Forkserver(SCRIPTED, app=catalog)
    try:
        await start(forkserver)
        yield forkserver, catalog
    finally:
        # A check that is killed in its middle would leave a process, for the server's `Orphans`.
        await until(lambda: forkserver._run is None or not forkserver._run._pending)
        await forkserver.stop()
        adopt_orphans(is_enabled=False)


async def start(forkserver: Forkserver) -> None:
    try:
        await forkserver.start()
    except OSError:
        assert forkserver.state is ForkserverState.BACKOFF


async def fork(forkserver: Forkserver) -> None:
    process = await forkserver.start_process()
    process.sock.close()
    await until(process.exited.is_set)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (f"{HEAD}import time\ntime.sleep(60)\n", "does not end within 1 s", 4),
        (f"{HEAD}import os\nos._exit(7)\n", "it ended while it was starting", 0),
        (f"{HEAD}1 / 0\n", "ZeroDivisionError", 3),
    ],
)
async def test_a_load_that_fails_is_a_problem_and_no_hung_server(
    tmp_path: Path, text: str, words: str, line: int
) -> None:
    async with serving(tmp_path / "desk.py", text, load_s=1.0) as (forkserver, catalog):
        [problem] = catalog.problems
        assert words in problem.text
        assert problem.line == line
        assert words in forkserver.problem
        assert catalog.definitions == {}


@pytest.mark.asyncio
async def test_an_app_prints_into_the_log_and_sees_the_variables_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    names = "[os.environ.get(name) for name in ('SHOP_DB', 'OPENAI_API_KEY')]"
    text = f"{HEAD}import os, sys\nprint({names})\nprint('to error', file=sys.stderr)\n"
    text += f"for n in range({2 * MAX_OUTPUT_LINES}): print('line', n)\n"
    path = tmp_path / "desk.py"
    async with serving(path, text, SHOP_DB="orders.db") as (forkserver, _):
        lines = [record.getMessage() for record in caplog.records if record.name == "app"]
        assert lines[:3] == ["['orders.db', None]", "to error", "line 0"]
        assert len([line for line in lines if line.startswith("line")]) == MAX_OUTPUT_LINES - 2
        await fork(forkserver)


@pytest.mark.asyncio
async def test_a_lost_forkserver_is_replaced_by_one_that_loads_the_app_again(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "desk.py", HEAD) as (forkserver, catalog):
        assert forkserver.pid is not None
        os.kill(forkserver.pid, signal.SIGKILL)
        await until(lambda: catalog.loads == 2 and forkserver.state is ForkserverState.READY)
        await fork(forkserver)
        # A replacement that cannot load it tries again, until it is mended.
        (tmp_path / "desk.py").write_text("1 / 0")
        os.kill(forkserver.pid, signal.SIGKILL)
        await until(lambda: catalog.problems)
        assert [*catalog.definitions] == ["desk"]
        (tmp_path / "desk.py").write_text(HEAD)
        await until(lambda: catalog.loads == 3 and forkserver.state is ForkserverState.READY)
        assert catalog.problems == ()


@pytest.mark.asyncio
async def test_a_reload_that_fails_leaves_the_forkserver_that_serves(tmp_path: Path) -> None:
    path = tmp_path / "desk.py"
    async with serving(path, HEAD) as (forkserver, catalog):
        pid = forkserver.pid
        for text in ("1 / 0", f"{HEAD}import os\nos._exit(1)"):
            path.write_text(text)
            assert not await forkserver.reload()
            assert catalog.problems
        judge = catalog._judge
        assert isinstance(judge, Judge)
        judge.wrong = {"desk"}
        path.write_text(HEAD)
        assert not await forkserver.reload()
        assert (forkserver.pid, catalog.loads) == (pid, 1)
        judge.wrong = set()
        # Starts go on while the forkservers are exchanged.
        reloading = asyncio.get_running_loop().create_task(forkserver.reload())
        while not reloading.done():
            await fork(forkserver)
        assert await reloading
        assert (forkserver.pid != pid, catalog.loads, catalog.problems) == (True, 2, ())
        await fork(forkserver)
        assert forkserver.statistics.restarts == 0


@pytest.mark.asyncio
async def test_a_broken_app_that_is_watched_waits_for_its_change(tmp_path: Path) -> None:
    path = tmp_path / "desk.py"
    async with serving(path, "import db\n", is_watched=True) as (forkserver, catalog):

        async def reload() -> None:
            await forkserver.reload()

        watcher = AppWatcher(catalog, reload, interval_s=0.05)
        await watcher.start()
        try:
            assert catalog.problems
            restarts = forkserver.statistics.restarts
            # A neighbour that appears is a change too.
            (tmp_path / "db.py").touch()
            await until(lambda: forkserver.statistics.restarts > restarts)
            path.write_text(HEAD)
            await until(lambda: catalog.loads == 1)
            (tmp_path / "notes.txt").touch()
            path.write_text(HEAD + HEAD.replace("desk", "bills"))
            await until(lambda: {*catalog.definitions} == {"desk", "bills"})
        finally:
            await watcher.close()
