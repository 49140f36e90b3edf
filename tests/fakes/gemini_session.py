"""One client's session with the fake of Gemini Live."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.deadlines import DEADLINE_S
from tests.fakes import gemini_frames as wire
from tests.fakes.gemini_frames import Frame, InvalidArgumentError
from tests.fakes.provider_server import ProviderSession

BYTES_PER_MS = 48

_numbers = itertools.count(1)


@dataclass
class GeminiFaults:
    """What the server does wrong or differently.

    api_key: refuse every other key, with 403
    is_mute: never answer a handshake
    is_silent: accept, but never say that the setup is complete
    setup_close: close code and text that answer the setup
    is_text: text frames instead of binary ones
    has_finished: transcripts are marked as finished
    has_empty_content: empty messages come before calls, and between
    has_updates: resumption handles are told without being asked for
    has_turn_end_after_cut: an interrupted turn is completed
    late_audio: frames still sent after an interruption
    has_status: newer servers' `interactionStatus` besides `turnComplete`
    has_voice_activity: the user's beginning and end are told
    """

    api_key: str | None = None
    is_mute: bool = False
    is_silent: bool = False
    setup_close: tuple[int, str] | None = None
    is_text: bool = False
    has_finished: bool = False
    has_empty_content: bool = True
    has_updates: bool = True
    has_turn_end_after_cut: bool = True
    late_audio: int = 0
    has_status: bool = False
    has_voice_activity: bool = False


@dataclass(frozen=True)
class Received:
    """A client message: when (monotonic seconds), its one key, and what it holds."""

    at_s: float
    key: str
    content: Frame


@dataclass
class Memory:
    """What survives a session: conversations by handle."""

    by_handle: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


class GeminiSession(ProviderSession):
    """One client's session. Replies come from the test, or from `reply_with` after a turn."""

    def __init__(self, socket: web.WebSocketResponse, faults: GeminiFaults, memory: Memory) -> None:
        super().__init__(socket)
        self.received: list[Received] = []
        self.setup: Frame = {}
        self.audio = bytearray()
        self.pictures: list[bytes] = []
        self.answers: dict[str, Frame] = {}
        # (role, words), as this session knows the conversation.
        self.history: list[tuple[str, str]] = []
        self.handle: str | None = None
        # What a whole turn gets; None: nothing until the test acts.
        self.reply_with: Callable[[GeminiSession], Any] | None = None
        self._faults = faults
        self._memory = memory
        self._is_replying = False
        self._cut = asyncio.Event()
        # Held while a voice is sent: the turn after it begins when this one is over.
        self._turn = asyncio.Lock()
        self._open_calls: set[str] = set()
        self._is_active = False
        self._handlers = {
            "clientContent": self._handle_content,
            "realtimeInput": self._handle_realtime,
            "toolResponse": self._handle_tool_response,
            "contextUpdate": self._handle_context,
        }

    # -- what a test asks ----------------------------------------------------------------------

    def all_of(self, key: str, within: str | None = None) -> list[Frame]:
        """Every client message of this key so far, or of those what is under `within`."""
        found = [each.content for each in self.received if each.key == key]
        return found if within is None else [each[within] for each in found if within in each]

    async def wait_for(self, key: str, within: str | None = None, count: int = 1) -> Any:
        """The `count`-th of these, waiting until it came."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.all_of(key, within)) >= count)
        return self.all_of(key, within)[count - 1]

    async def wait_heard(self, size_bytes: int) -> None:
        """Until so much audio came."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.audio) >= size_bytes)

    # -- what a test does ----------------------------------------------------------------------

    async def hear(self, text: str) -> None:
        """The user says something, and is understood as far as transcripts are on."""
        if self._faults.has_voice_activity:
            await self.send({"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "0.250s"}})
        if self._is_replying:
            await self.interrupt()
        self.history.append(("user", text))
        if "inputAudioTranscription" in self.setup:
            for word in text.split(" "):
                await self.send(wire.heard(f" {word}"))
            if self._faults.has_finished:
                await self.send(wire.heard("", finished=True))
        if self._faults.has_voice_activity:
            await self.send({"voiceActivity": {"type": "ACTIVITY_END", "audioOffset": "1.5s"}})

    async def say(
        self, pcm: bytes, text: str, *, piece_ms: int = 100, pace: float = 0.0, is_end: bool = True
    ) -> None:
        """A spoken reply. `pace`: 1 sends as fast as it plays, 0 at once.

        is_end: whether the turn is over with it; otherwise a call follows in the same turn
        """
        async with self._turn:
            await self._say(pcm, text, piece_ms, pace)
            if self._cut.is_set() and self._faults.has_turn_end_after_cut:
                await self.end_turn()
            elif is_end and not self._cut.is_set():
                await self.send(wire.content(generationComplete=True))
                await self.end_turn()

    async def _say(self, pcm: bytes, text: str, piece_ms: int, pace: float) -> None:
        self._begin()
        size = piece_ms * BYTES_PER_MS
        pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)]
        words = text.split(" ")
        for index, piece in enumerate(pieces):
            await self.send(wire.audio(piece))
            told = words[index:] if index == len(pieces) - 1 else words[index : index + 1]
            if told and "outputAudioTranscription" in self.setup:
                await self.send(wire.spoken(" " * (index > 0) + " ".join(told)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace * piece_ms / 1000):
                    await self._cut.wait()
            if self._cut.is_set():
                late = pieces[index + 1 :][: self._faults.late_audio]
                await self.send(*(wire.audio(each) for each in late))
                return
        self.history.append(("model", text))

    def _begin(self) -> None:
        self._is_replying = True
        self._cut.clear()

    async def interrupt(self) -> None:
        """Cut the reply in the making; its calls are not wanted any more."""
        await self.send(wire.content(interrupted=True))
        if self._open_calls:
            await self.send({"toolCallCancellation": {"ids": sorted(self._open_calls)}})
            self._open_calls.clear()
        self._is_replying = False
        self._cut.set()
        if not self._turn.locked() and self._faults.has_turn_end_after_cut:
            await self.end_turn()

    async def end_turn(self, **fields: Any) -> None:
        """The floor is free; the conversation up to here may be resumed."""
        if self._faults.has_status:
            fields["interactionStatus"] = "IDLE"
        self._is_replying = False
        await self.send(
            {**wire.content(turnComplete=True, **fields), "usageMetadata": wire.usage()}
        )
        if self._faults.has_updates:
            await self.update_handle()

    async def update_handle(self, *, is_resumable: bool = True) -> None:
        """Tell where a later session may go on."""
        update: Frame = {"resumable": is_resumable}
        if is_resumable:
            self.handle = f"handle-{next(_numbers)}"
            self._memory.by_handle[self.handle] = list(self.history)
            update["newHandle"] = self.handle
        await self.send({"sessionResumptionUpdate": update})

    async def call_tools(self, *functions: tuple[str, str, Frame]) -> None:
        """Calls of one message, as (id, name, arguments)."""
        self._begin()
        self._open_calls |= {call_id for call_id, _, _ in functions}
        if self._faults.has_empty_content:
            await self.send(wire.content())
        await self.send(
            wire.calls(*({"id": i, "name": name, "args": args} for i, name, args in functions))
        )

    async def go_away(self, time_left: str = "10s") -> None:
        """Announce the end."""
        await self.send({"goAway": {"timeLeft": time_left}})

    async def send(self, *frames: Frame) -> None:
        """Send frames of the protocol."""
        for each in frames:
            await self.send_raw(json.dumps(each))

    async def send_raw(self, text: str) -> None:
        """Send anything; a client that left is no error."""
        with contextlib.suppress(ConnectionError):
            if self._faults.is_text:
                await self._socket.send_str(text)
            else:
                await self._socket.send_bytes(text.encode())

    # -- the life of a session -----------------------------------------------------------------

    async def run(self) -> None:
        """Answer the client until it is gone."""
        try:
            async for message in self._socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._handle(message.data)
        except InvalidArgumentError as error:
            await self.close(1007, str(error))
        finally:
            await self._tasks.close()

    async def _handle(self, data: str | bytes) -> None:
        key, content = wire.read(data)
        async with self._news:
            self.received.append(Received(time.monotonic(), key, content))
        if not self.setup:
            await self._handle_setup(key, content)
        elif key == "setup":
            raise InvalidArgumentError("setup must be sent once.")
        else:
            await self._handlers[key](content)
        async with self._news:
            self._news.notify_all()

    async def _handle_setup(self, key: str, setup: Frame) -> None:
        if key != "setup":
            raise InvalidArgumentError("The first message must be setup.")
        wire.check_setup(setup)
        self.setup = setup
        if self._faults.setup_close is not None:
            await self.close(*self._faults.setup_close)
            return
        handle = setup.get("sessionResumption", {}).get("handle")
        if handle is not None:
            if handle not in self._memory.by_handle:
                await self.close(1008, "BidiGenerateContent session not found")
                return
            self.history = list(self._memory.by_handle[handle])
        if not self._faults.is_silent:
            await self.send({"setupComplete": {}})

    @property
    def _is_manual(self) -> bool:
        config = self.setup.get("realtimeInputConfig", {})
        return bool(config.get("automaticActivityDetection", {}).get("disabled"))

    def _is_model(self, name: str) -> bool:
        return name in str(self.setup["model"])

    # -- what the client says ------------------------------------------------------------------

    async def _handle_content(self, content: Frame) -> None:
        has_history = self.setup.get("historyConfig", {}).get("initialHistoryInClientContent")
        if self._is_model("3.1-flash-live") and not has_history:
            raise InvalidArgumentError("Request contains an invalid argument.")
        if self._is_replying:
            await self.interrupt()
        for turn in content.get("turns", []):
            for part in turn["parts"]:
                self.history.append(
                    (turn.get("role", "user"), part.get("text") or json.dumps(part))
                )
        if content.get("turnComplete"):
            self._reply()

    async def _handle_realtime(self, content: Frame) -> None:
        if len(content) != 1 or not content.keys() <= wire.REALTIME_FIELDS:
            raise InvalidArgumentError("realtimeInput must have exactly one known field.")
        [(kind, value)] = content.items()
        is_marked = kind in ("activityStart", "activityEnd")
        if (is_marked and not self._is_manual) or (kind == "audioStreamEnd" and self._is_manual):
            raise InvalidArgumentError(f"{kind} does not fit the activity detection.")
        if kind == "audio":
            if not value["mimeType"].startswith("audio/pcm"):
                raise InvalidArgumentError("Unsupported audio.")
            self.audio += base64.b64decode(value["data"], validate=True)
        elif kind == "video":
            self.pictures.append(base64.b64decode(value["data"], validate=True))
        elif kind == "text":
            if self._is_replying:
                await self.interrupt()
            self.history.append(("user", value))
            self._reply()
        elif is_marked:
            await self._handle_activity(is_start=kind == "activityStart")

    async def _handle_activity(self, *, is_start: bool) -> None:
        if is_start == self._is_active:
            raise InvalidArgumentError("activityStart and activityEnd must alternate.")
        self._is_active = is_start
        if is_start and self._is_replying:
            await self.interrupt()
        if not is_start:
            self._reply()

    async def _handle_tool_response(self, content: Frame) -> None:
        for response in content["functionResponses"]:
            if "id" not in response:
                raise InvalidArgumentError("functionResponses.id is required.")
            if not isinstance(response.get("response"), dict):
                raise InvalidArgumentError("functionResponses.response must be an object.")
            if response["id"] in self._open_calls:
                self._open_calls.discard(response["id"])
                self.answers[response["id"]] = response
        if not self._open_calls:
            self._reply()

    async def _handle_context(self, content: Frame) -> None:
        if not content.keys() <= {"systemInstruction", "tools"}:
            raise InvalidArgumentError("contextUpdate has an unknown field.")
        self.setup |= {name: value for name, value in content.items() if name != "tools"}
        if "tools" in content:
            self.setup["tools"] = content["tools"]["tools"]

    def _reply(self) -> None:
        if self.reply_with is not None:
            self._tasks.start(self.reply_with(self), name="scripted reply")
