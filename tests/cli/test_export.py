"""`python -m main export` as an owner runs it, against a server with stored calls."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cli.export import COLUMNS, row_of, run_export_command
from cli.export_filters import EXPORT_FILTERS
from cli.running import CommandError
from config.settings import Settings
from control.api.calls_query import CallsFilter
from control.store.archive import Archive
from control.store.database import database_url
from control.store.records import CallRecord
from main import build_parser
from tests.control.served_api import Api, serve_api
from tests.control.store.many_calls import TOLD, store_many_calls
from tests.control.store.samples import record
from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
KEY = "control-key-0123456789abcdef"


@asynccontextmanager
async def served(folder: Path, count: int) -> AsyncIterator[tuple[Api, list[CallRecord]]]:
    calls = await store_many_calls(database_url(folder, None), count)
    settings = Settings(local_model_uri="ws://127.0.0.1:9", api_keys=(SecretStr(KEY),))
    archive = Archive(database_url(folder, None), "this")
    archive.start(list)
    try:
        async with serve_api(settings, archive=archive) as api:
            yield api, calls
    finally:
        await archive.close()


async def export_as_process(*arguments: object) -> tuple[int, str]:
    """Exit code and output, or what went wrong."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "export", *map(str, arguments)),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "API_KEYS": KEY, "PARLEY_ENV_FILE": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, problem = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out + problem).decode()


async def export(*arguments: object, key: str = KEY) -> None:
    options = build_parser().parse_args(["export", *map(str, arguments)])
    await asyncio.to_thread(run_export_command, options, Settings(api_keys=(SecretStr(key),)))


def _names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_every_filter_of_the_list_is_an_option() -> None:
    assert set(EXPORT_FILTERS) == set(CallsFilter.model_fields)


@pytest.mark.asyncio
async def test_all_calls_are_written_page_by_page(tmp_path: Path) -> None:
    async with served(tmp_path / "data", 450) as (api, calls):
        path, url = tmp_path / "calls.jsonl", str(api.make_url("")).rstrip("/")
        done = await export_as_process(path, f"--server={url}")
        assert done == (0, f"450 calls written to {path}\n")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [CallRecord.model_validate(one) for one in lines] == calls
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        table = tmp_path / "calls.csv"
        chosen = ["--agent=ada+ben", f"--since={calls[300].started_at_ms}", "--is-live=false"]
        await export(table, f"--server={url}", "--transcripts", *chosen)
        expected = [
            call for call in calls[:301] if call.agent == "ada+ben" and call.ended_at_ms is not None
        ]
        rows = list(csv.DictReader(io.StringIO(table.read_text())))
        assert [row["call_id"] for row in rows] == [call.call_id for call in expected]
        assert list(rows[0]) == [*COLUMNS, "transcript"]
        told = {call.call_id for call in calls[:TOLD]}
        for row, call in zip(rows, expected, strict=True):
            assert row["cost"] == str(call.usage.cost)
            assert row["exit_reason"] == call.exit_reason
            assert row["started_at"].endswith("+00:00")
            assert ("user: Where is my order?" in row["transcript"]) == (call.call_id in told)
        assert _names(tmp_path) == [
            "calls.csv",
            "calls.jsonl",
            "data",
        ]


@pytest.mark.asyncio
async def test_what_is_wrong_is_said_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("old")
    async with served(tmp_path / "data", 3) as (api, _):
        server = f"--server={str(api.make_url('')).rstrip('/')}"
        wrong: list[tuple[list[object], str]] = [
            ([path, server, "--since=yesterday"], "--since"),
            ([path, server, "--exit_reason=tired"], "--exit_reason"),
            ([tmp_path / "calls.xlsx", server], ".csv or .jsonl"),
            ([tmp_path / "nowhere" / "calls.csv", server], "cannot be written"),
            ([path, "--server=http://127.0.0.1:1"], "no server answers"),
        ]
        for arguments, words in wrong:
            with pytest.raises(CommandError, match=words):
                await export(*arguments)
        with pytest.raises(CommandError, match="API key"):
            await export(path, server, key="another-key-0123456789abcdef")
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["calls.csv", "data"]


def test_a_row_tells_what_was_heard_and_called() -> None:
    call: dict[str, Any] = record(ended_at_ms=1_700_000_002_500).model_dump(mode="json")
    call["transcript"] = [
        {"type": "text", "role": "user", "text": "Hello", "is_cut": False},
        {"type": "call", "name": "find", "arguments": "{}", "output": None},
        {"type": "text", "role": "assistant", "text": "It is", "is_cut": True},
    ]
    row = row_of(call)
    assert row["duration_s"] == 2.5
    assert row["started_at"] == "2023-11-14T22:13:20.000+00:00"
    assert row["transcript"] == "user: Hello\ntool: find({}) = None\nassistant: It is [cut]"
    live = row_of(record().model_dump(mode="json"))
    assert (live["ended_at"], live["duration_s"]) == (None, None)
    assert set(live) == set(COLUMNS)


def test_a_text_is_no_formula_for_a_spreadsheet(tmp_path: Path) -> None:
    from cli.export import _Csv

    with (tmp_path / "x.csv").open("w", newline="") as file:
        call = record(error="=HYPERLINK(1)").model_dump(mode="json")
        _Csv(file, has_transcripts=False)(call)
    with (tmp_path / "x.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["error"] == "'=HYPERLINK(1)"
