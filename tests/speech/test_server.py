"""The process around the sessions: readiness, refusals, limits, stopping."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime import struct as wire
from speech.engine_pool import EnginePool, Engines
from speech.engines import files
from speech.errors import SpeechError
from speech.server import ModelServer, run_model_server
from speech.session import Session
from speech.settings import Limits, SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.speech.local_model import model_server
from tests.speech.talk import VALIDATOR, Caller, client_for

pytestmark = pytest.mark.speech


@asynccontextmanager
async def _served(engines: Engines | None, **limits: Any) -> AsyncIterator[tuple[ModelServer, str]]:
    settings = SpeechSettings(limits=Limits(**limits))
    async with model_server(engines, settings) as (server, port):
        yield server, f"http://127.0.0.1:{port}"


@pytest.mark.asyncio
async def test_a_session_waits_for_the_models(engines: Engines) -> None:
    async with _served(None) as (server, url), aiohttp.ClientSession() as http:
        async with http.get(f"{url}/healthz") as health:
            assert (health.status, (await health.json())["status"]) == (503, "loading")
        async with http.ws_connect(f"{url}/v1/realtime?model=m") as ws:
            server.use(engines)
            assert (await ws.receive_json(timeout=DEADLINE_S))["type"] == "session.created"
        async with http.get(f"{url}/healthz") as health:
            assert (health.status, (await health.json())["status"]) == (200, "ok")


@pytest.mark.asyncio
async def test_what_is_no_session_is_refused_with_a_reason(engines: Engines) -> None:
    async with _served(engines, sessions=1) as (_, url), aiohttp.ClientSession() as http:
        async with http.get(f"{url}/v1/realtime?model=m") as plain:
            assert plain.status == 426
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await http.ws_connect(f"{url}/v1/realtime")
        async with http.ws_connect(f"{url}/v1/realtime?model=m") as ws:
            await ws.receive_json(timeout=DEADLINE_S)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await http.ws_connect(f"{url}/v1/realtime?model=m")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://localhost:8080"}, 101),
        ({"Host": "localhost"}, 101),
    ],
)
async def test_pages_of_other_sites_are_refused(
    engines: Engines, headers: dict[str, str], status: int
) -> None:
    async with _served(engines) as (_, url), aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(f"{url}/v1/realtime?model=m", headers=headers):
                answered = 101
        except aiohttp.WSServerHandshakeError as error:
            answered = error.status
        assert answered == status


@pytest.mark.asyncio
async def test_the_beta_protocol_is_refused(engines: Engines) -> None:
    async with _served(engines) as (_, url), aiohttp.ClientSession() as http:
        headers = {"OpenAI-Beta": "realtime=v1"}
        async with http.ws_connect(f"{url}/v1/realtime?model=m", headers=headers) as beta:
            error = await beta.receive_json(timeout=DEADLINE_S)
            assert error["error"]["code"] == "beta_api_shape_disabled"
            assert (await beta.receive(timeout=DEADLINE_S)).data == 4000


@pytest.mark.asyncio
async def test_a_session_ends_when_its_time_is_over(engines: Engines) -> None:
    async with (
        _served(engines, session_s=0.3) as (_, url),
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/v1/realtime?model=m") as ws,
    ):
        await ws.receive_json(timeout=DEADLINE_S)
        assert (await ws.receive_json(timeout=DEADLINE_S))["error"]["code"] == "session_expired"
        assert (await ws.receive(timeout=DEADLINE_S)).data == 1001


@pytest.mark.asyncio
async def test_a_client_that_never_reads_is_let_go(engines: Engines) -> None:
    """It asks again and again for an item, and leaves the answers in its socket."""
    async with _served(engines, outbox_events=50) as (_, url):
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        request = (
            "GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.write(request.encode())
        content = [{"type": "input_text", "text": "x" * 30_000}]
        item = {"type": "message", "role": "user", "id": "big", "content": content}
        writer.write(_masked({"type": "conversation.item.create", "item": item}))
        with pytest.raises(ConnectionError):
            await _flood(writer, {"type": "conversation.item.retrieve", "item_id": "big"})
        writer.transport.abort()
        assert not reader.at_eof()


async def _flood(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    async with asyncio.timeout(20):
        while True:
            writer.write(_masked(message))
            await writer.drain()
            # Draining a socket that takes everything does not yield, and the server runs on this loop.
            await asyncio.sleep(0)


def _masked(message: dict[str, Any]) -> bytes:
    """A WebSocket text frame whose mask is zero."""
    body = json.dumps(message).encode()
    return bytes([0x81, 0xFF]) + len(body).to_bytes(8, "big") + bytes(4) + body


@pytest.mark.asyncio
async def test_bounds_on_what_is_kept(engines: Engines) -> None:
    async with (
        _served(engines, items=2, turn_s=1.0) as (_, url),
        client_for(int(url.rpartition(":")[2])) as client,
        client.realtime.connect(model="m") as connection,
    ):
        caller = Caller(connection)
        await caller.update(audio={"input": {"turn_detection": None}})
        audio = base64.b64encode(bytes(48_000 * 2)).decode()
        await caller.send(type="input_audio_buffer.append", audio=audio)
        assert (await caller.until("error"))["error"]["code"] == "input_audio_buffer_full"
        for _ in range(3):
            await caller.say_text("hello")
        assert (await caller.until("error"))["error"]["code"] == "conversation_full"
        await caller.hang_up()


@pytest.mark.asyncio
async def test_the_whole_server_starts_on_a_given_socket_and_stops(engines: Engines) -> None:
    """With its own loading of the models, as `main.py` runs it; a call under way ends with 1001."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    ready, stopped = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_model_server(sock=sock, stopped=stopped, on_ready=ready.set))
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{port}/v1/realtime?model=m") as ws,
        ):
            assert (await ws.receive_json(timeout=DEADLINE_S))["type"] == "session.created"
            assert ready.is_set()
            stopped.set()
            assert (await ws.receive(timeout=DEADLINE_S)).data == 1001


@pytest.mark.asyncio
async def test_stopping_while_loading_is_quick() -> None:
    stopped = asyncio.Event()
    async with asyncio.timeout(30):
        await run_model_server(stopped=stopped, on_listening=lambda _port: stopped.set())


@pytest.mark.asyncio
async def test_wrong_model_files_end_the_server_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = files.PinnedFile(files.VAD_WEIGHTS.package, files.VAD_WEIGHTS.path, "0" * 64)
    monkeypatch.setattr(files, "VAD_WEIGHTS", wrong)
    with pytest.raises(SpeechError, match="not the pinned one") as caught:
        await run_model_server()
    assert "\n" not in str(caught.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    [
        "session.update", "input_audio_buffer.append", "input_audio_buffer.commit",
        "conversation.item.create", "conversation.item.truncate", "conversation.item.retrieve",
        "response.create", "response.cancel", "nonsense",
    ]
)  # fmt: skip
_KEYS = st.sampled_from(
    ["session", "audio", "item", "item_id", "content_index", "audio_end_ms", "response", "event_id"]
)
_FRAMES = st.text(max_size=60) | st.dictionaries(_KEYS, _JSON, max_size=4).flatmap(
    lambda fields: _TYPES.map(lambda kind: json.dumps({**fields, "type": kind}))
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(frames=st.lists(_FRAMES, max_size=6))
def test_garbage_gets_errors_and_never_harms(engines: Engines, frames: list[str]) -> None:
    emitted = asyncio.run(_handle(engines, frames))
    problems = [e["error"] for e in emitted if e["type"] == "error"]
    assert all(problem["code"] != "server_error" for problem in problems), problems
    assert emitted[-1]["type"] == "session.updated"


async def _handle(engines: Engines, frames: list[str]) -> list[dict[str, Any]]:
    emitted: list[dict[str, Any]] = []

    def emit(event: wire.WireEvent) -> None:
        emitted.append(VALIDATOR.validate_json(wire.serialize(event)).model_dump())

    async def wait_for_room() -> None:
        await asyncio.sleep(0)

    pool = EnginePool(engines, SpeechSettings())
    session = Session(
        workers=pool.session(),
        settings=SpeechSettings(),
        emit=emit,
        wait_for_room=wait_for_room,
    )
    session.start()
    for frame in frames:
        await session.handle_text(frame)
    before_close = len(emitted)
    await session.handle_text('{"type":"session.update","session":{"type":"realtime"}}')
    assert len(emitted) > before_close
    await session.close()
    await pool.close()
    return emitted


@pytest.mark.asyncio
async def test_agents_sdk_parses_every_event(port: int) -> None:
    """`openai-agents` validates strictly and sends two updates at once on connecting."""
    from agents.realtime import OpenAIRealtimeWebSocketModel
    from agents.realtime.model_inputs import RealtimeModelSendUserInput

    seen: list[Any] = []
    turn_ended = asyncio.Event()

    class Listener:
        async def on_event(self, event: Any) -> None:
            seen.append(event)
            if event.type == "turn_ended":
                turn_ended.set()

    model = OpenAIRealtimeWebSocketModel()
    model.add_listener(Listener())  # type: ignore[arg-type]
    await model.connect(
        {
            "url": f"ws://127.0.0.1:{port}/v1/realtime?model=m",
            "api_key": "unused",
            "initial_model_settings": {"model_name": "m", "instructions": "You are Ada."},
        }
    )
    try:
        await model.send_event(RealtimeModelSendUserInput(user_input="What is your name?"))
        async with asyncio.timeout(20):
            await turn_ended.wait()
    finally:
        await model.close()
    problems = [event for event in seen if event.type in {"error", "exception"}]
    assert problems == []
    assert {"audio", "transcript_delta", "turn_started"} <= {event.type for event in seen}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "error", [RuntimeError("mkl_malloc: failed\nand more"), MemoryError(), OSError(12, "no memory")]
)
async def test_models_for_which_there_is_no_memory_are_told_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_settings: object) -> None:
        raise error

    monkeypatch.setattr("speech.server.load_engines", fail)
    with pytest.raises(SpeechError, match="the models cannot be loaded") as caught:
        await run_model_server(SpeechSettings(port=0))
    assert "\n" not in str(caught.value)
    assert type(error).__name__ in str(caught.value)
