"""One client's session with the fake of OpenAI's Realtime server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from aiohttp import WSMsgType, web

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_frames import (
    BYTES_PER_MS,
    Frame,
    Reply,
    deep_merge,
    error,
    frame,
    new_id,
)
from tests.fakes.openai_vocabulary import GA, Vocabulary
from tests.fakes.provider_server import ProviderSession
from utils import wall_clock_ms

_LOUD = 1500


def tone(duration_ms: int, *, hz: int = 440) -> bytes:
    """A loud PCM16 tone at 24 kHz."""
    samples = (
        int(12_000 * math.sin(2 * math.pi * hz * n / 24_000)) for n in range(24 * duration_ms)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


_ENDINGS = {
    "response": frozenset({"response.done"}),
    "items": frozenset({"response.done", "response.output_item.done"}),
}


@dataclass
class Faults:
    """What the server does wrong, and to whom.

    api_key: refuse every other key with 401
    reject_status: answer each handshake with this HTTP status
    is_mute: never answer a handshake
    is_silent: accept, but never send `session.created`
    setup_error: code of the error that answers the first `session.update`
    late_deltas: audio frames still sent after a reply was cancelled
    has_item_signal, has_arguments_signal: which of the two announcements of a call are made
    has_error_ids: errors name the message that they answer
    session_s: sessions say that they expire so long after they began
    forgets_done: a reply that was cut gets no `response.done`; as `items` it loses the end of its
        items too
    """

    api_key: str | None = None
    reject_status: int | None = None
    is_mute: bool = False
    is_silent: bool = False
    setup_error: str | None = None
    late_deltas: int = 0
    has_item_signal: bool = True
    has_arguments_signal: bool = True
    has_error_ids: bool = True
    session_s: float | None = None
    forgets_done: Literal["", "response", "items"] = ""


@dataclass(frozen=True)
class Stamped:
    """A frame, and when (monotonic seconds) it arrived or was handed to the socket."""

    at_s: float
    frame: Frame

    @property
    def type(self) -> str:
        return str(self.frame["type"])


class FakeSession(ProviderSession):
    """One client's session. Replies come from the test, or from `reply_with` on request."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        model: str,
        faults: Faults,
        vocabulary: Vocabulary = GA,
    ) -> None:
        super().__init__(socket)
        self.received: list[Stamped] = []
        self.sent: list[Stamped] = []
        self.settings = vocabulary.new_session(model)
        if faults.session_s is not None:
            self.settings["expires_at"] = int(wall_clock_ms() / 1000 + faults.session_s)
        self.audio = bytearray()
        # What a request for a reply gets; None: nothing until the test acts.
        self.reply_with: Callable[[FakeSession], Any] | None = None
        # The same of one outside of the conversation, with `response` of the request.
        self.reply_beside: Callable[[FakeSession, Frame], Any] | None = None
        self._params: Frame | None = None
        self._faults = faults
        self._vocabulary = vocabulary
        self._active: Reply | None = None
        self._is_reply_coming = False
        self._cut = asyncio.Event()
        self._uncommitted_bytes = 0
        self._items: dict[str, int] = {}  # item id -> length of its audio in ms
        self._handlers = {
            "session.update": self._handle_update,
            "input_audio_buffer.append": self._handle_append,
            "input_audio_buffer.commit": self._handle_commit,
            "input_audio_buffer.clear": self._handle_clear,
            "conversation.item.create": self._handle_item_create,
            "conversation.item.retrieve": self._handle_retrieve,
            "conversation.item.truncate": self._handle_truncate,
            "conversation.item.delete": self._handle_delete,
            "response.create": self._handle_response_create,
            "response.cancel": self._handle_response_cancel,
        }

    # -- what a test asks ----------------------------------------------------------------------

    def all_of(self, event_type: str) -> list[Frame]:
        """Every client event of this type so far."""
        return [event.frame for event in self.received if event.type == event_type]

    async def wait_for(self, event_type: str, count: int = 1) -> Frame:
        """The `count`-th client event of this type, waiting until it came."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.all_of(event_type)) >= count)
        return self.all_of(event_type)[count - 1]

    async def wait_sent(self, event_type: str) -> None:
        """Until a server event of this type was sent."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: any(e.type == event_type for e in self.sent))

    @property
    def loud_ms(self) -> float:
        """How much of what the user says came; samples near a tone's zeros do not count."""
        samples = np.frombuffer(bytes(self.audio), np.int16).astype(np.int32)
        return float((np.abs(samples) > _LOUD).sum()) / 24

    async def wait_loud(self, duration_ms: float) -> None:
        """Until so much of what the user says came."""
        async with asyncio.timeout(DEADLINE_S):
            while self.loud_ms < duration_ms:
                appends = len(self.all_of("input_audio_buffer.append"))
                await self.wait_for("input_audio_buffer.append", appends + 1)

    # -- what a test does ----------------------------------------------------------------------

    async def speech_started(self, *, audio_start_ms: int = 0) -> str:
        """The user begins; cuts the reply in the making as the settings say."""
        item_id = new_id("item")
        event = "input_audio_buffer.speech_started"
        await self.send(frame(event, item_id=item_id, audio_start_ms=audio_start_ms))
        if self._turn_detection().get("interrupt_response", True):
            self._cut_active("turn_detected")
        return item_id

    async def speech_stopped(self, item_id: str, transcript: str, *, audio_end_ms: int = 0) -> None:
        """The user ends and is understood; answers as the settings say."""
        event = "input_audio_buffer.speech_stopped"
        await self.send(frame(event, item_id=item_id, audio_end_ms=audio_end_ms))
        await self._commit(item_id)
        event = "conversation.item.input_audio_transcription"
        where = {"item_id": item_id, "content_index": 0}
        usage = {"type": "duration", "seconds": 1.0}
        await self.send(frame(f"{event}.delta", **where, delta=transcript))
        await self.send(frame(f"{event}.completed", **where, transcript=transcript, usage=usage))
        if self._turn_detection().get("create_response", True):
            self._start_scripted_reply()

    async def say(
        self, pcm: bytes, transcript: str, *, delta_ms: int = 100, pace: float = 0.0
    ) -> Reply:
        """A spoken reply. `pace`: 1 sends as fast as it plays, 0 at once.

        A reply that was cut ends early, with late frames if the faults say so.
        """
        reply = await self._begin()
        size = delta_ms * BYTES_PER_MS
        pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)]
        words = transcript.split(" ")
        await self.send(*reply.begin_speech())
        for index, piece in enumerate(pieces):
            if index < len(words):
                rest = words[index:] if index == len(pieces) - 1 else [words[index]]
                await self.send(reply.words((" " if index else "") + " ".join(rest)))
            await self.send(reply.audio(piece))
            self._items[reply.item_id] = reply.audio_bytes // BYTES_PER_MS
            await self._wait_unless_cut(pace * delta_ms / 1000)
            if self._cut.is_set():
                late = pieces[index + 1 : index + 1 + self._faults.late_deltas]
                await self.send(*(reply.audio(piece) for piece in late))
                break
        await self._end(reply.end_speech())
        return reply

    async def write(self, text: str) -> Reply:
        """A written reply."""
        reply = await self._begin()
        await self.send(*reply.write(text))
        await self._end(reply.end_text())
        return reply

    async def call_tool(self, name: str, arguments: Any, *, call_id: str | None = None) -> str:
        """A reply that is one function call; returns its call id."""
        call_id = call_id or new_id("call")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        reply = await self._begin()
        await self.send(*reply.add_item(reply.call_item(name, call_id, "", "in_progress")))
        told = reply.arguments(call_id, name, text)
        await self.send(*told[: None if self._faults.has_arguments_signal else -1])
        ending = reply.end_item(reply.call_item(name, call_id, text, "completed"))
        if not self._faults.has_item_signal:
            ending = [each for each in ending if each["type"] != "response.output_item.done"]
        await self._end(ending)
        return call_id

    async def begin_beside(self, params: Frame) -> Reply:
        """Only the beginning of a reply outside of the conversation."""
        reply = Reply(params)
        await self.send(reply.begin())
        return reply

    async def answer_beside(self, params: Frame, text: str, *, pcm: bytes = b"") -> Reply:
        """A reply outside of the conversation, written or with a voice, beside any other reply."""
        reply = await self.begin_beside(params)
        if pcm:
            frames = [*reply.begin_speech(), reply.words(text), reply.audio(pcm)]
            await self.send(*frames, *reply.end_speech())
        else:
            await self.send(*reply.write(text), *reply.end_text())
        return reply

    async def fail(self, code: str, message: str = "it failed", **fields: Any) -> None:
        """An `error` event."""
        await self.send(error(code, message, **fields))

    async def send(self, *frames: Frame) -> None:
        """Send frames of the protocol, given in GA's words."""
        for given in frames:
            if (each := self._vocabulary.outgoing(given)) is None:
                continue
            text = json.dumps(each)
            self.sent.append(Stamped(time.monotonic(), each))
            await self.send_raw(text)
            async with self._news:
                self._news.notify_all()

    async def send_raw(self, text: str) -> None:
        """Send anything; a client that left is no error."""
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(text)

    # -- the life of a session -----------------------------------------------------------------

    async def run(self) -> None:
        """Answer the client until it is gone."""
        try:
            if not self._faults.is_silent:
                await self.send(frame("session.created", session=self.settings))
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._handle(message.data)
        finally:
            await self._tasks.close()

    async def _handle(self, text: str) -> None:
        try:
            event = json.loads(text)
            handler = self._handlers[event["type"]]
        except (ValueError, TypeError, KeyError):
            await self.fail("invalid_value", "unknown event", param="type")
            return
        async with self._news:
            self.received.append(Stamped(time.monotonic(), event))
            self._news.notify_all()
        await handler(event)

    async def _refuse(self, event: Frame, code: str, message: str, param: str | None) -> None:
        event_id = event.get("event_id") if self._faults.has_error_ids else None
        await self.fail(code, message, param=param, event_id=event_id)

    def _turn_detection(self) -> Frame:
        return self._vocabulary.turn_detection(self.settings) or {"create_response": False}

    # -- replies -------------------------------------------------------------------------------

    async def _begin(self) -> Reply:
        assert self._active is None, "the test began a reply within a reply"
        self._active = Reply(self._params)
        self._params = None
        self._is_reply_coming = False
        self._cut.clear()
        await self.send(self._active.begin())
        return self._active

    async def _end(self, frames: list[Frame]) -> None:
        # Free before `response.done` goes out: the client may ask again as soon as it reads it.
        if self._cut.is_set() and (forgotten := self._faults.forgets_done):
            lost = _ENDINGS[forgotten]
            frames = [each for each in frames if each["type"] not in lost]
        self._active = None
        await self.send(*frames)

    def _cut_active(self, reason: str) -> bool:
        if self._active is None or self._cut.is_set():
            return False
        self._active.cut_reason = reason
        self._cut.set()
        return True

    async def _wait_unless_cut(self, duration_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._cut.wait()

    def _start_scripted_reply(self) -> None:
        if self.reply_with is not None:
            self._is_reply_coming = True
            self._tasks.start(self.reply_with(self), name="reply")

    # -- client events -------------------------------------------------------------------------

    async def _handle_update(self, event: Frame) -> None:
        if self._faults.setup_error is not None:
            await self._refuse(event, self._faults.setup_error, "not like this", "session")
            return
        self.settings = deep_merge(self.settings, event["session"])
        await self.send(frame("session.updated", session=self.settings))

    async def _handle_append(self, event: Frame) -> None:
        pcm = base64.b64decode(event["audio"])
        self.audio += pcm
        self._uncommitted_bytes += len(pcm)

    async def _handle_commit(self, event: Frame) -> None:
        if self._uncommitted_bytes < 100 * BYTES_PER_MS:
            code = "input_audio_buffer_commit_empty"
            await self._refuse(event, code, "buffer too small", None)
        else:
            await self._commit(new_id("item"))

    async def _commit(self, item_id: str) -> None:
        self._uncommitted_bytes = 0
        content = [{"type": "input_audio", "transcript": None}]
        where = {"item_id": item_id, "previous_item_id": None}
        await self.send(frame("input_audio_buffer.committed", **where))
        await self._add({"id": item_id, "type": "message", "role": "user", "content": content})

    async def _handle_clear(self, event: Frame) -> None:
        self._uncommitted_bytes = 0
        await self.send(frame("input_audio_buffer.cleared"))

    async def _handle_item_create(self, event: Frame) -> None:
        await self._add({"id": new_id("item"), **event["item"]})

    async def _add(self, item: Frame) -> None:
        self._items[item["id"]] = 0
        item = {"object": "realtime.item", "status": "completed", **item}
        for event in ("conversation.item.added", "conversation.item.done"):
            await self.send(frame(event, previous_item_id=None, item=item))

    async def _handle_retrieve(self, event: Frame) -> None:
        code = "item_retrieve_invalid_item_id"
        await self._refuse(event, code, "this fake keeps no items", "item_id")

    async def _handle_truncate(self, event: Frame) -> None:
        item_id, end_ms = event["item_id"], event["audio_end_ms"]
        length_ms = self._items.get(item_id)
        if length_ms is None:
            code = "item_truncate_invalid_item_id"
            await self._refuse(event, code, "no such item", "item_id")
        elif end_ms > length_ms:
            text = f"Audio content of {length_ms}ms is already shorter than {end_ms}ms"
            await self._refuse(event, "invalid_value", text, "audio_end_ms")
        else:
            self._items[item_id] = end_ms
            where = {"item_id": item_id, "content_index": 0, "audio_end_ms": end_ms}
            await self.send(frame("conversation.item.truncated", **where))

    async def _handle_delete(self, event: Frame) -> None:
        if self._items.pop(event["item_id"], None) is None:
            await self._refuse(event, "item_delete_invalid_item_id", "no such item", "item_id")
        else:
            await self.send(frame("conversation.item.deleted", item_id=event["item_id"]))

    async def _handle_response_create(self, event: Frame) -> None:
        params = event.get("response") or {}
        if params.get("conversation") == "none":
            if self.reply_beside is not None:
                self._tasks.start(self.reply_beside(self, params), name="reply beside")
        elif self._active is not None or self._is_reply_coming:
            code = "conversation_already_has_active_response"
            await self._refuse(event, code, "one at a time", None)
        else:
            self._params = params
            self._start_scripted_reply()

    async def _handle_response_cancel(self, event: Frame) -> None:
        if not self._cut_active("client_cancelled"):
            await self._refuse(event, "response_cancel_not_active", "nothing to cancel", None)
