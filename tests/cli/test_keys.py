"""`python -m main keys` as an owner runs it, against a server with a store."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from control.keys.secrets import key_id_of
from control.store.archive import Archive
from control.store.database import database_url
from tests.control.served_api import Api, serve_api
from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
KEY = "control-key-0123456789abcdef"


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Api]:
    settings = Settings(local_model_uri="ws://127.0.0.1:9", api_keys=(SecretStr(KEY),))
    archive = Archive(database_url(folder, None), "this")
    archive.start(list)
    try:
        async with serve_api(settings, archive=archive) as api:
            await api.keys.named.read()
            yield api
    finally:
        await archive.close()


async def run_keys(api: Api, *arguments: str) -> tuple[int, str]:
    """Exit code and output, or what went wrong."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "keys", *arguments),
        *("--server", str(api.make_url("/")).rstrip("/")),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "API_KEYS": KEY, "PARLEY_ENV_FILE": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    return process.returncode or 0, (out or err).decode()


async def status_of(api: Api, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return (await api.get("/agents", headers=headers)).status


@pytest.mark.asyncio
async def test_a_key_from_its_creation_to_its_end(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        wanted = ("add", "shop", "--team", "sales", "--scope", "start", "--scope", "read_calls")
        code, first = await run_keys(api, *wanted, "--agents", "3", "--minutes-per-day", "60")
        first = first.strip()
        assert (code, await status_of(api, first)) == (0, 200)
        assert key_id_of(first)
        code, shown = await run_keys(api, "list")
        assert code == 0
        row = shown.splitlines()[1].split()
        assert row[:4] == ["shop", "sales", "start,read_calls", "agents=3,minutes_per_day=60"]
        assert row[-1] == "active"
        assert row[-2] != "never"
        assert first not in shown
        more = ("--agents", "5", "--no-limit", "minutes_per_day")
        code, shown = await run_keys(api, "change", "shop", *more)
        assert (code, shown.splitlines()[1].split()[2:4]) == (0, ["start,read_calls", "agents=5"])
        code, shown = await run_keys(api, "change", "shop")
        assert (code, "name scopes or limits to change" in shown) == (1, True)
        code, told = await run_keys(api, "rotate", "shop")
        second = told.splitlines()[-1]
        assert [await status_of(api, one) for one in (first, second)] == [200, 200]
        code, told = await run_keys(api, "rotate", "shop", "--overlap-s", "0")
        third = told.splitlines()[-1]
        found = [await status_of(api, one) for one in (first, second, third)]
        assert found == [401, 401, 200]
        code, _ = await run_keys(api, "revoke", "shop")
        assert (code, await status_of(api, third)) == (0, 401)
        code, told = await run_keys(api, "revoke", "shop")
        assert (code, "no such key" in told) == (1, True)
        code, told = await run_keys(api, *wanted)
        assert (code, "choose another name" in told) == (1, True)
