from __future__ import annotations

from typing import Any

import jwt
import pytest
from aiohttp import ClientResponse
from pydantic import SecretStr

from config.media import OpusConfig
from config.settings import Settings
from control.placement import AtCapacityError, DrainingError, PlacementError, StopFailedError
from conversation.lifecycle import AgentStartError, ExitReason
from tests.control.served_api import SECRET, Api, serve_api
from version import VERSION

START = {"channel_name": "demo", "uid": 1000}
KEYED = Settings(
    api_keys=(SecretStr("key-one-of-the-tests"), SecretStr("key-two-of-the-tests")),
    room_token_secret=SecretStr(SECRET),
    local_model_uri="ws://127.0.0.1:9",
)


async def error_of(response: ClientResponse) -> tuple[int, str]:
    body = await response.json()
    assert set(body) <= {"error", "code", "details"}
    assert body["error"]
    return response.status, body["code"]


@pytest.mark.asyncio
async def test_a_start_answers_as_documented_and_a_second_one_is_refused() -> None:
    async with serve_api() as api:
        response = await api.post("/start_agent", json=START)
        body = await response.json()
        agent_id = api.placement.configs["demo"].agent_id
        assert response.status == 200
        assert body == {
            "status": "Agent started!",
            "channel_name": "demo",
            "uid": 1000,
            "agent_id": agent_id,
            "thread_id": agent_id,
            "state": "ready",
            "timings_ms": {"joining": 3.5},
        }
        again = await api.post("/start_agent", json=START)
        assert await error_of(again) == (400, "already_running")
        assert (await again.json())["error"] == "Agent already running for channel: demo"


@pytest.mark.asyncio
async def test_uid_0_leaves_the_choice_to_the_server_and_the_answer_names_it() -> None:
    async with serve_api() as api:
        answer = await (await api.post("/start_agent", json=START | {"uid": 0})).json()
        assert answer["uid"] == api.placement.configs["demo"].uid >= 1


@pytest.mark.asyncio
async def test_details_have_the_words_of_pydantic_and_never_the_input() -> None:
    async with serve_api() as api:
        wanted = START | {"uid": -1, "turn_detection": {"type": "server_vad", "threshold": 7.25}}
        answer = await (await api.post("/start_agent", json=wanted)).json()
        assert answer["error"].startswith("Invalid request data")
        by_field = {one["field"]: one for one in answer["details"]}
        assert by_field["uid"]["loc"] == ["uid"]
        assert by_field["uid"]["type"] == "uid_range"
        (threshold,) = (one for name, one in by_field.items() if name != "uid")
        assert threshold["loc"] == ["turn_detection", "server_vad", "threshold"]
        assert threshold["type"] == "less_than_equal"
        for one in answer["details"]:
            assert set(one) == {"field", "loc", "type", "msg"}
        assert "7.25" not in str(answer)


@pytest.mark.asyncio
async def test_a_start_that_does_not_wait_is_accepted() -> None:
    async with serve_api() as api:
        response = await api.post("/start_agent", json=START | {"wait": False})
        assert (response.status, (await response.json())["status"]) == (202, "Agent starting")


@pytest.mark.asyncio
async def test_the_agent_is_configured_from_request_and_settings() -> None:
    settings = KEYED.model_copy(
        update={
            "openai_api_key": SecretStr("sk-x"),
            "write_rtc_pcm": True,
            "verbose": True,
            "opus_bitrate_bps": 24_000,
            "opus_complexity": 3,
            "opus_expected_loss_percent": 0,
        }
    )
    async with serve_api(settings) as api:
        wanted = START | {"provider": "openai", "model": "m2", "greeting": "Hi", "toolset": None}
        response = await api.post(
            "/start_agent", json=wanted, headers={"Authorization": "Bearer key-two-of-the-tests"}
        )
        assert response.status == 200
        config = api.placement.configs["demo"]
    assert config.provider.api_key is not None
    assert config.provider.api_key.get_secret_value() == "sk-x"
    assert (config.provider.model, config.provider.base_uri) == ("m2", "wss://api.openai.com")
    assert (config.room_url, config.greeting) == ("http://127.0.0.1:8080", "Hi")
    assert config.opus == OpusConfig(bitrate_bps=24_000, complexity=3, expected_loss_percent=0)
    assert (config.rtc_pcm_dir, config.agent_pcm_dir) == (settings.dump_dir, None)
    assert config.room_token is not None
    claims = jwt.decode(config.room_token.get_secret_value(), SECRET, algorithms=["HS256"])
    assert (claims["channel"], claims["uid"], claims["role"]) == ("demo", 1000, "agent")


@pytest.mark.asyncio
async def test_openai_without_a_key_names_the_variable() -> None:
    async with serve_api() as api:
        response = await api.post("/start_agent", json=START | {"provider": "openai"})
        assert await error_of(response) == (400, "missing_api_key")
        assert "OPENAI_API_KEY" in (await response.json())["error"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (AgentStartError("connecting", "invalid_api_key", "no"), (502, "start_failed")),
        (AgentStartError("connecting", "invalid_settings", "no"), (400, "invalid_request")),
        (AgentStartError("joining", "timeout", "slow"), (504, "start_timeout")),
        (AgentStartError("model", "model_timeout", "loading"), (504, "start_timeout")),
        (AgentStartError("joining", "stopped", "stopped"), (409, "stopped")),
        (DrainingError(), (503, "draining")),
        (StopFailedError("stuck"), (504, "stop_failed")),
        (RuntimeError("a defect with sk-secret"), (500, "internal_error")),
    ],
)
async def test_failures_of_the_placement_become_answers(
    failure: PlacementError | Exception, expected: tuple[int, str]
) -> None:
    async with serve_api() as api:
        api.placement.failure = failure
        response = await api.post("/start_agent", json=START)
        assert await error_of(response) == expected
        body = await response.json()
        assert "sk-secret" not in str(body)
        if isinstance(failure, AgentStartError):
            detail = body["details"][0]
            assert (detail["phase"], detail["cause"]) == (failure.phase, failure.code)


@pytest.mark.asyncio
async def test_a_full_server_says_why_with_figures_and_when_to_ask_again() -> None:
    async with serve_api() as api:
        figures = {"agents": 3.0, "max_agents": 3.0}
        api.placement.failure = AtCapacityError(
            "3 agents are live, the limit is 3", reason="agents", figures=figures, retry_after_s=10
        )
        response = await api.post("/start_agent", json=START)
        assert await error_of(response) == (429, "at_capacity")
        assert response.headers["Retry-After"] == "10"
        (detail,) = (await response.json())["details"]
        assert (detail["cause"], detail["figures"]) == ("agents", figures)


@pytest.mark.asyncio
async def test_a_drain_is_begun_at_once_and_can_only_be_hurried() -> None:
    async with serve_api() as api:
        await api.post("/start_agent", json=START)
        response = await api.post("/drain", json={})
        assert (response.status, await response.json()) == (
            202,
            {"status": "draining", "agents": 1, "deadline_s": 15.0},
        )
        assert api.placement.is_draining
        hurried = await api.post("/drain", json={"deadline_s": 0})
        assert (await hurried.json())["deadline_s"] == 0
        assert api.placement.drains == [(15.0, ExitReason.DRAINED), (0.0, ExitReason.DRAINED)]
        wrong = await api.post("/drain", json={"deadline_s": -1})
        assert await error_of(wrong) == (400, "invalid_request")


@pytest.mark.asyncio
async def test_stop_and_status_follow_the_agent() -> None:
    async with serve_api() as api:
        missing = await api.post("/stop_agent", json={"channel_name": "demo"})
        assert await error_of(missing) == (404, "not_running")
        text = "No active agent found for the provided channel_name"
        assert (await missing.json())["error"] == text
        await api.post("/start_agent", json=START)
        listed = await (await api.get("/agents")).json()
        shown = await (await api.get("/agents/demo")).json()
        assert listed == {"agents": [shown]}
        assert (shown["channel_name"], shown["uid"], shown["pid"]) == ("demo", 1000, 77)
        stopped = await (await api.post("/stop_agent", json={"channel_name": "demo"})).json()
        assert stopped["status"] == "Agent process terminated"
        assert (stopped["channel_name"], stopped["exit_reason"]) == ("demo", "stopped")
        assert await error_of(await api.get("/agents/demo")) == (404, "not_running")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("send", "expected"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, (400, "invalid_request")),
        ({"data": b"", "headers": {"Content-Type": "application/json"}}, (400, "invalid_request")),
        ({"json": [1]}, (400, "invalid_request")),
        ({"json": START | {"colour": "red"}}, (400, "invalid_request")),
        ({"data": b"{}"}, (415, "unsupported_media_type")),
        (
            {"data": b"{}", "headers": {"Content-Type": "text/json"}},
            (415, "unsupported_media_type"),
        ),
        ({"data": {"channel_name": "demo"}}, (415, "unsupported_media_type")),
        ({"json": START | {"greeting": "x" * 300_000}}, (413, "too_large")),
    ],
)
async def test_bodies_that_cannot_be_used(send: dict[str, Any], expected: tuple[int, str]) -> None:
    async with serve_api() as api:
        assert await error_of(await api.post("/start_agent", **send)) == expected
        assert api.placement.configs == {}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing", (404, "not_found")),
        ("GET", "/start_agent", (405, "method_not_allowed")),
        ("DELETE", "/agents", (405, "method_not_allowed")),
        ("GET", "/agents/no%20name", (400, "invalid_request")),
        ("GET", "/agents/unknown", (404, "not_running")),
        ("GET", "/web/nothing.js", (404, "not_found")),
        ("GET", "/web/..%2Fconfig.py", (404, "not_found")),
        ("GET", "/web/%2Fetc%2Fpasswd", (404, "not_found")),
    ],
)
async def test_paths_and_methods_that_are_not_there(
    method: str, path: str, expected: tuple[int, str]
) -> None:
    from yarl import URL

    async with serve_api() as api:
        url = URL(str(api.make_url("/"))[:-1] + path, encoded=True)
        async with api.session.request(method, url) as response:
            assert await error_of(response) == expected


@pytest.mark.asyncio
async def test_with_keys_configured_only_their_holders_get_in() -> None:
    async with serve_api(KEYED) as api:
        for method, path in [
            ("POST", "/start_agent"),
            ("POST", "/stop_agent"),
            ("POST", "/drain"),
            ("POST", "/token"),
            ("GET", "/agents"),
            ("GET", "/agents/demo"),
        ]:
            refused = await api.request(method, path, json=START)
            assert await error_of(refused) == (401, "unauthorized"), path
            wrong = await api.request(
                method, path, json=START, headers={"Authorization": "Bearer key"}
            )
            assert wrong.status == 401
        assert api.placement.configs == {}
        for path in ("/healthz", "/readyz", "/", "/web/console/app.js", "/openapi.json"):
            assert (await api.get(path)).status == 200, path
        for key in ("key-one-of-the-tests", "key-two-of-the-tests"):
            response = await api.get("/agents", headers={"Authorization": f"Bearer {key}"})
            assert response.status == 200


@pytest.mark.asyncio
async def test_health_names_the_version() -> None:
    async with serve_api() as api:
        answer = await api.get("/healthz")
        assert await answer.json() == {"status": "ok", "version": VERSION}


@pytest.mark.asyncio
async def test_without_keys_foreign_pages_are_refused_everywhere_but_health() -> None:
    rebound = {"Host": "evil.example"}
    async with serve_api() as api:
        for method, path in [
            ("POST", "/start_agent"),
            ("GET", "/agents"),
            ("GET", "/"),
            ("GET", "/rooms/demo/ws"),
            ("POST", "/rooms/demo/call"),
        ]:
            refused = await api.request(method, path, json=START, headers=rebound)
            assert await error_of(refused) == (403, "foreign_host"), path
        foreign = await api.post("/start_agent", json=START, headers={"Origin": "http://evil"})
        assert await error_of(foreign) == (403, "foreign_origin")
        own = str(api.make_url("/")).rstrip("/")
        assert (await api.post("/start_agent", json=START, headers={"Origin": own})).status == 200
        assert (await api.get("/healthz", headers=rebound)).status == 200


@pytest.mark.asyncio
async def test_tokens_open_exactly_the_room_they_name() -> None:
    wanted = {"channel_name": "demo", "uid": 7, "ttl_s": 60}
    async with serve_api(KEYED) as api:
        headers = {"Authorization": "Bearer key-one-of-the-tests"}
        answer = await (await api.post("/token", json=wanted, headers=headers)).json()
        claims = jwt.decode(answer["token"], SECRET, algorithms=["HS256"])
        assert (claims["channel"], claims["uid"], claims["role"]) == ("demo", 7, "user")
        assert answer["expires_in_s"] == 60
        other = await (await api.post("/token", json={"channel_name": "x"}, headers=headers)).json()
        assert jwt.decode(other["token"], SECRET, algorithms=["HS256"])["uid"] == 0


@pytest.mark.asyncio
async def test_open_rooms_need_no_token() -> None:
    async with serve_api() as api:
        answer = await (await api.post("/token", json={"channel_name": "demo"})).json()
        assert (answer["token"], answer["expires_in_s"]) == (None, None)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_keyed", [True, False])
async def test_the_token_of_an_agent_is_minted_everywhere_and_names_its_uid(is_keyed: bool) -> None:
    headers = {"Authorization": "Bearer key-one-of-the-tests"} if is_keyed else {}
    wanted = {"channel_name": "demo", "role": "agent"}
    async with serve_api(KEYED if is_keyed else None) as api:
        refused = await api.post("/token", json=wanted, headers=headers)
        assert await error_of(refused) == (400, "invalid_request")
        answer = await api.post("/token", json=wanted | {"uid": 1000}, headers=headers)
        token = (await answer.json())["token"]
        for shown, kind in ((None, "error"), (token, "joined")):
            socket = await api.ws_connect("/rooms/demo/ws")
            join = {"type": "join", "role": "agent", "uid": 1000, "token": shown}
            await socket.send_json(join)
            assert (await socket.receive_json())["type"] == kind
            await socket.close()


@pytest.mark.asyncio
async def test_readiness_names_missing_parts() -> None:
    async with serve_api() as api:
        assert (await api.get("/readyz")).status == 200
        api.readiness = api.readiness.model_copy(
            update={"status": "not_ready", "problems": ["local model failed"]}
        )
        response = await api.get("/readyz")
        assert response.status == 503
        assert (await response.json())["problems"] == ["local model failed"]


@pytest.mark.asyncio
async def test_the_page_and_its_files_are_served_with_their_rules() -> None:
    async with serve_api() as api:
        page = await api.get("/")
        assert page.status == 200
        assert page.content_type == "text/html"
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["Permissions-Policy"].startswith("microphone=(self)")
        script = await api.get("/web/console/app.js")
        assert script.content_type == "text/javascript"
        for response in (page, script, await api.get("/nothing")):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        await _check_linked_files(api, await page.text())


@pytest.mark.asyncio
async def test_pages_of_listed_origins_may_import_the_client() -> None:
    listed, other = {"Origin": "https://app.example"}, {"Origin": "https://other.example"}
    settings = Settings(
        local_model_uri="ws://127.0.0.1:9", allowed_origins=("https://app.example",)
    )
    async with serve_api(settings) as api:
        for path in ("/parley.js", "/web/parley.js", "/web/client/call.js"):
            module = await api.get(path, headers=listed)
            assert (module.status, module.content_type) == (200, "text/javascript"), path
            assert module.headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert (await api.get(path, headers=other)).status == 403
        entry = await (await api.get("/parley.js")).text()
        assert entry == 'export * from "./web/parley.js";\n'


async def _check_linked_files(api: Api, page: str) -> None:
    import re

    linked = re.findall(r'(?:href|src)="(web/[^"]+)"', page)
    assert linked
    for path in linked:
        assert (await api.get(f"/{path}")).status == 200, path
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page), "inline script"
