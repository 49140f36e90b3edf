"""Servers that do not keep to the protocol, over a real socket: the conversation goes on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from realtime import events as ours
from realtime import response_gate
from realtime.gemini import model as gemini_model
from realtime.gemini.model import GeminiLiveModel
from realtime.model import (
    ModelConnectError,
    ModelDisconnectedError,
    RealtimeModel,
    RealtimeModelConfig,
)
from realtime.openai.model import OpenAIRealtimeModel
from tests.deadlines import DEADLINE_S
from tests.fakes.gemini_live import FakeGeminiServer
from tests.fakes.http_server import serving
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession
from utils import OwnedTasks

ANSWER_S = 0.1
_log = logging.getLogger("test")

BUSY = {"code": "conversation_already_has_active_response", "message": "busy"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_gate, "ANSWER_TIMEOUT_S", ANSWER_S)
    monkeypatch.setattr(gemini_model, "ANSWER_TIMEOUT_S", ANSWER_S)


class Heard:
    """A model whose events are read all the time, and the server's side of it."""

    def __init__(self, model: RealtimeModel, session: Any) -> None:
        self.model = model
        self.session = session
        self._seen: list[ours.ModelEvent] = []
        self._news = asyncio.Condition()

    async def read(self) -> None:
        async for event in self.model.events():
            async with self._news:
                self._seen.append(event)
                self._news.notify_all()

    def all_of(self, wanted: type[ours.ModelEvent]) -> list[Any]:
        return [event for event in self._seen if isinstance(event, wanted)]

    async def until(self, wanted: type[ours.ModelEvent], count: int = 1) -> Any:
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.all_of(wanted)) >= count)
        return self.all_of(wanted)[count - 1]


@asynccontextmanager
async def heard(model: RealtimeModel, session: Any) -> AsyncIterator[Heard]:
    call = Heard(model, session)
    tasks = OwnedTasks(_log)
    tasks.start(call.read(), name="reader")
    try:
        yield call
    finally:
        await model.close()
        await tasks.close()


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Heard]:
    async with FakeRealtimeServer() as server:
        model = OpenAIRealtimeModel()
        await model.connect(RealtimeModelConfig("m", server.uri, "k"))
        async with heard(model, await server.next_session()) as call:
            yield call


async def told(session: FakeSession, *frames: dict[str, Any]) -> None:
    for frame in frames:
        await session.send_raw(json.dumps(frame))


async def requests(session: FakeSession, count: int) -> None:
    """Until so many replies were asked for; nothing else happens meanwhile."""
    await session.wait_for("response.create", count)


def created(response_id: str) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id}}


@pytest.mark.asyncio
@pytest.mark.parametrize("event_id", [None, "reply_1"])
async def test_a_refused_request_is_sent_again_in_silence(
    call: Heard, event_id: str | None
) -> None:
    await call.model.send(ours.CreateResponse())
    await requests(call.session, 1)
    await told(call.session, {"type": "error", "error": BUSY | {"event_id": event_id}})
    await requests(call.session, 2)


@pytest.mark.asyncio
async def test_a_request_that_is_ignored_does_not_hold_back_the_next(
    call: Heard,
) -> None:
    await call.model.send(ours.CreateResponse("one"))
    await call.model.send(ours.CreateResponse("two"))
    await requests(call.session, 2)


@pytest.mark.asyncio
async def test_a_cancelled_reply_without_an_end_holds_back_nothing(call: Heard) -> None:
    await told(call.session, created("r"))
    await call.until(ours.ResponseCreated)
    await call.model.send(ours.CancelResponse())
    await call.session.wait_for("response.cancel")
    await call.model.send(ours.CreateResponse())
    await requests(call.session, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("has_ids", [True, False])
async def test_replies_that_are_not_announced(call: Heard, has_ids: bool) -> None:
    for number in range(3):
        await call.model.send(ours.CreateResponse())
        await requests(call.session, number + 1)
        ids = {"response_id": f"r{number}", "item_id": f"i{number}"} if has_ids else {}
        response = {"id": f"r{number}"} if has_ids else {}
        await told(
            call.session,
            {"type": "response.output_audio_transcript.delta", "delta": "hi", **ids},
            {"type": "response.done", "response": response},
        )
    await call.until(ours.ResponseDone, 3)
    assert len(call.all_of(ours.ResponseCreated)) == 3


@pytest.mark.asyncio
async def test_no_timer_outlives_its_session() -> None:
    async with FakeRealtimeServer() as server:
        model = OpenAIRealtimeModel()
        await model.connect(RealtimeModelConfig("m", server.uri, "k"))
        session = await server.next_session()
        await model.send(ours.CreateResponse("one"))
        await model.send(ours.CreateResponse("two"))
        await requests(session, 1)
        await model.close()
        await asyncio.sleep(2 * ANSWER_S)
        assert len(session.all_of("response.create")) == 1
        with pytest.raises(ModelDisconnectedError):
            await model.send(ours.AddText("hi"))


@pytest.mark.asyncio
async def test_gemini_that_ignores_a_request_is_told_what_waits() -> None:
    async with FakeGeminiServer() as server:
        model = GeminiLiveModel()
        await model.connect(RealtimeModelConfig("gemini-3.8-live", server.uri, "k"))
        async with heard(model, await server.next_session()) as call:
            await model.send(ours.CreateResponse("one"))
            await model.send(ours.AddText("two"))
            await call.session.wait_for("clientContent", count=2)


# -- opening -----------------------------------------------------------------------------------


async def refusal(frames: list[str]) -> ModelConnectError | None:
    """Why a session cannot be opened whose server sends these frames; None: it can."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for frame in frames:
            await socket.send_str(frame)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/v1/realtime", handle)
    model = OpenAIRealtimeModel()
    async with serving(app) as port:
        try:
            await model.connect(RealtimeModelConfig("m", f"ws://127.0.0.1:{port}", "k"))
        except ModelConnectError as error:
            return error
        finally:
            await model.close()
    return None


OPENED = ['{"type":"session.created","session":null}', '{"type":"session.updated","session":[]}']


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "frame", ["", "not json", "{}", '{"type":5}', "[" * 500, '{"type":"response.audio.delta"}']
)
async def test_a_session_opens_although_one_message_cannot_be_read(frame: str) -> None:
    error = await refusal([frame, OPENED[0], frame, OPENED[1]])
    assert error is None


@pytest.mark.asyncio
async def test_a_refusal_of_any_length_is_one_line() -> None:
    details = {"type": "server_error", "code": "c" * 5_000, "message": "no\nway " * 200_000}
    error = await refusal([OPENED[0], json.dumps({"type": "error", "error": details})])
    assert error is not None
    assert str(error).startswith("no way no way")
    assert len(str(error)) <= 2_000
    assert len(error.code) <= 128
    assert "\n" not in str(error)


# -- streams -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_words_cut_inside_a_character_come_whole(call: Heard) -> None:
    where = '"response_id":"r","item_id":"i","call_id":"c"'
    kinds = (
        "response.output_audio_transcript.delta",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
    )
    for kind in kinds:
        for delta in ("a\\ud83d", "\\ude00b"):
            await call.session.send_raw(f'{{"type":"{kind}",{where},"delta":"{delta}"}}')
    kind = "conversation.item.input_audio_transcription.delta"
    for delta in ("a\\ud83d", "\\ude00b"):
        await call.session.send_raw(f'{{"type":"{kind}","item_id":"u","delta":"{delta}"}}')
    await call.until(ours.InputTranscriptDelta, 2)
    for wanted in (
        *(ours.TranscriptDelta, ours.TextDelta),
        *(ours.ToolCallDelta, ours.InputTranscriptDelta),
    ):
        assert [event.delta for event in call.all_of(wanted)] == ["a", "\U0001f600b"]
    assert call.all_of(ours.ProviderError) == []
