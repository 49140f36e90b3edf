"""The FastAPI backend of the examples: its page talks to a real server, whose key it never sees."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from fastapi import HTTPException

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.browser.pages import hear, open_page
from tests.browser.waits import wait_for_text
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.fakes.ports import lasting_port
from tests.processes.conftest import server_aside
from tests.processes.test_real_agent import settings
from tests.real_server import ROOT, poll

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

API_KEY = "k" * 40
BACKEND = ROOT / "examples" / "fastapi_backend"
READY_S = 30.0


@asynccontextmanager
async def open_backend(port: int, parley_url: str) -> AsyncIterator[str]:
    """The backend as its header says, at its origin."""
    origin = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(BACKEND), "main:app"),
        *("--port", str(port), "--log-level", "warning"),
        cwd=BACKEND,
        env=os.environ | {"PARLEY_API_KEY": API_KEY, "PARLEY_URL": parley_url},
    )

    async def is_ready() -> bool:
        assert process.returncode is None
        try:
            async with aiohttp.ClientSession() as http, http.get(origin) as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        await poll(is_ready, READY_S)
        yield origin
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.asyncio
async def test_a_visitor_talks_and_sees_no_key(tmp_path: Path) -> None:
    port = lasting_port()
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri) | {
            "app": str(ROOT / "examples" / "orders.py"),
            "api_keys": [API_KEY],
            "room_token_secret": "s" * 40,
            "allowed_origins": [f"http://127.0.0.1:{port}"],
        }
        async with (
            server_aside(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server,
            open_backend(port, server.url) as origin,
            open_page("chromium") as page,
        ):
            await page.goto(origin)
            await page.click("parley-call >> .start")
            session = await provider.next_session()
            await session.wait_for("response.create")
            await session.say(tone(1000), "Order desk, good day.", pace=1.0)
            await wait_for_text(page, "parley-call >> .captions", "Order desk, good day.")
            await hear(page)
            assert API_KEY not in await page.evaluate("document.documentElement.outerHTML")
            await refuse(origin)


async def refuse(origin: str) -> None:
    """Foreign channels and broken bodies; a call that comes back gets another token."""
    async with aiohttp.ClientSession(origin) as http:
        for body, status in (({"channel": "demo"}, 422), ("text", 422)):
            async with http.post("/session", json=body) as answer:
                assert answer.status == status
        mine = {"channel": f"visit-{'0' * 16}"}
        async with http.post("/session", json=mine) as answer:
            assert (await answer.json()).keys() == {"server", "channel", "token"}


def test_of_too_many_starts_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_API_KEY", API_KEY)
    from examples.fastapi_backend import main

    for _ in range(main.MAX_STARTS_PER_MINUTE):
        main._count_start()
    with pytest.raises(HTTPException, match="busy"):
        main._count_start()
