"""The routes over a real socket: what they answer is what the document promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from control.store.archive import Archive
from control.store.database import database_url
from control.store.recordings import Recordings
from tests.control.served_api import Api, serve_api
from tests.control.store.samples import text
from tests.control.store.test_archive import begin, end
from tests.control.test_openapi import check_answer

WAV = b"RIFF" + bytes(range(200))


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[tuple[Api, Archive]]:
    settings = Settings(local_model_uri="ws://127.0.0.1:9", recordings_dir=tmp_path)
    archive = Archive(database_url(tmp_path, None), "this", on_deleted=Recordings(tmp_path).delete)
    archive.start(list)
    try:
        async with serve_api(settings, archive=archive) as api:
            yield api, archive
    finally:
        await archive.close()


async def ask(api: Api, path: str, template: str, method: str = "GET") -> tuple[int, Any]:
    response = await api.request(method, path)
    await check_answer(response, template)
    return response.status, await response.json()


@pytest.mark.asyncio
async def test_calls_are_shown_and_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as (api, archive):
        await begin(archive, "agent-1", "t", text(0, "hello"))
        end(archive, "agent-1")
        await begin(archive, "agent-2", "t", text(1, "again"))
        (tmp_path / "agent-1.wav").write_bytes(WAV)

        status, page = await ask(api, "/calls?thread=t&limit=1", "/calls")
        assert (status, [one["call_id"] for one in page["calls"]]) == (200, ["agent-2"])
        status, page = await ask(api, f"/calls?limit=1&after={page['next']}", "/calls")
        assert [one["call_id"] for one in page["calls"]] == ["agent-1"]
        assert page["next"] is None
        status, call = await ask(api, "/calls/agent-1", "/calls/{id}")
        assert (status, call["exit_reason"], call["turns"]) == (200, "crashed", [])
        status, told = await ask(api, "/calls/agent-1/transcript", "/calls/{id}/transcript")
        assert [(one["number"], one["text"]) for one in told["entries"]] == [(0, "hello")]
        path = "/agents/demo/transcript"
        assert (await ask(api, path, "/agents/{channel}/transcript"))[1]["call_id"] == "agent-2"

        status, refusal = await ask(api, "/calls/agent-2", "/calls/{id}", "DELETE")
        assert (status, refusal["code"]) == (409, "call_is_live")
        status, deleted = await ask(api, "/calls/agent-1", "/calls/{id}", "DELETE")
        assert (status, deleted) == (200, {"status": "Call deleted", "call_id": "agent-1"})
        assert not (tmp_path / "agent-1.wav").exists()
        for path, template in (
            ("/calls/agent-1", "/calls/{id}"),
            ("/calls/agent-1/transcript", "/calls/{id}/transcript"),
            ("/calls/%00", "/calls/{id}"),
            (f"/calls/{'a' * 300}/transcript", "/calls/{id}/transcript"),
            ("/agents/elsewhere/transcript", "/agents/{channel}/transcript"),
        ):
            status, unknown = await ask(api, path, template)
            assert (status, unknown["code"]) == (404, "unknown_call")
        status, unknown = await ask(api, "/calls/agent-1", "/calls/{id}", "DELETE")
        assert (status, unknown["code"]) == (404, "unknown_call")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("after=nonsense", "after"),
        ("after=99999999999999999999-x", "after"),
        ("after=1-%00", "after"),
        ("channel=a/b", "channel"),
        ("thread=", "thread"),
        ("colour=red", "colour"),
    ],
)
async def test_a_wrong_question_is_named(tmp_path: Path, query: str, field: str) -> None:
    async with served(tmp_path) as (api, _):
        status, refusal = await ask(api, f"/calls?{query}", "/calls")
        assert (status, refusal["code"]) == (400, "invalid_request")
        assert refusal["details"][0]["field"] == field


@pytest.mark.asyncio
async def test_a_recording_is_a_file_of_its_call_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "agent-1.wav").write_bytes(WAV)
    (tmp_path / "secret.wav").write_bytes(b"secret")
    async with served(folder) as (api, _):
        response = await api.get("/calls/agent-1/recording")
        assert (response.status, response.content_type) == (200, "audio/wav")
        assert await response.read() == WAV
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        part = await api.get("/calls/agent-1/recording", headers={"Range": "bytes=4-7"})
        assert (part.status, await part.read()) == (206, WAV[4:8])
        for call_id in ("agent-2", "..%2Fsecret", "agent-1.wav", "%00", "a" * 300):
            status, refusal = await ask(api, f"/calls/{call_id}/recording", "/calls/{id}/recording")
            assert (status, refusal["code"]) == (404, "no_recording")


@pytest.mark.asyncio
async def test_without_a_store_the_routes_say_so_and_starts_go_on() -> None:
    async with serve_api() as api:
        for path, template in (
            ("/calls", "/calls"),
            ("/calls/agent-1", "/calls/{id}"),
            ("/calls/agent-1/transcript", "/calls/{id}/transcript"),
            ("/agents/demo/transcript", "/agents/{channel}/transcript"),
        ):
            status, refusal = await ask(api, path, template)
            assert (status, refusal["code"]) == (503, "store_unavailable")
        start = {"channel_name": "demo", "uid": 1000}
        assert (await api.post("/start_agent", json=start)).status == 200
        continued = {"channel_name": "other", "uid": 1000, "thread_id": "t"}
        refused = await api.post("/start_agent", json=continued)
        assert refused.status == 503
        stopped = await api.post("/stop_agent", json={"channel_name": "demo"})
        assert (await stopped.json())["is_stored"] is False
