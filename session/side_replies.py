"""Replies outside of the conversation: asked for by the owner's code, given to it, kept by nobody."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from conversation.events import server_events as out
from realtime import events as model
from realtime.events import (
    CancelResponse,
    CreateResponse,
    OutOfBand,
    ResponseStatus,
    ToolCallRequested,
    Usage,
)
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from realtime.resilience.response_tracker import CONNECTION_LOST
from session.context import SessionContext
from session.voice_output import VoiceOutput
from utils import BoundedDict

DEADLINE_S: Final = 30.0
MAX_WAITING: Final = 8
"""Requested and not over; one more is refused."""

_REMEMBERED: Final = 64


@dataclass(frozen=True, slots=True)
class SideReply:
    """A reply outside of the conversation. calls: tool calls in it; none of them is run."""

    status: ResponseStatus
    text: str = field(repr=False)
    reason: str | None = None
    calls: tuple[ToolCallRequested, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class _Waiting:
    """A request and what came of its reply so far, words by item and content part."""

    done: asyncio.Future[SideReply]
    response_id: str | None = None
    words: dict[tuple[str, int], str] = field(default_factory=dict)
    calls: list[ToolCallRequested] = field(default_factory=list)


class SideReplies:
    """Requests these replies and takes their events out of those of the conversation.

    A spoken one is played as any reply, silenced by an interruption, and not remembered.
    """

    def __init__(
        self,
        context: SessionContext,
        *,
        voice: VoiceOutput,
        on_usage: Callable[[model.ResponseDone], Awaitable[None]],
    ) -> None:
        """on_usage: called with the end of each of them, which is paid for as all are"""
        self._context = context
        self._voice = voice
        self._on_usage = on_usage
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        # Replies in progress, and those that ended, whose voice may still be played.
        self._active: BoundedDict[str, OutOfBand] = BoundedDict(_REMEMBERED)
        self._spoken: BoundedDict[str, None] = BoundedDict(_REMEMBERED)

    # -- requesting --------------------------------------------------------------------------------

    async def request(
        self, command: CreateResponse, *, is_spoken: bool = False, timeout_s: float = DEADLINE_S
    ) -> SideReply:
        """Request a reply and wait for its end; a lost connection to the model delays it.

        Raises:
            TimeoutError: it did not end in time, and is cancelled.
            UnsupportedCommandError: the model gives no such replies, or too many are waited for.
            ModelDisconnectedError: the model is gone.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise UnsupportedCommandError(f"more than {MAX_WAITING} replies are waited for")
        key = f"side{next(self._numbers)}"
        waiting = _Waiting(asyncio.get_running_loop().create_future())
        self._waiting[key] = waiting
        try:
            await self._context.model.send(replace(command, out_of_band=OutOfBand(key, is_spoken)))
            async with asyncio.timeout(timeout_s):
                return await waiting.done
        finally:
            del self._waiting[key]
            if waiting.response_id is not None and waiting.response_id in self._active:
                await self._cancel(waiting.response_id)

    async def _cancel(self, response_id: str) -> None:
        with contextlib.suppress(ModelDisconnectedError):
            await self._context.model.send(CancelResponse(response_id))

    async def handle_interrupt(self) -> None:
        """Stop those that are being spoken."""
        for response_id, mark in list(self._active.items()):
            if mark.is_spoken:
                self._context.turns.cut([response_id], is_all=False)
                await self._cancel(response_id)

    def is_spoken(self, response_id: str) -> bool:
        """Return true for a reply of these that people hear or heard."""
        return response_id in self._spoken

    def has(self, response_id: str) -> bool:
        """Return true for a reply of these that is in progress."""
        return response_id in self._active

    def close(self) -> None:
        """Let nothing wait any longer: no reply will come."""
        gone = ModelDisconnectedError("the model is gone", code="closed", is_retryable=False)
        for waiting in self._waiting.values():
            if not waiting.done.done():
                waiting.done.set_exception(gone)

    # -- events ------------------------------------------------------------------------------------

    async def handle(self, event: Any) -> bool:
        """Take an event of one of these replies; return false for any other event."""
        response_id: str = getattr(event, "response_id", None) or ""
        mark = self._active.get(response_id) or getattr(event, "out_of_band", None)
        if mark is None:
            return False
        waiting = self._waiting.get(mark.key)
        match event:
            case model.ResponseCreated():
                await self._begin(event, mark, waiting)
            case model.ResponseDone():
                await self._end(event, waiting)
            case model.AudioDelta() | model.AudioDone() if mark.is_spoken:
                self._play(event)
            case _ if waiting is not None:
                _collect(event, waiting)
            case _:
                pass
        return True

    async def _begin(
        self, event: model.ResponseCreated, mark: OutOfBand, waiting: _Waiting | None
    ) -> None:
        if waiting is None:  # its sender has given up
            self._active[event.response_id] = OutOfBand(mark.key)
            await self._cancel(event.response_id)
        else:
            self._active[event.response_id] = mark
            waiting.response_id = event.response_id
            waiting.words.clear()
            waiting.calls.clear()
            if mark.is_spoken:
                self._spoken[event.response_id] = None
        self._context.publisher.publish(
            out.AgentResponseCreated, response_id=event.response_id, is_out_of_band=True
        )

    async def _end(self, event: model.ResponseDone, waiting: _Waiting | None) -> None:
        self._active.pop(event.response_id, None)
        self._context.publisher.publish(
            out.AgentResponseDone,
            response_id=event.response_id,
            status=event.status.value,
            input_tokens=event.usage.input_tokens,
            output_tokens=event.usage.output_tokens,
            metadata=dict(event.metadata),
            is_out_of_band=True,
        )
        await self._on_usage(event)
        # One that a lost connection ended is requested again from the next session.
        if waiting is None or waiting.done.done() or event.reason == CONNECTION_LOST:
            return
        waiting.done.set_result(
            SideReply(
                event.status,
                "\n".join(waiting.words.values()),
                event.reason,
                tuple(waiting.calls),
                dict(event.metadata),
                event.usage,
            )
        )

    def _play(self, event: model.AudioDelta | model.AudioDone) -> None:
        if self._context.turns.is_cut(event.response_id):
            return
        key = (event.response_id, event.item_id, event.content_index)
        if isinstance(event, model.AudioDelta):
            self._voice.push(key, event.pcm)
        else:
            self._context.line.finish_audio(key)


def _collect(event: Any, waiting: _Waiting) -> None:
    match event:
        case model.TranscriptDelta() | model.TextDelta():
            part = (event.item_id, event.content_index)
            waiting.words[part] = waiting.words.get(part, "") + event.delta
        case model.TranscriptDone(transcript=text) | model.TextDone(text=text):
            waiting.words[event.item_id, event.content_index] = text
        case ToolCallRequested():
            waiting.calls.append(event)
        case _:
            pass
