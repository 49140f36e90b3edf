"""The scripted model: a chat-completions server on loopback whose answers scenarios have written.

The agent's local model asks it as it would ask any language model (docs/local-model.md), so that recogniser,
turn detection, voice, tools and failures are the real ones. A run is told from another by the name of its
model.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from scenarios.format import Fault, Model, ScriptStep
from scenarios.script import find_step
from untrusted.json_reader import InvalidJsonError, read_object

AT_END: Final = "I have nothing more to say."
"""Answer to requests after the end of a script; the run fails by `model.script`."""

_MAX_BODY_BYTES: Final = 4 * 1024 * 1024

_log = logging.getLogger("scenario")


@dataclass
class Script:
    """A run's script as it is played. past_end: requests that it had no step for"""

    model: Model
    past_end: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class ScriptedServer:
    """Serves all runs of a command; made once, on a port of its own."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._numbers = 0

    @property
    def base_url(self) -> str:
        """Address, as `cascade.language_model.base_url` takes it."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1.

        Raises:
            OSError: there is none.
        """
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_get("/v1/models", self._handle_models)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @contextlib.contextmanager
    def play(self, model: Model) -> Any:
        """Play a script while the block runs; yields the name of the model, and the script as it goes."""
        self._numbers += 1
        name = f"scripted-{self._numbers}"
        script = self._scripts[name] = Script(model)
        try:
            yield name, script
        finally:
            del self._scripts[name]

    async def _handle_models(self, _request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "scenario"}
                for name in self._scripts]  # fmt: skip
        return web.json_response({"object": "list", "data": data})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = read_object(await request.text())
            name, messages = str(body["model"]), list(body["messages"])
            script = self._scripts.get(name)
            if script is None:
                return _refusal(404, f"no scenario runs with the model {name}")
            found = find_step(script.model, messages)
        except (InvalidJsonError, KeyError, TypeError, AttributeError) as error:
            return _refusal(400, f"the request cannot be read: {type(error).__name__}")
        if found is None:
            script.past_end += 1
            return await _Answer(request, name, ScriptStep(says=AT_END)).send()
        place, step = found
        script.steps[place] += 1
        fault = step.fault
        if fault is not None and script.faults[place] < fault.times:
            script.faults[place] += 1
            return await _fail(request, name, step, fault)
        return await _Answer(request, name, step).send()


async def _fail(
    request: web.Request, name: str, step: ScriptStep, fault: Fault
) -> web.StreamResponse:
    match fault.kind:
        case "error":
            await asyncio.sleep(step.after_ms / 1000)
            return _refusal(fault.status, "the scenario has it fail")
        case "hang":
            return await _Answer(request, name, step).hang()
        case "drop":
            return await _Answer(request, name, step).send(max_words=fault.after_words)


def _refusal(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "scenario", "param": None, "code": None}
    return web.json_response({"error": error}, status=status)


class _Answer:
    """One streamed answer."""

    def __init__(self, request: web.Request, name: str, step: ScriptStep) -> None:
        self._request = request
        self._name = name
        self._step = step
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )

    async def hang(self) -> web.StreamResponse:
        """Send nothing until the client gives up."""
        await self._response.prepare(self._request)
        await asyncio.Event().wait()
        return self._response

    async def send(self, *, max_words: int | None = None) -> web.StreamResponse:
        """Send words and calls; the connection breaks after `max_words`."""
        step = self._step
        await asyncio.sleep(step.after_ms / 1000)
        await self._response.prepare(self._request)
        async for word in self._words(max_words):
            await self._send({"content": word})
        if max_words is not None:
            if self._request.transport is not None:
                self._request.transport.abort()
            return self._response
        for index, call in enumerate(step.calls):
            function = {"name": call.name, "arguments": json.dumps(call.arguments)}
            await self._send(
                {"tool_calls": [{"index": index, "id": f"call_{id(self) % 10**8}_{index}",
                                 "type": "function", "function": function}]}
            )  # fmt: skip
        await self._send({}, "tool_calls" if step.calls else "stop")
        await self._response.write(b"data: [DONE]\n\n")
        return self._response

    async def _words(self, max_words: int | None) -> AsyncIterator[str]:
        words = (self._step.says or "").split(" ") if self._step.says else []
        for number, word in enumerate(words[:max_words]):
            if number:
                await asyncio.sleep(self._step.pace_ms / 1000)
            yield word if number == 0 else f" {word}"

    async def _send(self, delta: dict[str, Any], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {"id": "scenario", "object": "chat.completion.chunk", "created": 0,
                 "model": self._name, "choices": [choice]}  # fmt: skip
        await self._response.write(f"data: {json.dumps(chunk)}\n\n".encode())
