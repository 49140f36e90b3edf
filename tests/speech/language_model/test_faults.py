"""Faults of servers, each with its stated behaviour: docs/local-model.md."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from speech.language_model.chat_client import _streamed
from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.chunks import Chunk
from speech.language_model.event_stream import MAX_EVENT_BYTES
from speech.language_model.failures import RequestFailedError
from tests.fakes.chat_server import (
    Answer,
    Call,
    ChatServer,
    Delta,
    Drop,
    Hang,
    Piece,
    Raw,
    Reasoning,
    Sleep,
    Text,
    answer,
    chat_server,
    refusal,
)
from tests.fakes.ports import lasting_port
from tests.speech.language_model.replies import TIME, Reply, options, read, request

GOOD = answer("Good day")
FAST = {"first_token_timeout_s": 0.4, "token_timeout_s": 0.4, "reply_timeout_s": 60}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with chat_server() as server:
        yield server


async def _reply(server: ChatServer, *script: Answer, **fields: Any) -> Reply:
    """The reply of a model that gets these answers."""
    server.script.extend(script)
    model = ChatCompletionsModel(options(server.base_url, **fields))
    try:
        return await read(model)
    finally:
        await model.close()


# -- no connection -----------------------------------------------------------------------------


async def _reply_of(base_url: str) -> Reply:
    model = ChatCompletionsModel(options(base_url))
    try:
        return await read(model)
    finally:
        await model.close()


@pytest.mark.asyncio
async def test_connection_refused() -> None:
    reply = await _reply_of(f"http://127.0.0.1:{lasting_port('127.0.0.1')}/v1")
    assert reply.kind == "unavailable"
    assert str(reply.error) == "scripted: connection refused"


@pytest.mark.asyncio
async def test_unknown_host() -> None:
    reply = await _reply_of("http://no-such-host.invalid/v1")
    assert reply.kind == "unavailable"
    assert str(reply.error) == "scripted: the host name is unknown"


@contextmanager
def _untrusted_server(folder: Path) -> Iterator[int]:
    """A TLS server whose certificate nobody signed; gives its port. It takes one connection."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, SHA256())
    pem = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        yield listener.getsockname()[1]
        serving.result(timeout=20)


@pytest.mark.asyncio
async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    with _untrusted_server(tmp_path) as port:
        reply = await _reply_of(f"https://127.0.0.1:{port}/v1")
    assert reply.kind == "unavailable"
    assert "TLS: self-signed certificate" in str(reply.error)


@pytest.mark.asyncio
async def test_a_server_that_drops_the_connection_is_asked_once_more(server: ChatServer) -> None:
    reply = await _reply(server, answer(Drop(), has_role_delta=False), GOOD)
    assert (reply.text, len(server.calls)) == ("Good day", 2)
    reply = await _reply(server, answer(Drop()), answer(Drop()), GOOD)
    assert (reply.kind, len(server.calls)) == ("unavailable", 4)
    server.script.clear()


@pytest.mark.asyncio
async def test_a_server_that_closed_a_kept_connection(server: ChatServer) -> None:
    model = ChatCompletionsModel(options(server.base_url))
    assert (await read(model)).reason == "stop"
    await server.close()
    await server.start()
    assert (await read(model)).reason == "stop"
    await model.close()


# -- statuses ----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, "refused") for status in (401, 402, 403, 404, 302)),
        *((status, "invalid") for status in (400, 422)),
    ],
)
async def test_refusals_are_final(server: ChatServer, status: int, kind: str) -> None:
    reply = await _reply(server, refusal(status, "model 'x' not found", Location="/v2"), GOOD)
    assert (reply.kind, len(server.calls)) == (kind, 1)
    assert str(reply.error) == f"scripted: status {status}: model 'x' not found"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [500, 503, 408])
async def test_a_server_in_trouble_is_asked_once_more(server: ChatServer, status: int) -> None:
    reply = await _reply(server, refusal(status), GOOD)
    assert (reply.text, len(server.calls)) == ("Good day", 2)
    reply = await _reply(server, refusal(status), refusal(status, "over"), GOOD)
    assert (reply.kind, len(server.calls)) == ("unavailable", 4)
    assert str(reply.error) == f"scripted: status {status}: over"


@pytest.mark.asyncio
async def test_a_page_of_a_proxy_is_not_quoted(server: ChatServer) -> None:
    page = Answer(status=502, body="<html><h1>Bad gateway</h1></html>")
    reply = await _reply(server, page, page)
    assert (reply.kind, str(reply.error)) == ("unavailable", "scripted: status 502")
    page = Answer(body="<html>Hello</html>", is_whole=True)
    reply = await _reply(server, page)
    assert (reply.kind, str(reply.error)) == ("invalid", "scripted: the answer is a web page")


@pytest.mark.asyncio
async def test_a_refusal_of_any_length_is_read_in_part(server: ChatServer) -> None:
    reply = await _reply(server, Answer(status=400, body="x" * 5_000_000))
    assert (reply.kind, str(reply.error)) == ("invalid", "scripted: status 400")


@pytest.mark.asyncio
async def test_a_key_that_the_server_repeats_is_not_logged(server: ChatServer) -> None:
    script = refusal(401, "Incorrect API key provided: s3cret.")
    reply = await _reply(server, script, api_key="s3cret")
    assert str(reply.error) == "scripted: status 401: Incorrect API key provided: ***."


@pytest.mark.asyncio
async def test_too_many_requests_wait_as_the_server_asks(server: ChatServer) -> None:
    reply = await _reply(server, refusal(429, Retry_After="0.1"), GOOD)
    assert (reply.text, len(server.calls)) == ("Good day", 2)
    reply = await _reply(server, refusal(429), GOOD)
    assert (reply.text, len(server.calls)) == ("Good day", 4)
    reply = await _reply(server, refusal(429, "slow down", Retry_After="30"), GOOD)
    assert (reply.kind, len(server.calls)) == ("rate_limited", 5), "nobody waits 30 s for an answer"
    assert reply.error is not None
    assert reply.error.retry_after_s == 30


@pytest.mark.asyncio
async def test_a_model_that_is_being_loaded_is_waited_for(server: ChatServer) -> None:
    loading = refusal(503, "Loading model")
    reply = await _reply(server, loading, loading, loading, GOOD)
    assert (reply.text, len(server.calls)) == ("Good day", 4)
    server.reply_with = lambda call: loading
    reply = await _reply(server, first_token_timeout_s=0.7)
    assert reply.kind == "unavailable"


@pytest.mark.asyncio
async def test_a_prompt_that_is_too_long_is_trimmed_once(server: ChatServer) -> None:
    turns = [
        {"role": role, "content": f"{number} " + "word " * 100}
        for number in range(20)
        for role in ("user", "assistant")
    ]
    asked = request("And now?")
    asked = type(asked)([asked.messages[0], *turns, asked.messages[1]])
    server.context_tokens = 5_000
    model = ChatCompletionsModel(options(server.base_url, context_tokens=8_192))
    reply = await read(model, asked)
    await model.close()
    assert (reply.reason, len(server.calls)) == ("stop", 2)
    first, second = server.calls
    assert first.prompt_tokens > 5_000 > second.prompt_tokens
    assert second.messages[0] == asked.messages[0]
    assert second.messages[-1] == asked.messages[-1]
    server.context_tokens = 10
    reply = await _reply(server)
    assert (reply.kind, len(server.calls)) == ("invalid", 4)


# -- time --------------------------------------------------------------------------------------


SILENCES: dict[str, tuple[Piece, ...]] = {
    "nothing": (Hang(),),
    "comments": (Raw(b": processing\n\n"), Sleep(0.05)) * 600,
    "empty deltas": (Delta({"content": ""}), Sleep(0.05)) * 600,
    "white space": (Text("\n"), Sleep(0.05)) * 600,
}


@pytest.mark.asyncio
@pytest.mark.parametrize("silence", SILENCES)
async def test_no_first_token_in_time(server: ChatServer, silence: str) -> None:
    reply = await _reply(server, answer(*SILENCES[silence]), GOOD, **FAST)
    assert str(reply.error) == "scripted: no first token in time"
    assert (reply.kind, len(server.calls)) == ("timeout", 1)
    async with asyncio.timeout(20):
        await server.calls[0].was_closed.wait()


@pytest.mark.asyncio
async def test_no_headers_in_time(server: ChatServer) -> None:
    reply = await _reply(server, Answer(wait_before=asyncio.Event()), GOOD, **FAST)
    assert (reply.kind, len(server.calls)) == ("timeout", 1)


@pytest.mark.asyncio
async def test_a_half_open_stream_ends_the_reply(server: ChatServer) -> None:
    reply = await _reply(server, answer("Good day", Hang()), **FAST | {"first_token_timeout_s": 60})
    assert (reply.text, reply.kind) == ("Good day", "timeout")
    assert str(reply.error) == "scripted: the reply broke off: no token in time"
    assert len(server.calls) == 1
    async with asyncio.timeout(20):
        await server.calls[0].was_closed.wait()


@pytest.mark.asyncio
async def test_thinking_is_a_sign_of_life(server: ChatServer) -> None:
    thoughts: list[Piece] = [Reasoning("Hm"), Sleep(0.1)] * 8
    limits = {"first_token_timeout_s": 0.7, "token_timeout_s": 60}
    reply = await _reply(server, answer(*thoughts, "Good day"), **limits)
    assert reply.text == "Good day"


@pytest.mark.asyncio
async def test_endless_thinking_is_not(server: ChatServer) -> None:
    thoughts: list[Piece] = [Reasoning("Hm"), Sleep(0.05)] * 2_000
    reply = await _reply(server, answer(*thoughts), reply_timeout_s=1)
    assert reply.kind == "timeout"


@pytest.mark.asyncio
async def test_an_endless_answer_ends_at_the_time_limit(server: ChatServer) -> None:
    words: list[Piece] = [Text("word "), Sleep(0.05)] * 2_000
    reply = await _reply(server, answer(*words), reply_timeout_s=2)
    assert reply.text.startswith("word word ")
    assert (reply.reason, reply.error) == ("length", None)
    async with asyncio.timeout(20):
        await server.calls[0].was_closed.wait()


@pytest.mark.asyncio
async def test_an_endless_answer_ends_at_the_token_limit(server: ChatServer) -> None:
    words: list[Piece] = [Text("word ")] * 5_000
    reply = await _reply(server, answer(*words), max_reply_tokens=10)
    assert reply.reason == "length"
    assert len(reply.deltas) == 41, "twice the limit and a little, since tokens are estimated"
    reply = await _reply(server, answer(*[Text("word " * 400)] * 5_000))
    assert reply.reason == "length"
    assert len(reply.text) <= 66_000


@pytest.mark.asyncio
async def test_an_answer_at_the_servers_limit(server: ChatServer) -> None:
    reply = await _reply(server, answer("Good", finish_reason="length"))
    assert (reply.text, reply.reason) == ("Good", "length")


# -- answers -----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("nothing", [answer(), answer(Text(" \n")), answer(has_done=False)])
async def test_an_empty_answer_is_asked_for_once_more(server: ChatServer, nothing: Answer) -> None:
    reply = await _reply(server, nothing, GOOD)
    assert (reply.text, len(server.calls)) == ("Good day", 2)
    reply = await _reply(server, nothing, nothing, GOOD)
    assert (reply.kind, len(server.calls)) == ("empty", 4)


@pytest.mark.asyncio
async def test_an_answer_that_a_filter_took_is_empty(server: ChatServer) -> None:
    reply = await _reply(server, answer(finish_reason="content_filter"), GOOD)
    assert (reply.kind, len(server.calls)) == ("empty", 1)
    server.script.clear()
    reply = await _reply(server, answer("Well", finish_reason="content_filter"))
    assert (reply.text, reply.reason) == ("Well", "content_filter")


@pytest.mark.asyncio
async def test_what_was_said_before_a_break_stays_said(server: ChatServer) -> None:
    for end in (Drop(), Raw(b'data: {"error": {"message": "CUDA error", "code": 500}}\n\n')):
        calls = len(server.calls)
        reply = await _reply(server, answer("Good", end), GOOD)
        assert (reply.text, reply.kind) == ("Good", "unavailable")
        assert str(reply.error).startswith("scripted: the reply broke off: ")
        assert len(server.calls) == calls + 1
        server.script.clear()


@pytest.mark.asyncio
async def test_calls_of_a_broken_stream_are_not_made(server: ChatServer) -> None:
    server.script.extend(
        [answer(Call("get_time", '{"zone": "U'), Drop()), answer(Call("get_time"))]
    )
    model = ChatCompletionsModel(options(server.base_url))
    reply = await read(model, request("Hi", TIME))
    await model.close()
    assert reply.calls == [("get_time", "{}")]
    assert len(server.calls) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "kind", "calls"),
    [
        (b'{"message": "overloaded", "code": 503}', "unavailable", 2),
        (b'{"message": "slow down", "code": 429}', "rate_limited", 2),
        (b'{"message": "no", "type": "rate_limit_exceeded"}', "rate_limited", 2),
        (b'{"message": "no", "code": 401}', "refused", 1),
        (b'"broken"', "unavailable", 2),
    ],
)
async def test_errors_inside_a_stream(
    server: ChatServer, error: bytes, kind: str, calls: int
) -> None:
    broken = answer(Raw(b'data: {"error": ' + error + b"}\n\n"))
    reply = await _reply(server, broken, broken)
    assert (reply.kind, len(server.calls)) == (kind, calls)


@pytest.mark.asyncio
async def test_streams_of_rubbish(server: ChatServer) -> None:
    rubbish = Raw(b"data: {oops\n\n")
    reply = await _reply(server, answer(*[rubbish] * 20, has_role_delta=False))
    assert (reply.kind, len(server.calls)) == ("invalid", 1)
    only_one = answer(rubbish, has_role_delta=False, finish_reason=None, usage="never")
    assert (await _reply(server, only_one)).kind == "invalid"
    endless = Raw(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
    assert (await _reply(server, answer(endless))).kind == "invalid"


_LINES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n',
            b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}\n\n',
            b'data: {"choices": [null], "usage": 7}\n\n',
            b"data: [DONE]\n\n",
            b"data: {\n\n",
            b"\r",
            b"data:",
        ]
    ),
)


@given(st.lists(_LINES, max_size=12))
def test_any_stream_ends_in_chunks_or_in_a_failure(pieces: list[bytes]) -> None:
    async def data() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def run() -> None:
        with suppress(RequestFailedError):
            async for chunk in _streamed(data()):
                assert isinstance(chunk, Chunk)

    asyncio.run(run())


@pytest.mark.asyncio
async def test_a_fault_of_the_client_itself_has_a_kind(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks4://nonsense")
    reply = await _reply_of("http://192.0.2.1/v1")
    assert reply.kind == "unavailable"
    assert "the client failed (InvalidProxyError)" in str(reply.error)
    assert "request failed" in caplog.text


# -- servers that take less --------------------------------------------------------------------


async def _body_after_refusals(server: ChatServer, **fields: Any) -> dict[str, Any]:
    """The body that is sent in the end; the next request is sent that way at once."""
    model = ChatCompletionsModel(options(server.base_url, **fields))
    first = await read(model, request("Hi", TIME, tool_choice="required"))
    assert first.reason == "stop", first.error
    calls = len(server.calls)
    assert calls > 1
    assert (await read(model, request("Hi", TIME, tool_choice="required"))).reason == "stop"
    assert len(server.calls) == calls + 1
    await model.close()
    return server.calls[-1].body


@pytest.mark.asyncio
async def test_fields_that_a_server_refuses_are_left_out(server: ChatServer) -> None:
    server.refuses = {
        "stream_options": "Unrecognized request argument supplied: stream_options",
        "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0.5 with this model.",
        "tool_choice": "tool_choice is not supported",
    }
    body = await _body_after_refusals(server, temperature=0.5, max_reply_tokens=99)
    assert body.keys() == {"model", "stream", "messages", "max_completion_tokens", "tools"}


@pytest.mark.asyncio
async def test_tools_are_explained_where_a_server_refuses_them(server: ChatServer) -> None:
    server.refuses = {"tools": "registry.ollama.ai/library/gemma does not support tools"}
    body = await _body_after_refusals(server)
    assert "tools" not in body
    system, user, must = body["messages"]
    assert '{"name": "get_time", "description": "Tell the time."' in system["content"]
    assert must == {"role": "system", "content": "Call a tool now."}
    server.script.append(answer('<tool_call>{"name": "get_time"}</tool_call>'))
    model = ChatCompletionsModel(options(server.base_url))
    assert (await read(model, request("Hi", TIME))).calls == [("get_time", "{}")]
    await model.close()
    assert user["content"] == "Hi"


@pytest.mark.asyncio
async def test_a_refusal_without_a_cure_is_final(server: ChatServer) -> None:
    server.refuses = {"messages": "stream_options, temperature, tools, system: all of it is wrong"}
    model = ChatCompletionsModel(options(server.base_url, temperature=0.5))
    reply = await read(model, request("Hi", TIME, tool_choice="required"))
    await model.close()
    assert reply.kind == "invalid"
    assert len(server.calls) <= 7
