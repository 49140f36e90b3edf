"""`InputPump`: what an application sends through its queue, into the agent's line."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from pydantic import ValidationError

from audio import Resampler
from conversation.events import client_events as inbound
from conversation.events.commands import CommandRefusedError
from parley.in_process.line import InProcessLine
from parley.live_input import LiveInput, LiveInputQueue
from untrusted.validation import first_validation_error

MAX_AHEAD_S: Final = 0.8
"""Audio that may be given to the agent ahead of real time: an application that was held up catches up
at once, while a whole file takes as long as it is spoken."""

_PIECE_S: Final = 0.1


class Execute(Protocol):
    """Carries out a client event, of the participant `uid` or of the application."""

    async def __call__(self, command: inbound.ClientEvent, *, uid: int | None) -> object: ...


class InputPump:
    """Takes inputs in their order. One that the agent refuses is reported and costs no other."""

    def __init__(
        self,
        queue: LiveInputQueue,
        line: InProcessLine,
        uid: int,
        *,
        execute: Execute,
        on_refused: Callable[[str, str], None],
        on_input: Callable[[LiveInput], None],
    ) -> None:
        """
        uid: of the participant that the application is
        execute: carries out a command, or raises `CommandRefusedError`
        on_refused: called with code and message
        on_input: called for each input that was passed on
        """
        self._queue = queue
        self._line = line
        self._uid = uid
        self._execute = execute
        self._on_refused = on_refused
        self._on_input = on_input
        self._resampler: Resampler | None = None
        self._from_hz = 0
        # Loop time until which the given audio lasts.
        self._until_s = 0.0
        self._news = asyncio.Event()

    def open(self) -> None:
        """Take possession of the queue, until `close`.

        Raises:
            RuntimeError: another call has it.
        """
        loop = asyncio.get_running_loop()

        def announce() -> None:
            # The queue may outlive the loop, in another thread.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._news.set)

        self._queue.attach(announce)

    def close(self) -> None:
        """Leave the queue to another call."""
        self._queue.detach()

    async def run(self) -> None:
        """Pass inputs on until the queue is closed and empty."""
        while True:
            self._news.clear()
            if (item := self._queue.take()) is not None:
                await self._pass_on(item)
            elif self._queue.is_closed:
                self._flush()
                return
            else:
                await self._news.wait()

    async def _pass_on(self, item: LiveInput) -> None:
        if item.kind == "audio":
            await self._say(item)
            return
        self._flush()
        await self._line.until_heard(self._uid)
        try:
            await self._send(item)
        except CommandRefusedError as error:
            self._on_refused(error.code, str(error))
        except ValidationError as error:
            self._on_refused("invalid_input", f"{item.kind}: {first_validation_error(error)}")
        else:
            self._on_input(item)

    async def _say(self, item: LiveInput) -> None:
        if item.sample_rate != self._from_hz:
            self._flush()
            self._from_hz = item.sample_rate
            self._resampler = Resampler(item.sample_rate, self._line.sample_rate_hz)
        assert self._resampler is not None
        piece_bytes = max(1, int(item.sample_rate * _PIECE_S)) * 2
        for at in range(0, len(item.data), piece_bytes):
            piece = item.data[at : at + piece_bytes]
            await self._wait_for_room()
            self._until_s += len(piece) / 2 / item.sample_rate
            self._line.push_user_audio(self._uid, self._resampler.push(piece))
        self._on_input(item)

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        self._until_s = max(self._until_s, loop.time())
        if (ahead_s := self._until_s - loop.time() - MAX_AHEAD_S) > 0:
            await asyncio.sleep(ahead_s)

    def _flush(self) -> None:
        if self._resampler is not None and (rest := self._resampler.flush()):
            self._line.push_user_audio(self._uid, rest)

    async def _send(self, item: LiveInput) -> None:
        command = _command_of(item)
        # Answers to tool calls are the application's own, which may give any.
        is_of_user = item.kind not in ("tool_approval", "tool_result")
        await self._execute(command, uid=self._uid if is_of_user else None)


def _command_of(item: LiveInput) -> inbound.ClientEvent:
    """Return an input other than audio as the client event that it is.

    Raises:
        ValidationError: a field is wrong.
    """
    match item.kind:
        case "text":
            return inbound.ClientTextAppend(text=item.text)
        case "interrupt":
            return inbound.ClientResponseCancel()
        case "tool_approval":
            return inbound.ClientToolApproval(
                id=item.id, approve=item.is_allowed, always=item.is_always, reason=item.text
            )
        case "tool_result":
            return inbound.ClientToolResult(
                id=item.id,
                name=item.name,
                output=item.output,
                start_response=item.should_reply,
            )
        case "image":
            image = base64.b64encode(item.data).decode()
            kind = inbound.ImageFormat.model_validate({"type": item.mime_type})
            return inbound.ClientImageAppend(image=image, format=kind)
        case "activity_start":
            return inbound.ClientActivityStart()
        case "activity_end":
            return inbound.ClientActivityEnd()
        case "audio":
            raise AssertionError("audio goes its own way")
