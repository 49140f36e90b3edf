"""The tutorial, done as it stands there: every file, command, page and line that it shows."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.pages import Page, open_page, write
from tests.browser.waits import wait_for_text
from tests.deadlines import DEADLINE_S
from tests.fakes.ports import lasting_port
from tests.real_server import ROOT, poll
from utils import OwnedTasks

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATH_COMMENT = re.compile(r"(?:# |<!-- )(~/\S+)")


@dataclass(frozen=True)
class Step:
    """A block of the page. shown: the output below a command"""

    kind: str
    text: str
    shown: str = ""

    @property
    def is_lasting(self) -> bool:
        """True if the command runs until Ctrl-C."""
        return any(word in self.text for word in ("make run", "main server", "http.server"))


def steps(page: str) -> Iterator[Step]:
    blocks = BLOCK.findall(page)
    for at, (kind, text) in enumerate(blocks):
        if kind != "text":
            is_shown = at + 1 < len(blocks) and blocks[at + 1][0] == "text"
            yield Step(kind, text, blocks[at + 1][1] if is_shown else "")


def is_shown(expected: str, output: str) -> bool:
    """Whether `output` has each piece between `…`, in this order."""
    pieces = [re.escape(piece.strip("\n")) for piece in expected.split("…")]
    return re.search(".*".join(pieces), output, re.DOTALL) is not None


class Lasting:
    """A command that runs until it gets Ctrl-C, as of a terminal."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._output = ""
        self._news = asyncio.Event()
        self._tasks = OwnedTasks(logging.getLogger("tutorial"))
        self._tasks.start(self._read(), name="output")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._output += line.decode()
            self._news.set()
        self._output += "(it has ended)"
        self._news.set()

    async def until_shown(self, expected: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_shown(expected, self._output):
                assert "(it has ended)" not in self._output, self._output
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        """Press Ctrl-C."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            await self._process.wait()
        await self._tasks.close()


class Reader:
    """A newcomer with two terminals and a browser, who has a home and ports of their own."""

    def __init__(self, home: Path, page: Page) -> None:
        self._home = home
        self._ports = {"8080": str(lasting_port()), "8000": str(lasting_port())}
        self._page = page
        self._server: Lasting | None = None
        self._site: Lasting | None = None
        self._visits = iter([self._visit_console, self._visit_choice, self._visit_nothing])
        names = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")
        self._environment = {name: os.environ[name] for name in names if name in os.environ} | {
            "HOME": str(home),
            "DATA_DIR": str(home / "data"),
            "PARLEY_ENV_FILE": "",
            "SERVER_PORT": self._ports["8080"],
        }

    async def follow(self, step: Step) -> None:
        """Write a file, or run a command and compare what it shows."""
        if step.kind != "sh":
            self._write_file(step.text)
        elif not step.is_lasting:
            await self._run(self._here(step.text), self._here(step.shown))
        elif "http.server" in step.text:
            self._site = Lasting(await self._start(self._here(step.text)))
            await poll(self._has_site, DEADLINE_S)
            await self._visit_page()
        else:
            await self._serve(step)

    async def close(self) -> None:
        """Press Ctrl-C everywhere."""
        for one in (self._site, self._server):
            if one is not None:
                await one.stop()

    def _here(self, text: str) -> str:
        """The text with the ports of this test, and the Python that runs it."""
        for port, free in self._ports.items():
            text = text.replace(port, free)
        # What `make setup` has installed is there.
        make = f"make VENV={shlex.quote(sys.prefix)} -o {shlex.quote(sys.prefix)}/.runtime "
        return text.replace(".venv/bin/python", shlex.quote(sys.executable)).replace("make ", make)

    def _write_file(self, text: str) -> None:
        named = PATH_COMMENT.match(text)
        assert named is not None, text
        path = self._home / named[1].removeprefix("~/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(text), encoding="utf-8")

    async def _start(self, command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("bash", "-ec", command),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def _run(self, command: str, expected: str) -> None:
        """What only reads is done again until it shows it, as the page says."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                process = await self._start(command)
                output = (await process.communicate())[0].decode()
                assert process.returncode == 0, output
                if is_shown(expected, output):
                    return
                assert " -d " not in command, output
                assert "curl" in command, output
                await asyncio.sleep(0.1)

    async def _serve(self, step: Step) -> None:
        if self._server is not None:
            await self._server.stop()
        self._server = Lasting(await self._start(self._here(step.text)))
        await self._server.until_shown(self._here(step.shown))
        await next(self._visits)()

    async def _has_site(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(self._ports["8000"]))
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def _visit_console(self) -> None:
        await self._page.goto(f"http://127.0.0.1:{self._ports['8080']}")
        await self._page.click("#join")
        await wait_for_text(self._page, "#status", "Connected")
        await write(self._page, "#message", "What time is it?")
        await wait_for_text(self._page, "#entries", "It is ")
        await self._page.goto("about:blank")

    async def _visit_choice(self) -> None:
        await self._page.goto(f"http://127.0.0.1:{self._ports['8080']}")
        await wait_for_text(self._page, "#agent", "Order desk")
        await self._page.goto("about:blank")

    async def _visit_nothing(self) -> None:
        """The page of one's own comes next."""

    async def _visit_page(self) -> None:
        await self._page.goto(f"http://localhost:{self._ports['8000']}")
        await wait_for_text(self._page, "parley-call >> .start", "Talk to us")
        await self._page.click("parley-call >> .start")
        await wait_for_text(self._page, "parley-call >> .captions", "Order desk, good day.")
        await write(self._page, "parley-call >> input", "Where is order 1001?")
        await wait_for_text(self._page, "parley-call >> .captions", "Order 1001 is on its way.")
        await self._page.click("parley-call >> button.hangUp")


@pytest.mark.asyncio
async def test_a_newcomer_gets_to_a_page_of_their_own(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    wanted = [*steps(page)]
    assert [step.kind for step in wanted].count("sh") >= 10
    async with open_page("chromium") as browser_page:
        # The icon that the page of one's own does not have.
        browser_page.tolerated.append("404 (File not found)")
        reader = Reader(tmp_path, browser_page)
        try:
            for step in wanted:
                await reader.follow(step)
        finally:
            await reader.close()
