"""A session with Gemini Live, over a real socket: how it opens, lasts and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime.gemini.model import GeminiLiveModel
from realtime.model import ModelConnectError, ModelDisconnectedError, ModelSettings
from realtime.providers import create_model
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, Tls
from tests.realtime.calls import Call
from tests.realtime.gemini.call import MODEL, GeminiCall, calling, config, hello
from tests.realtime.resilience.giving_up import give_up_connecting

_LOG = logging.getLogger("test")


@pytest_asyncio.fixture
async def call() -> AsyncIterator[GeminiCall]:
    async with calling() as call:
        yield call


# -- opening and closing -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_session_opens_with_its_settings() -> None:
    settings = ModelSettings(instructions="Be brief.", voice="Kore", language="en")
    async with calling(GeminiFaults(api_key="k"), settings=settings) as call:
        assert call.session.setup["model"] == f"models/{MODEL}"
        assert call.session.setup["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
        opened = await call.until(ours.SessionOpened)
        assert opened.session_id.startswith("sess_")
        assert call.seen == [ours.ConnectionChanged(ours.ConnectionStatus.OPEN), opened]


@pytest.mark.asyncio
async def test_vertex_is_reached_by_its_path() -> None:
    query = {"project": "p", "location": "l"}
    async with FakeGeminiServer() as server:
        model = GeminiLiveModel(MODEL)
        await model.connect(config(server, query=query, api_key=lambda: "ya29.token"))
        session = await server.next_session()
        assert session.setup["model"] == f"projects/p/locations/l/publishers/google/models/{MODEL}"
        assert server.asked[0].path.startswith("/ws/google.cloud.aiplatform.v1beta1.")
        assert server.asked[0].headers["Authorization"] == "Bearer ya29.token"
        await model.close()


@pytest.mark.asyncio
async def test_only_trusted_servers_are_talked_to(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    async with FakeGeminiServer(tls=tls) as server:
        model = GeminiLiveModel(MODEL, ssl_context=tls.client)
        await model.connect(config(server))
        await model.close()
        # The server shares our loop, and complains there of the client that turned away.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        with pytest.raises(ModelConnectError) as caught:
            await GeminiLiveModel(MODEL).connect(config(server))
        assert caught.value.code == "untrusted_certificate"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("faults", "changes", "code", "is_retryable"),
    [
        (GeminiFaults(api_key="another"), {}, "invalid_api_key", False),
        (GeminiFaults(is_mute=True), {"timeout_s": 0.1}, "timeout", True),
        (GeminiFaults(is_silent=True), {"timeout_s": 0.2}, "timeout", True),
        (GeminiFaults(setup_close=(1007, "API key not valid.")), {}, "invalid_api_key", False),
        (GeminiFaults(setup_close=(1008, "m is not found")), {}, "model_not_found", False),
        (GeminiFaults(setup_close=(1011, "Internal error.")), {}, "internal", True),
        (GeminiFaults(setup_close=(1001, "")), {}, "handshake_failed", True),
        (GeminiFaults(), {"resumption_handle": "stale"}, "stale_resumption_handle", True),
        (GeminiFaults(), {"settings": ModelSettings(speed=2.0)}, "invalid_settings", False),
        (
            GeminiFaults(),
            {"settings": ModelSettings(extra={"generationConfig": {"x": 1}})},
            "invalid_argument",
            False,
        ),
        (GeminiFaults(), {"query": {"version": "../v1"}}, "invalid_uri", False),
        (GeminiFaults(), {"base_uri": "wss://[bad"}, "invalid_uri", False),
        (GeminiFaults(), {"base_uri": "ws://127.0.0.1:1"}, "unreachable", True),
    ],
)
async def test_failed_connect_says_why_and_leaves_nothing(
    faults: GeminiFaults, changes: dict[str, Any], code: str, is_retryable: bool
) -> None:
    async with FakeGeminiServer(faults=faults) as server:
        model = GeminiLiveModel(MODEL)
        with pytest.raises(ModelConnectError) as caught:
            await model.connect(config(server, **changes))
        assert (caught.value.code, caught.value.is_retryable) == (code, is_retryable)
        await model.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [GeminiFaults(is_mute=True), GeminiFaults(is_silent=True)])
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_connecting_can_be_given_up(
    fault: GeminiFaults, how: Literal["cancel", "close"]
) -> None:
    async with FakeGeminiServer(faults=fault) as server:
        model = GeminiLiveModel(MODEL)
        await give_up_connecting(model, config(server), server.was_asked, how)


@pytest.mark.asyncio
async def test_closing_ends_the_events_and_every_command(call: GeminiCall) -> None:
    await call.until(ours.SessionOpened)
    await call.model.close()
    await call.model.close()
    ended = await call.until(ours.SessionEnded)
    assert (ended.code, ended.is_retryable) == ("closed", False)
    with pytest.raises(ModelDisconnectedError):
        await call.model.send(ours.AppendAudio(b"\0\0"))
    never = create_model("gemini", MODEL)
    with pytest.raises(ModelDisconnectedError):
        await never.send(ours.AppendAudio(b"\0\0"))
    assert [event async for event in never.events()] == []
    await never.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("close", "code", "is_retryable"),
    [
        ((1000, ""), "disconnected", True),
        ((1007, "Request contains an invalid argument."), "invalid_argument", False),
        ((1008, "Policy."), "policy_violation", False),
        ((1011, "Deadline expired before operation could complete."), "deadline_expired", True),
        ((1011, "You exceeded your current quota."), "insufficient_quota", False),
        (None, "disconnected", True),
    ],
)
async def test_end_of_a_session_is_told(
    call: GeminiCall, close: tuple[int, str] | None, code: str, is_retryable: bool
) -> None:
    await call.until(ours.SessionOpened)
    await (call.session.drop() if close is None else call.session.close(*close))
    ended = await call.until(ours.SessionEnded)
    assert (ended.code, ended.is_retryable) == (code, is_retryable)
    assert isinstance(call.seen[-2], ours.ConnectionChanged)
    assert [event async for event in call.events] == []


# -- the life of a session ---------------------------------------------------------------------


@pytest.mark.asyncio
async def test_go_away_and_resumption() -> None:
    async with FakeGeminiServer() as server:
        first = GeminiLiveModel(MODEL)
        await first.connect(config(server))
        call = Call(first, await server.next_session())
        await call.session.hear("my name is Ada")
        await call.alongside(hello(call.session), ours.ResponseDone)
        resumable = await call.until(ours.ResumptionUpdated)
        await call.session.update_handle(is_resumable=False)
        assert await call.until(ours.ResumptionUpdated) == ours.ResumptionUpdated(None)
        await call.session.go_away("0.5s")
        assert await call.until(ours.GoAwayReceived) == ours.GoAwayReceived(500)
        second = GeminiLiveModel(MODEL)
        await second.connect(config(server, resumption_handle=resumable.handle))
        assert (await server.next_session()).history == [
            ("user", "my name is Ada"),
            ("model", "Hello there."),
        ]
        await call.session.close(1011, "Deadline expired.")
        assert (await call.until(ours.SessionEnded)).is_retryable
        await first.close()
        await second.close()


@pytest.mark.asyncio
async def test_malformed_and_unknown_frames_end_nothing(call: GeminiCall) -> None:
    await call.session.send_raw("not json")
    assert (await call.until(ours.ProviderError)).code == "malformed_event"
    await call.session.send_raw('{"serverContent": {"modelTurn": {"parts": 7}}}')
    assert (await call.until(ours.ProviderError)).code == "malformed_event"
    await call.session.send({"novelty": {}}, {"serverContent": {}})
    assert (await call.until(ours.UnknownEventReceived)).type == "novelty"
    await call.alongside(hello(call.session), ours.ResponseDone)


@pytest.mark.asyncio
async def test_frames_are_logged_short_and_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "realtime")
    settings = ModelSettings(instructions="Be brief.")
    async with FakeGeminiServer() as server:
        server._memory.by_handle["secret-handle"] = []
        model = GeminiLiveModel(MODEL)
        resuming = config(
            server, resumption_handle="secret-handle", is_verbose=True, settings=settings
        )
        await model.connect(resuming)
        call = Call(model, await server.next_session())
        await call.session.update_handle()
        await call.until(ours.ResumptionUpdated)
        await model.send(ours.AppendAudio(b"\1\0" * 1_000))
        await model.close()
        assert call.session.handle is not None
        assert "Be brief." in caplog.text
        assert "secret-handle" not in caplog.text
        assert call.session.handle not in caplog.text
        assert max(len(record.getMessage()) for record in caplog.records) < 1_000
