"""A scripted server of OpenAI's chat-completions shape, written from its documentation.

Uses nothing of ours, so that a misreading of ours cannot hide in it. Each request takes the next
`Answer` of the script; without one it gets what `reply_with` makes of it, by default an echo.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.deadlines import DEADLINE_S
from tests.fakes.ports import lasting_port

Chunk = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """One delta of the answer; plain strings in `Answer.pieces` are cut into words."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """A delta of what the model thinks; `name` differs between servers."""

    text: str
    name: str = "reasoning_content"


@dataclass(frozen=True)
class Call:
    """A tool call. deltas: how many the arguments come in; None leaves a field out."""

    name: str | None
    arguments: str | dict[str, Any] = "{}"
    call_id: str | None = "call_1"
    index: int | None = 0
    deltas: int = 1


@dataclass(frozen=True)
class Delta:
    """Any `delta` at all."""

    fields: dict[str, Any]
    finish_reason: str | None = None


@dataclass(frozen=True)
class Raw:
    """These bytes of the stream, whatever the protocol says about them."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Nothing is sent until the event is set."""

    event: asyncio.Event


@dataclass(frozen=True)
class Sleep:
    """Nothing is sent for so long."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """Nothing is sent any more, and the connection stays open until the client closes it."""


@dataclass(frozen=True)
class Drop:
    """The connection is cut, as by a broken network."""


Piece = str | Text | Reasoning | Call | Delta | Raw | Wait | Sleep | Hang | Drop
Usage = Literal["last", "with_finish", "every", "never"]


@dataclass(frozen=True)
class Answer:
    """An answer.

    status, body, headers: of a refusal, instead of `pieces`
    wait_before: the headers are held back until it is set
    usage: the chunk that has it; only if the request asked for it, except `every`
    has_role_delta, has_done: the first chunk with nothing but a role; `[DONE]` at the end
    segment_bytes: the stream is written so many bytes at a time
    is_whole: `body` is the answer, not streamed
    """

    pieces: Sequence[Piece] = ()
    status: int = 200
    body: str | dict[str, Any] = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_before: asyncio.Event | None = None
    finish_reason: str | None = "auto"
    usage: Usage = "last"
    has_role_delta: bool = True
    has_done: bool = True
    segment_bytes: int | None = None
    is_whole: bool = False


def answer(*pieces: Piece, **options: Any) -> Answer:
    """An answer of these pieces."""
    return Answer(pieces, **options)


def refusal(
    status: int,
    message: str = "no",
    *,
    code: str | None = None,
    param: str | None = None,
    **headers: str,
) -> Answer:
    """An error in OpenAI's form; underscores of header names become dashes."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body={"error": error}, headers=named)


@dataclass
class ChatCall:
    """One request, as its server sees it.

    peer: the client's address, which tells connections apart
    was_closed: set when the client left before the end, at `closed_at` (monotonic seconds)
    is_over: set when nothing more is sent, for whatever reason
    """

    body: dict[str, Any]
    headers: Mapping[str, str]
    peer: Any = None
    sent_pieces: int = 0
    closed_at: float | None = None
    was_closed: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def tools(self) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = self.body.get("tools", [])
        return tools

    @property
    def user_text(self) -> str:
        """The last words of the user."""
        said = [m["content"] for m in self.messages if m["role"] == "user"]
        return said[-1] if said else ""

    @property
    def prompt_tokens(self) -> int:
        return len(json.dumps([self.messages, self.tools])) // 4


def echo(call: ChatCall) -> Answer:
    return answer(f"You said: {call.user_text}")


class ChatServer:
    """Serves until it is closed.

    refuses: request field -> text of the status 400 that a request with it gets
    context_tokens: longer prompts get status 400
    api_key: requests without it get status 401
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        model: str = "scripted",
        reply_with: Callable[[ChatCall], Answer] = echo,
    ) -> None:
        self.model = model
        self.calls: list[ChatCall] = []
        self.script: deque[Answer] = deque()
        self.reply_with = reply_with
        self.refuses: dict[str, str] = {}
        self.context_tokens: int | None = None
        self.api_key: str | None = None
        self._host = host
        self._port = lasting_port(host)
        self._arrival = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self._port}/v1"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_get("/v1/models", self._handle_models)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def close(self) -> None:
        """Close every connection, as a server does that ends."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for_call(self, number: int = 1) -> ChatCall:
        """The request `number`, counted from 1, once it is there."""
        async with asyncio.timeout(DEADLINE_S), self._arrival:
            await self._arrival.wait_for(lambda: len(self.calls) >= number)
        return self.calls[number - 1]

    async def _handle_models(self, _request: web.Request) -> web.Response:
        model = {"id": self.model, "object": "model", "created": 0, "owned_by": "tests"}
        return web.json_response({"object": "list", "data": [model]})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        call = ChatCall(await request.json(), request.headers.copy(), peer)
        self.calls.append(call)
        async with self._arrival:
            self._arrival.notify_all()
        try:
            chosen = self._refusal(call) or (
                self.script.popleft() if self.script else self.reply_with(call)
            )
            if chosen.wait_before is not None:
                await chosen.wait_before.wait()
            if chosen.status != 200 or chosen.is_whole:
                return _refused(chosen)
            return await _Stream(request, call, chosen, self.model).run()
        except (asyncio.CancelledError, ConnectionError):
            call.closed_at = time.monotonic()
            call.was_closed.set()
            raise
        finally:
            call.is_over.set()

    def _refusal(self, call: ChatCall) -> Answer | None:
        if (
            self.api_key is not None
            and call.headers.get("Authorization") != f"Bearer {self.api_key}"
        ):
            return refusal(401, "Incorrect API key provided.", code="invalid_api_key")
        for name, message in self.refuses.items():
            if name in call.body:
                return refusal(400, message, param=name)
        if self.context_tokens is not None and call.prompt_tokens > self.context_tokens:
            text = (
                f"This model's maximum context length is {self.context_tokens} tokens. "
                f"However, your messages resulted in {call.prompt_tokens} tokens."
            )
            return refusal(400, text, code="context_length_exceeded", param="messages")
        return None


def _refused(chosen: Answer) -> web.Response:
    if isinstance(chosen.body, dict):
        return web.json_response(chosen.body, status=chosen.status, headers=chosen.headers)
    return web.Response(
        text=chosen.body, status=chosen.status, headers=chosen.headers, content_type="text/html"
    )


async def _pause(piece: Piece) -> None:
    match piece:
        case Wait(event):
            await event.wait()
        case Sleep(seconds):
            await asyncio.sleep(seconds)
        case Hang():
            await asyncio.Event().wait()


class _Stream:
    """The chunks of one answer."""

    def __init__(self, request: web.Request, call: ChatCall, chosen: Answer, model: str) -> None:
        self._request = request
        self._call = call
        self._answer = chosen
        self._model = model
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        self._has_calls = False

    async def run(self) -> web.StreamResponse:
        await self._response.prepare(self._request)
        if self._answer.has_role_delta:
            await self._send_delta({"role": "assistant", "content": ""})
        for piece in self._answer.pieces:
            if isinstance(piece, Drop):
                transport = self._request.transport
                assert transport is not None
                transport.abort()
                return self._response
            await self._send_piece(piece)
        await self._send_end()
        return self._response

    async def _send_piece(self, piece: Piece) -> None:
        match piece:
            case str():
                for number, word in enumerate(piece.split(" ")):
                    await self._send_delta({"content": word if number == 0 else f" {word}"})
            case Text(text):
                await self._send_delta({"content": text})
            case Reasoning(text, name):
                await self._send_delta({name: text})
            case Call():
                await self._send_call(piece)
            case Delta(fields, reason):
                await self._send_delta(fields, reason)
            case Raw(data):
                await self._write(data)
            case _:
                await _pause(piece)
        self._call.sent_pieces += 1

    async def _send_call(self, call: Call) -> None:
        self._has_calls = True
        parts: list[str | dict[str, Any]] = [call.arguments]
        if isinstance(call.arguments, str) and call.deltas > 1:
            size = -(-len(call.arguments) // call.deltas)
            parts = [
                "",
                *(call.arguments[i : i + size] for i in range(0, len(call.arguments), size)),
            ]
        for number, part in enumerate(parts):
            function: dict[str, Any] = {"arguments": part}
            fields: dict[str, Any] = {"function": function}
            if call.index is not None:
                fields["index"] = call.index
            if number == 0:
                fields["type"] = "function"
                function |= {} if call.name is None else {"name": call.name}
                fields |= {} if call.call_id is None else {"id": call.call_id}
            await self._send_delta({"tool_calls": [fields]})

    async def _send_end(self) -> None:
        reason = self._answer.finish_reason
        if reason == "auto":
            reason = "tool_calls" if self._has_calls else "stop"
        if reason is not None:
            await self._send_delta({}, reason)
        asked = (self._call.body.get("stream_options") or {}).get("include_usage")
        if self._answer.usage == "last" and asked:
            await self._send_chunk({"choices": [], "usage": self._usage()})
        if self._answer.has_done:
            await self._write(b"data: [DONE]\n\n")
        await self._response.write_eof()

    async def _send_delta(self, delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk: Chunk = {"choices": [choice]}
        is_last = self._answer.usage == "with_finish" and reason is not None
        if is_last or self._answer.usage == "every":
            chunk["usage"] = self._usage()
        await self._send_chunk(chunk)

    async def _send_chunk(self, chunk: Chunk) -> None:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
        await self._write(f"data: {json.dumps(head | {'model': self._model} | chunk)}\n\n".encode())

    async def _write(self, data: bytes) -> None:
        size = self._answer.segment_bytes or max(1, len(data))
        for start in range(0, len(data), size):
            await self._response.write(data[start : start + size])
            await asyncio.sleep(0)

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self._call.prompt_tokens, self._call.sent_pieces
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": prompt // 2},
        }


@asynccontextmanager
async def chat_server(**options: Any) -> AsyncIterator[ChatServer]:
    """A running server."""
    server = ChatServer(**options)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
