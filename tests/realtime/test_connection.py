"""The socket: every way it can fail has its own code, and nothing stays open."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime import struct as wire
from realtime.connection import RealtimeApiConnection
from realtime.model import ModelConnectError, ModelDisconnectedError
from realtime.openai.codec import ServerMessage
from realtime.resilience.retry_policy import Failure
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeRealtimeServer]:
    async with FakeRealtimeServer() as running:
        yield running


async def connect(
    server: FakeRealtimeServer, *, is_verbose: bool = False
) -> tuple[RealtimeApiConnection, FakeSession]:
    connection = RealtimeApiConnection(server.uri, "gpt-realtime-2.1", is_verbose=is_verbose)
    await connection.connect("secret-key")
    session = await server.next_session()
    assert isinstance(await receive(connection), wire.SessionCreated)
    return connection, session


async def receive(connection: RealtimeApiConnection) -> ServerMessage:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(connection)


async def ended(connection: RealtimeApiConnection) -> str:
    async with asyncio.timeout(DEADLINE_S):
        async for _ in connection:
            pass
    return connection.end_reason


async def failure(
    uri: str, *, timeout_s: float = 5.0, api_key: str | None = "secret-key"
) -> ModelConnectError:
    connection = RealtimeApiConnection(uri, "gpt-realtime-2.1")
    with pytest.raises(ModelConnectError) as caught:
        await connection.connect(api_key, timeout_s=timeout_s)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.mark.asyncio
async def test_a_block_opens_the_socket_with_the_given_key_and_closes_it(
    server: FakeRealtimeServer,
) -> None:
    server.faults.api_key = "secret-key"
    wanted = RealtimeApiConnection(server.uri, "gpt-realtime-2.1", api_key="secret-key")
    async with wanted as connection:
        session = await server.next_session()
        assert isinstance(await receive(connection), wire.SessionCreated)
    async with asyncio.timeout(DEADLINE_S):
        await session.ended.wait()
    with pytest.raises(ModelDisconnectedError):
        await connection.send(wire.InputAudioBufferClear())


@pytest.mark.asyncio
async def test_messages_go_both_ways_in_order(server: FakeRealtimeServer) -> None:
    connection, session = await connect(server)
    for item_id in ("item_1", "item_2"):
        await connection.send(wire.ConversationItemDelete(item_id=item_id))
    await session.wait_for("conversation.item.delete", 2)
    assert [event.frame["item_id"] for event in session.received] == ["item_1", "item_2"]
    errors = [await receive(connection) for _ in range(2)]
    assert all(isinstance(error, wire.ErrorEvent) for error in errors)
    assert session.settings["model"] == "gpt-realtime-2.1"
    await connection.close()
    await connection.close()


@pytest.mark.asyncio
async def test_key_may_be_a_function() -> None:
    async def later() -> str:
        return "secret-key"

    async with FakeRealtimeServer(faults=Faults(api_key="secret-key")) as server:
        for key in ("secret-key", lambda: "secret-key", later):
            connection = RealtimeApiConnection(server.uri, "m")
            await connection.connect(key)
            await connection.close()


@pytest.mark.asyncio
async def test_a_key_function_that_fails_is_said(server: FakeRealtimeServer) -> None:
    def fail() -> str:
        raise KeyError("secret vault")

    connection = RealtimeApiConnection(server.uri, "m")
    with pytest.raises(ModelConnectError, match=r"failed \(KeyError\)") as caught:
        await connection.connect(fail)
    assert caught.value.code == "no_api_key"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("faults", "code", "is_retryable"),
    [
        (Faults(api_key="another"), "invalid_api_key", False),
        (Faults(reject_status=403), "invalid_api_key", False),
        (Faults(reject_status=404), "model_not_found", False),
        (Faults(reject_status=400), "handshake_failed", False),
        (Faults(reject_status=429), "rate_limited", True),
        (Faults(reject_status=503), "handshake_failed", True),
    ],
)
async def test_refused_handshakes_say_why(faults: Faults, code: str, is_retryable: bool) -> None:
    async with FakeRealtimeServer(faults=faults) as server:
        error = await failure(server.uri)
    assert (error.code, error.is_retryable) == (code, is_retryable)


@pytest.mark.asyncio
async def test_a_server_that_never_answers_is_a_timeout() -> None:
    async with FakeRealtimeServer(faults=Faults(is_mute=True)) as server:
        error = await failure(server.uri, timeout_s=0.1)
    assert (error.code, error.is_retryable) == ("timeout", True)


@pytest.mark.asyncio
async def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(f"ws://127.0.0.1:{taken.getsockname()[1]}")
    assert (error.code, error.is_retryable) == ("unreachable", True)


@pytest.mark.asyncio
@pytest.mark.parametrize("uri", ["ws://secret@[", "nonsense", "http:///"])
async def test_what_cannot_be_an_address_is_said(uri: str) -> None:
    error = await failure(uri)
    assert (error.code, error.is_retryable) == ("invalid_uri", False)


@pytest.mark.asyncio
async def test_a_key_cannot_smuggle_headers(server: FakeRealtimeServer) -> None:
    error = await failure(server.uri, api_key="secret\r\nX-Evil: 1")
    assert (error.code, error.is_retryable) == ("invalid_uri", False)
    assert not server.was_asked.is_set()


@pytest.mark.asyncio
async def test_closing_while_connecting_leaves_nothing_open() -> None:
    async with FakeRealtimeServer(faults=Faults(is_mute=True)) as server:
        connection = RealtimeApiConnection(server.uri, "m")
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(_connect_error(connection))
            async with asyncio.timeout(DEADLINE_S):
                await server.was_asked.wait()
            await connection.close()
        assert isinstance(connecting.result(), ModelConnectError)


async def _connect_error(connection: RealtimeApiConnection) -> ModelConnectError:
    with pytest.raises(ModelConnectError) as caught:
        await connection.connect(timeout_s=0.5)
    return caught.value


@pytest.mark.asyncio
async def test_a_goodbye_ends_iteration_with_its_reason(server: FakeRealtimeServer) -> None:
    connection, session = await connect(server)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.close(1001, "session_expired"))
        reason = await ended(connection)
    assert "1001" in reason
    assert "session_expired" in reason
    with pytest.raises(ModelDisconnectedError, match="1001"):
        await connection.send(wire.ResponseCreate())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\x81\x02\xff\xfe", "not UTF-8"),
        (b"\x88\x04\x03\xe8\xff\xfe", "close code 10"),
        (b"\x83\x00", "broke the WebSocket protocol"),
        (b"\x81\x7f\x00\x00\x00\x00\x10\x00\x00\x00", "beyond our limit"),
        (b"\xf1\x00", "broke the WebSocket protocol"),
        (b"\x88\x01\x03", "broke the WebSocket protocol"),
    ],
    ids=["text", "reason", "opcode", "size", "reserved", "close"],
)
async def test_what_we_close_over_is_no_refusal(
    server: FakeRealtimeServer, frame: bytes, words: str
) -> None:
    connection, session = await connect(server)
    await session.send_bytes(frame)
    assert words in await ended(connection)
    close_reason = connection.close_reason
    assert close_reason is not None
    assert (close_reason.code, close_reason.is_retryable) == ("protocol_violation", True)
    assert not Failure(close_reason.code).is_refusal


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [1002, 1007, 1009])
async def test_the_same_codes_of_the_provider_are_its_refusal(
    server: FakeRealtimeServer, code: int
) -> None:
    connection, session = await connect(server)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.close(code))
        await ended(connection)
    close_reason = connection.close_reason
    assert close_reason is not None
    assert (close_reason.code, close_reason.is_retryable) == (f"closed_{code}", False)


@pytest.mark.asyncio
async def test_a_dropped_socket_ends_iteration(server: FakeRealtimeServer) -> None:
    connection, session = await connect(server)
    await session.drop()
    assert "1006" in await ended(connection)


@pytest.mark.asyncio
async def test_our_own_close_ends_a_waiting_iteration(server: FakeRealtimeServer) -> None:
    connection, _ = await connect(server)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(ended(connection))
        await asyncio.sleep(0)
        await connection.close()
    assert waiting.result() == "closed by us"


@pytest.mark.asyncio
async def test_malformed_and_unknown_events_do_not_end_a_session(
    server: FakeRealtimeServer, caplog: pytest.LogCaptureFixture
) -> None:
    connection, session = await connect(server)
    with caplog.at_level(logging.INFO):
        for text in ("{", "{}", '{"type":"response.done"}', *['{"type":"response.hum"}'] * 3):
            await session.send_raw(text)
        answers = [await receive(connection) for _ in range(6)]
    for malformed in answers[:3]:
        assert isinstance(malformed, wire.ErrorEvent)
        assert malformed.error.code == "malformed_event"
    assert answers[3:] == [wire.UnknownEvent(type="response.hum")] * 3
    assert caplog.text.count("response.hum") == 1
    await connection.close()


@pytest.mark.asyncio
async def test_wire_logging_is_short_and_keeps_the_key_out(
    server: FakeRealtimeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="realtime"):
        connection, session = await connect(server, is_verbose=True)
        await connection.send(wire.InputAudioBufferAppend(audio=wire.encode_pcm(bytes(4800))))
        await session.wait_for("input_audio_buffer.append")
    assert "-> {'type': 'input_audio_buffer.append'" in caplog.text
    assert "<- {'type': 'session.created'" in caplog.text
    assert "6400 characters" in caplog.text
    assert "A" * 200 not in caplog.text
    assert "secret-key" not in caplog.text
    await connection.close()


@pytest.mark.asyncio
async def test_large_frames_pass(server: FakeRealtimeServer) -> None:
    connection, session = await connect(server)
    transcript = "x" * (5 * 1024 * 1024)
    text = f'{{"type":"error","error":{{"message":"{transcript}"}}}}'
    async with asyncio.TaskGroup() as group:
        group.create_task(session.send_raw(text))
        message = await receive(connection)
    assert isinstance(message, wire.ErrorEvent)
    assert len(message.error.message) == len(transcript)
    await connection.close()
