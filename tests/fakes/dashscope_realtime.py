"""A small server of DashScope's realtime protocol, scripted by a test like the fake of OpenAI's."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.openai_frames import Frame, frame, new_id
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import FakeSession, Faults
from tests.fakes.openai_vocabulary import DASHSCOPE, Vocabulary

MAX_IMAGE_CHARACTERS = 256 * 1024


@dataclass
class QwenFaults(Faults):
    """What this server does wrong, beside the faults it shares.

    has_finish_ack: `session.finish` is answered
    idle_cut_s: closes a socket that was silent for so long; None: never
    """

    has_finish_ack: bool = True
    idle_cut_s: float | None = None


class FakeQwenSession(FakeSession):
    """One client's session; `images` are the JPEG bytes it showed."""

    def __init__(
        self, socket: web.WebSocketResponse, model: str, faults: QwenFaults, vocabulary: Vocabulary
    ) -> None:
        super().__init__(socket, model, faults, vocabulary)
        self.images: list[bytes] = []
        self._qwen_faults = faults
        self._handlers |= {
            "input_image_buffer.append": self._handle_image,
            "session.finish": self._handle_finish,
        }
        for absent in ("conversation.item.truncate",):
            del self._handlers[absent]

    async def run(self) -> None:
        """See `FakeSession.run`."""
        if self._qwen_faults.idle_cut_s is not None:
            self._tasks.start(self._cut_when_idle(self._qwen_faults.idle_cut_s), name="idle")
        await super().run()

    async def _cut_when_idle(self, idle_s: float) -> None:
        seen = -1
        while len(self.received) != seen:
            seen = len(self.received)
            await asyncio.sleep(idle_s)
        await self._socket.close(code=1011, message=b"session idle timeout")

    async def _handle_image(self, event: Frame) -> None:
        if not self.audio:
            await self._refuse(event, "invalid_value", "append audio before images", "image")
        elif len(event["image"]) > MAX_IMAGE_CHARACTERS:
            await self._refuse(event, "invalid_value", "image too large", "image")
        else:
            self.images.append(base64.b64decode(event["image"], validate=True))

    async def _handle_finish(self, event: Frame) -> None:
        if self._qwen_faults.has_finish_ack:
            await self.send(frame("session.finished"))

    async def _handle_update(self, event: Frame) -> None:
        session = event["session"]
        for tool in session.get("tools") or []:
            if "function" not in tool:
                await self._refuse(event, "invalid_value", "tools[0].function", "session.tools")
                return
        if session.get("voice") == "":
            await self._refuse(event, "invalid_value", "voice is empty", "session.voice")
            return
        if "audio" in session and "input_audio_format" in session:
            await self._refuse(event, "invalid_value", "flat and nested audio", "session.audio")
            return
        await super()._handle_update(event)

    async def _handle_item_create(self, event: Frame) -> None:
        await self._add({"id": new_id("item"), **event["item"]})


class FakeDashScopeServer(FakeRealtimeServer):
    """Accepts clients at `/api-ws/v1/realtime?model=`."""

    def __init__(self, *, faults: QwenFaults | None = None) -> None:
        super().__init__(faults=faults or QwenFaults())

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api-ws/v1/realtime", self._handle_qwen)

    async def _handle_qwen(self, request: web.Request) -> web.StreamResponse:
        return await self._handle_client(request, request.query.get("model"), DASHSCOPE)

    def _create_session(
        self, socket: web.WebSocketResponse, model: str, vocabulary: Vocabulary
    ) -> FakeSession:
        assert isinstance(self.faults, QwenFaults)
        return FakeQwenSession(socket, model, self.faults, vocabulary)

    async def next_qwen_session(self) -> FakeQwenSession:
        """The next client's session, with what only this provider has."""
        session = await self.next_session()
        assert isinstance(session, FakeQwenSession)
        return session
