"""Time of a page of `GET /calls` over HTTP among 10 000 stored calls, by filter, and of a timeline (SQLite)."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from bench.figures import row
from config.settings import Settings
from control.store.archive import Archive
from control.store.database import database_url
from control.store.recordings import read_levels
from control.store.records import CallRecord
from session.recording.timeline import Block
from session.recording.wav_file import WavFile
from tests.control.served_api import Api, serve_api
from tests.control.store.many_calls import store_many_calls

_CALLS: Final = 10_000
_ROUNDS: Final = 30
_DEADLINE_S: Final = 30.0
_RATE_HZ: Final = 24_000
_MINUTES: Final = 60


async def rows() -> list[str]:
    """Measure each way to ask, and an hour's recording."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        url = database_url(folder, None)
        calls = await store_many_calls(url, _CALLS)
        archive = Archive(url, "bench")
        archive.start(list)
        await archive.settle(_DEADLINE_S)
        settings = Settings(local_model_uri="ws://127.0.0.1:9", recordings_dir=folder)
        try:
            async with serve_api(settings, archive=archive) as api:
                pages = [await _page(api, name, query) for name, query in _queries(calls)]
        finally:
            await archive.close()
        path = await asyncio.to_thread(_record, folder / "hour.wav")
        return [*pages, await asyncio.to_thread(_levels, path)]


def _queries(calls: list[CallRecord]) -> list[tuple[str, str]]:
    one = next(call for call in calls[_CALLS // 2 :] if call.person_id)
    last = f"after={calls[-60].started_at_ms}-{calls[-60].call_id}"
    return [
        ("first page", ""),
        ("page of 200", "limit=200"),
        ("last page", last),
        ("channel", f"channel={one.channel_name}"),
        ("person", f"person={one.person_id}"),
        ("agent and provider", "agent=orders&provider=local"),
        ("exit reason", "exit_reason=crashed"),
        ("live", "is_live=true"),
        ("a week, last page of it", f"since={calls[2_500].started_at_ms}&{last}"),
        ("cost, nothing found", "min_cost=9999"),
        ("duration, nothing found", "min_duration_s=99999&is_live=false"),
        ("text, nothing found", "text=nowhere"),
        ("text of one person", f"text={one.person_id}"),
        ("provider and cost, nothing found", "provider=local&min_cost=9999"),
    ]


async def _page(api: Api, name: str, query: str) -> str:
    taken_ms = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        response = await api.get(f"/calls?{query}")
        assert response.status == 200
        await response.read()
        taken_ms.append((time.perf_counter() - began_s) * 1000)
    return row(f"stored calls: {name}", "ms", taken_ms)


def _record(path: Path) -> Path:
    minute = np.random.default_rng(1).integers(-9_000, 9_000, (60 * _RATE_HZ, 2), dtype=np.int16)
    file = WavFile.open(path, _RATE_HZ, "bench")
    file.begin(0)
    for number in range(_MINUTES):
        file.write(Block(number * len(minute), minute.tobytes()))
    file.close()
    return path


def _levels(path: Path) -> str:
    taken_ms = []
    for _ in range(3):
        began_s = time.perf_counter()
        read_levels(path)
        taken_ms.append((time.perf_counter() - began_s) * 1000)
    return row(f"levels of a recording of {_MINUTES} min", "ms", taken_ms)
