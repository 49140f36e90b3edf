"""Every operation of the API, tried with each scope, and by one team on the calls of another."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from pydantic import SecretStr

from config.settings import Settings
from control.api.operation import Guard, Operation
from control.api.operations import OPERATIONS
from control.ipc.link import Remember
from control.keys.access import Scope
from control.keys.records import AuditEntry
from control.store.archive import Archive
from control.store.database import database_url
from conversation.memory import SaveMemory
from tests.control.served_api import SECRET, Api, serve_api
from tests.control.store.samples import config, text
from tests.control.store.test_archive import end
from tests.images import jpeg

OWNER = "an-api-key-of-the-settings"
CHANNEL, CALL = "channel-of-red", "call-of-red"
# In everything that is red's: whoever else gets it in an answer sees too much.
MARK = "of-red"
SETTINGS = Settings(
    local_model_uri="ws://127.0.0.1:9",
    api_keys=(SecretStr(OWNER),),
    room_token_secret=SecretStr(SECRET),
)


@dataclass(frozen=True)
class Aim:
    """A request that means something of red's, and what another team is answered.

    is_shared: the answer holds nothing of any team
    """

    path: str
    body: dict[str, Any] | None = None
    others: frozenset[int] = frozenset({404})
    own: frozenset[int] = frozenset({200, 204})
    is_shared: bool = False


NAMED = {"channel_name": CHANNEL}
OK = frozenset({200})
SHARED = Aim("", others=OK, is_shared=True)
FORBIDDEN = Aim("", others=frozenset({403}), own=frozenset({403}), is_shared=True)

# By operation. What is not here and has `{channel}` or `{id}` in its path is tried with red's.
AIMS: dict[str, Aim] = {
    "start_agent": Aim(
        "/start_agent", NAMED, others=frozenset({400}), own=frozenset({400}), is_shared=True
    ),
    "stop_agent": Aim("/stop_agent", NAMED),
    "drain": replace(FORBIDDEN, path="/drain", body={}),
    "list_agents": Aim("/agents", others=OK),
    "show_local_model": replace(SHARED, path="/local_model"),
    "list_definitions": replace(SHARED, path="/agents/definitions"),
    "events": Aim(f"/agents/{CHANNEL}/events?last_event_id=0"),
    "list_calls": Aim("/calls", others=OK),
    "show_memory": Aim("/memory/m", others=OK),
    "delete_memory": replace(SHARED, path="/memory/m"),
    "delete_person": replace(SHARED, path="/people/someone"),
    "delete_thread": replace(SHARED, path="/threads/thread-of-red"),
    # Whom it lets in is decided by the room: `test_a_room_is_one_teams`.
    "mint_token": replace(SHARED, path="/token", body={"channel_name": "free"}),
    "list_keys": Aim("/keys", others=OK),
    "create_key": replace(FORBIDDEN, path="/keys", body={"name": "n", "scopes": ["start"]}),
    "change_key": replace(FORBIDDEN, path="/keys/key-of-red", body={"scopes": ["admin"]}),
    "rotate_key": replace(FORBIDDEN, path="/keys/key-of-red/rotate", body={}),
    "revoke_key": replace(FORBIDDEN, path="/keys/key-of-red"),
    "show_audit": Aim("/audit", others=OK),
    "show_status": replace(FORBIDDEN, path="/status"),
    "list_options": replace(SHARED, path="/options"),
    "check_mcp_server": replace(FORBIDDEN, path="/mcp_servers/tools/check"),
    "check_provider": replace(FORBIDDEN, path="/providers/openai/check"),
    "voice_sample": replace(
        SHARED, path="/local_model/voice_sample", body={}, others=frozenset({502})
    ),
    "metrics": replace(FORBIDDEN, path="/metrics"),
}
BODIES: dict[str, dict[str, Any]] = {
    "say": {"text": "hello"},
    "interrupt": {},
    "text": {"text": "hello"},
    "image": {"image": base64.b64encode(jpeg()).decode()},
    "update": {"voice": "v"},
    "tool_result": {"id": "c", "output": "x"},
    "mute": {"muted": True},
    "approve": {"id": "c", "approve": True},
}
WITH_KEY = [one for one in OPERATIONS if one.guard in (Guard.KEY, Guard.METRICS)]


def aim_of(one: Operation) -> Aim:
    if one.name in AIMS:
        return AIMS[one.name]
    is_of_call = "{channel}" in one.path or "{id}" in one.path
    has_body = one.request is None or one.name in BODIES
    is_known = is_of_call and has_body
    assert is_known, f"{one.name}: say in AIMS or BODIES how red's is asked for"
    path = one.path.replace("{channel}", CHANNEL).replace("{id}", CALL)
    return Aim(path, BODIES.get(one.name))


def ids(one: Operation) -> str:
    return one.name


@asynccontextmanager
async def two_teams(tmp_path: Path) -> AsyncIterator[tuple[Api, dict[str, str]]]:
    """A server with calls of the team red; the secrets of keys by name."""
    archive = Archive(database_url(tmp_path, None), "this")
    archive.start(list)
    settings = SETTINGS.model_copy(update={"recordings_dir": tmp_path})
    try:
        async with serve_api(settings, archive=archive) as api:
            await api.keys.named.read()
            secrets = {"owner": OWNER}
            for team in ("red", "blue"):
                _, secrets[team] = await api.keys.named.add(f"key-of-{team}", team, (Scope.ADMIN,))
            for scope in Scope:
                name = f"only_{scope}"
                _, secrets[name] = await api.keys.named.add(name, "blue", (scope,))
            _, secrets["root"] = await api.keys.named.add("root", "", (Scope.ADMIN,))
            await fill(api, archive, secrets["red"], tmp_path)
            yield api, secrets
    finally:
        await archive.close()


async def fill(api: Api, archive: Archive, red: str, folder: Path) -> None:
    started = await ask(api, red, "POST", "/start_agent", NAMED)
    assert started.status == 200, await started.text()
    live = api.placement.configs[CHANNEL]
    assert (live.team, live.key) == ("red", "key-of-red")
    api.streams.handle_start(live, restarts=0)
    # No more will come, so that the request of the stream ends.
    api.streams._streams[CHANNEL].is_over = True
    past = await archive.open_call(
        config(CALL, channel_name=CHANNEL, thread_id="thread-of-red", team="red", key="key-of-red")
    )
    archive.recorder.handle_start(past, restarts=0)
    archive.recorder.handle_message(past, Remember(entry=text(0, "words-of-red")))
    end(archive, CALL)
    (folder / f"{CALL}.wav").write_bytes(b"RIFF of-red" + bytes(100))
    await archive.memories.answer("red/m", SaveMemory(text="memory-of-red"))
    api.keys.audit.add(AuditEntry(at_ms=1, key="key-of-red", team="red", action="say", status=200))


async def ask(
    api: Api, key: str, method: str, path: str, body: dict[str, Any] | None = None
) -> ClientResponse:
    headers = {"Authorization": f"Bearer {key}"}
    return await api.request(method, path, json=body, headers=headers)


@pytest.mark.asyncio
async def test_every_operation_needs_the_scope_that_it_names(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):
        for one in WITH_KEY:
            aim = aim_of(one)
            for scope in Scope:
                answer = await ask(
                    api, secrets[f"only_{scope}"], one.method, aim.path, {} if aim.body else None
                )
                is_allowed = (scope in one.scopes or scope is Scope.ADMIN) and (
                    not one.is_for_all_teams
                )
                code = (await answer.json())["code"] if answer.status == 403 else ""
                assert (code != "missing_scope") == is_allowed, (one.name, scope)


@pytest.mark.asyncio
async def test_every_operation_needs_a_key(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):
        revoked = secrets["only_admin"]
        await api.keys.named.revoke("only_admin")
        for one in WITH_KEY:
            for key in ("", "pk_000000000000_" + "x" * 43, revoked, secrets["red"] + "x"):
                answer = await ask(api, key, one.method, aim_of(one).path)
                assert answer.status in (401, 429), (one.name, key)


@pytest.mark.asyncio
@pytest.mark.parametrize("one", WITH_KEY, ids=ids)
async def test_no_team_sees_or_changes_the_calls_of_another(one: Operation, tmp_path: Path) -> None:
    aim = aim_of(one)
    async with two_teams(tmp_path) as (api, secrets):
        theirs = await ask(api, secrets["blue"], one.method, aim.path, aim.body)
        told = await theirs.text()
        assert theirs.status in aim.others, told
        assert MARK not in told.replace(CHANNEL, "") or aim.is_shared, told
        # What is not there is answered alike, so that nobody can find out what is.
        missing = aim.path.replace(CHANNEL, "nowhere").replace(CALL, "nothing")
        if theirs.status == 404 and missing != aim.path:
            nothing = await ask(api, secrets["blue"], one.method, missing, aim.body)
            assert (nothing.status, await nothing.text()) == (404, told)
        assert CHANNEL in api.placement.configs
        for path in (f"/calls/{CALL}", f"/calls/{CALL}/recording", "/memory/m"):
            kept = await ask(api, secrets["red"], "GET", path)
            assert (kept.status, MARK.encode() in await kept.read()) == (200, True), path
        own = await ask(api, secrets["red"], one.method, aim.path, aim.body)
        assert own.status in aim.own | (aim.others if aim.is_shared else frozenset()), one.name
        if one.method == "GET" and not aim.is_shared and one.name != "events":
            assert MARK.encode() in await own.read(), one.name


@pytest.mark.asyncio
async def test_an_admin_of_no_team_sees_all_and_one_of_the_settings_too(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):
        for key in ("owner", "root"):
            for path in ("/agents", "/calls", "/keys", "/audit", f"/calls/{CALL}", "/metrics"):
                answer = await ask(api, secrets[key], "GET", path)
                assert answer.status == 200, path
                assert path == "/metrics" or MARK in await answer.text(), path
        memory = await ask(api, secrets["root"], "GET", "/memory/m?team=red")
        assert MARK in await memory.text()


@pytest.mark.asyncio
async def test_channels_are_taken_per_server_and_conversations_are_not(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):
        taken = await ask(api, secrets["blue"], "POST", "/start_agent", NAMED)
        assert (taken.status, (await taken.json())["code"]) == (400, "channel_taken")
        again = await ask(api, secrets["red"], "POST", "/start_agent", NAMED)
        assert (await again.json())["code"] == "already_running"
        wanted = {"channel_name": "channel-of-blue", "thread_id": "thread-of-red"}
        started = await ask(api, secrets["blue"], "POST", "/start_agent", wanted)
        assert started.status == 200
        seed = api.placement.configs["channel-of-blue"].conversation_seed
        assert seed is not None
        assert seed.entries == ()
        await ask(api, secrets["red"], "POST", "/stop_agent", NAMED)
        wanted = {"channel_name": CHANNEL, "thread_id": "thread-of-red"}
        assert (await ask(api, secrets["red"], "POST", "/start_agent", wanted)).status == 200
        seed = api.placement.configs[CHANNEL].conversation_seed
        assert seed is not None
        assert len(seed.entries) == 1


@pytest.mark.asyncio
async def test_an_idempotency_key_is_that_of_one_api_key(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):

        async def start(key: str) -> tuple[int, str | None]:
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
            wanted = {"channel_name": "twice"}
            answer = await api.post("/start_agent", json=wanted, headers=headers)
            return answer.status, answer.headers.get("Idempotent-Replayed")

        assert await start(secrets["red"]) == (200, None)
        _, rotated = await api.keys.named.rotate("key-of-red", 60)
        assert await start(rotated) == (200, "true")
        assert await start(secrets["blue"]) == (400, None)


@pytest.mark.asyncio
async def test_what_is_done_is_in_the_audit_log_without_words(tmp_path: Path) -> None:
    async with two_teams(tmp_path) as (api, secrets):
        say = f"/agents/{CHANNEL}/say"
        await ask(api, secrets["red"], "POST", say, {"text": "words that nobody may keep"})
        await ask(api, secrets["red"], "GET", f"/calls/{CALL}/transcript")
        await ask(api, secrets["red"], "DELETE", f"/calls/{CALL}")
        await ask(api, secrets["blue"], "POST", say, {"text": "words"})
        key = await ask(api, OWNER, "POST", "/keys", {"name": "new", "scopes": ["listen"]})
        secret = (await key.json())["secret"]
        page = await (await ask(api, OWNER, "GET", "/audit?limit=5")).json()
        found = [
            (one["key"], one["team"], one["action"], one["channel_name"], one["call_id"])
            for one in page["entries"]
        ]
        assert found == [
            ("key 0", "", "create_key", "", ""),
            ("key-of-blue", "blue", "say", CHANNEL, ""),
            ("key-of-red", "red", "delete_call", "", CALL),
            ("key-of-red", "red", "show_transcript", "", CALL),
            ("key-of-red", "red", "say", CHANNEL, ""),
        ]
        assert page["entries"][0]["subject"] == "new"
        assert "words" not in json.dumps(page)
        assert secret not in json.dumps(page)
        rest = await ask(api, OWNER, "GET", f"/audit?after={page['next']}&key=key-of-red&since=2")
        assert [one["action"] for one in (await rest.json())["entries"]] == ["start_agent"]


def test_the_page_of_keys_has_the_scopes_of_every_operation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "keys.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z]+ /\S*)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [
        (f"{one.method} {one.path}", scopes_of(one)) for one in OPERATIONS if one.scopes
    ]


def scopes_of(one: Operation) -> str:
    names = ", ".join(f"`{scope}`" for scope in sorted(one.scopes))
    all_teams = " without a team" if one.is_for_all_teams else ""
    return ("any" if one.scopes == set(Scope) else names) + all_teams


def test_what_changes_or_shows_words_is_audited() -> None:
    for one in OPERATIONS:
        if one.scopes and one.method != "GET":
            assert one.is_audited, one.name
