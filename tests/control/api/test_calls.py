"""The routes over a real socket: what they answer is what the document promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from control.ipc.link import Event
from control.store.archive import Archive
from control.store.database import database_url
from control.store.recordings import Recordings
from conversation.events.server_events import AgentInterrupted, AgentResumed
from tests.control.served_api import Api, serve_api
from tests.control.store.many_calls import store_many_calls
from tests.control.store.samples import config, text
from tests.control.store.test_archive import begin, end
from tests.control.store.test_levels import sound, write
from tests.control.test_openapi import check_answer
from utils import wall_clock_ms

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
            ("/calls/agent-1/timeline", "/calls/{id}/timeline"),
            ("/calls/%00", "/calls/{id}"),
            (f"/calls/{'a' * 300}/transcript", "/calls/{id}/transcript"),
            ("/agents/elsewhere/transcript", "/agents/{channel}/transcript"),
        ):
            status, unknown = await ask(api, path, template)
            assert (status, unknown["code"]) == (404, "unknown_call")
        status, unknown = await ask(api, "/calls/agent-1", "/calls/{id}", "DELETE")
        assert (status, unknown["code"]) == (404, "unknown_call")


@pytest.mark.asyncio
async def test_calls_are_found_by_whom_they_were_with_and_when(tmp_path: Path) -> None:
    calls = await store_many_calls(database_url(tmp_path, None), 300)
    one = next(call for call in calls if call.person_id and call.agent == "ada+ben")
    (tmp_path / f"{one.call_id}.wav").write_bytes(WAV)
    began = datetime.fromtimestamp(one.started_at_ms / 1000, UTC)
    later = began + timedelta(milliseconds=1)
    async with served(tmp_path) as (api, _):
        for when in (
            f"since={one.started_at_ms}&until={one.started_at_ms + 1}",
            f"since={began.isoformat()}&until={later.isoformat()}",
            f"since={began.isoformat().replace('+', '%2B')}&until={one.started_at_ms + 1}",
            f"since={began.isoformat().removesuffix('+00:00')}Z&until={one.started_at_ms + 1}",
        ):
            query = f"person={one.person_id}&agent=ada%2Bben&text=LINE&min_cost=0&{when}"
            status, page = await ask(api, f"/calls?{query}&min_duration_s=0", "/calls")
            assert (status, [each["call_id"] for each in page["calls"]]) == (200, [one.call_id])
            (found,) = page["calls"]
            assert (found["has_recording"], found["person_id"]) == (True, one.person_id)
        status, page = await ask(api, "/calls?is_live=true&agent=ada+ben&limit=200", "/calls")
        assert not any(each["has_recording"] for each in page["calls"])
        status, call = await ask(api, f"/calls/{one.call_id}", "/calls/{id}")
        assert (call["has_recording"], call["agent"]) == (True, "ada+ben")


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
        ("person=", "person"),
        ("agent=A", "agent"),
        ("exit_reason=tired", "exit_reason"),
        ("provider=A/B", "provider"),
        ("since=yesterday", "since"),
        ("since=-5", "since"),
        ("until=9999999999999999999", "until"),
        ("min_duration_s=-1", "min_duration_s"),
        ("max_duration_s=inf", "max_duration_s"),
        ("min_cost=nan", "min_cost"),
        ("max_cost=much", "max_cost"),
        ("is_live=perhaps", "is_live"),
        (f"text={'a' * 129}", "text"),
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
async def test_a_recording_can_be_played_from_any_place(tmp_path: Path) -> None:
    (tmp_path / "agent-1.wav").write_bytes(WAV)
    async with served(tmp_path) as (api, _):
        path = "/calls/agent-1/recording"
        whole = await api.get(path)
        assert whole.headers["Accept-Ranges"] == "bytes"
        for asked, answered, part in (
            ("bytes=0-", f"bytes 0-{len(WAV) - 1}/{len(WAV)}", WAV),
            ("bytes=100-", f"bytes 100-{len(WAV) - 1}/{len(WAV)}", WAV[100:]),
            ("bytes=-4", f"bytes {len(WAV) - 4}-{len(WAV) - 1}/{len(WAV)}", WAV[-4:]),
            ("bytes=190-9999", f"bytes 190-{len(WAV) - 1}/{len(WAV)}", WAV[190:]),
        ):
            response = await api.get(path, headers={"Range": asked})
            assert (response.status, response.headers["Content-Range"]) == (206, answered)
            assert await response.read() == part
        for asked in ("bytes=9999-", "bytes=8-4", "lines=1-2"):
            response = await api.get(path, headers={"Range": asked})
            assert response.status == 416, asked
        head = await api.head(path)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(WAV)))


@pytest.mark.asyncio
async def test_a_timeline_is_answered_with_a_recording_and_without(tmp_path: Path) -> None:
    async with served(tmp_path) as (api, archive):
        await begin(archive, "agent-1", "t", text(0, "hello"))
        cut = AgentInterrupted(
            agent_id="a", agent_name="A", response_id="r", item_id="i", audio_end_ms=5, heard="so"
        )
        archive.recorder.handle_message(config("agent-1"), Event(event=cut, at_ms=wall_clock_ms()))
        path, template = "/calls/agent-1/timeline", "/calls/{id}/timeline"
        status, told = await ask(api, path, template)
        assert (status, told["has_levels"], told["user"]) == (200, False, [])
        assert [one["kind"] for one in told["marks"]] == ["interrupted"]
        write(tmp_path / "agent-1.wav", sound(3_000, [(0, 1_000)], [(2_000, 3_000)]))
        status, told = await ask(api, path, template)
        assert (status, told["has_levels"], told["duration_ms"]) == (200, True, 3_000)
        assert max(told["user"][:50]) > 100 > 5 > max(told["user"][50:])
        assert [one["kind"] for one in told["marks"]] == ["interrupted"]


@pytest.mark.asyncio
async def test_a_call_is_exported_as_one_document(tmp_path: Path) -> None:
    async with served(tmp_path) as (api, archive):
        await begin(archive, "agent-1", "t", text(0, "hello"), text(1, "Hi.", role="assistant"))
        at_ms = wall_clock_ms()
        asked = AgentResumed(agent_id="a", agent_name="A", cause="echo")
        archive.recorder.handle_message(config("agent-1"), Event(event=asked, at_ms=at_ms))
        end(archive, "agent-1")
        response = await api.get("/calls/agent-1/export")
        await check_answer(response, "/calls/{id}/export")
        assert response.headers["Content-Disposition"] == 'attachment; filename="agent-1.json"'
        told = await response.json()
        shown = await (await api.get("/calls/agent-1")).json()
        assert {name: told[name] for name in shown} == shown
        assert [one["text"] for one in told["transcript"]] == ["hello", "Hi."]
        assert [(one["at_ms"], one["text"]) for one in told["marks"]] == [(at_ms, "echo")]
        status, unknown = await ask(api, "/calls/agent-2/export", "/calls/{id}/export")
        assert (status, unknown["code"]) == (404, "unknown_call")


@pytest.mark.asyncio
async def test_without_a_store_the_routes_say_so_and_starts_go_on() -> None:
    async with serve_api() as api:
        for path, template in (
            ("/calls", "/calls"),
            ("/calls/agent-1", "/calls/{id}"),
            ("/calls/agent-1/transcript", "/calls/{id}/transcript"),
            ("/calls/agent-1/timeline", "/calls/{id}/timeline"),
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
