"""`DashScopeRealtimeModel`: Qwen-Omni and Qwen-Audio, OpenAI's beta with habits of its own."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from typing import Final

from realtime import events as ours
from realtime import struct as wire
from realtime.capabilities import capabilities_of
from realtime.connection import RealtimeApiConnection
from realtime.dashscope.families import family_of
from realtime.dashscope.reply_end import Cut, ReplyEndDetector
from realtime.dashscope.wire import SessionFinish, dashscope_codec
from realtime.events import ModelCommand
from realtime.model import ModelDisconnectedError, RealtimeModelConfig, UnsupportedCommandError
from realtime.openai.codec import ServerMessage
from realtime.openai.dialect import Dialect
from realtime.openai.endpoint import Endpoint
from realtime.openai.model import OpenAIRealtimeModel

FINISH_TIMEOUT_S: Final = 1.0
MAX_IMAGE_CHARACTERS: Final = 256 * 1024
"""Of one image as base64."""

_ENDPOINT: Final = Endpoint("api-ws/v1/realtime")

_log = logging.getLogger("realtime")


class DashScopeRealtimeModel(OpenAIRealtimeModel):
    """See `realtime.model.RealtimeModel`.

    An image before any audio waits for the first audio; of several that wait the newest is shown.
    """

    def __init__(self, model: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        model: its name, on which capabilities and wire details depend
        clock: monotonic seconds
        """
        self._family = family_of(model)
        dialect = Dialect(
            self._family.transcription_model,
            _ENDPOINT,
            dashscope_codec(self._family),
            has_temperature=True,
        )
        super().__init__(capabilities_of("dashscope", model), dialect, clock=clock)
        self._ends = ReplyEndDetector()
        self._has_sent_audio = False
        self._waiting_image: ours.AddImage | None = None
        # During a wait for a message: its limit, which a cut moves.
        self._wait: asyncio.Timeout | None = None
        self._finished = asyncio.Event()

    def _dialect_for(self, config: RealtimeModelConfig) -> Dialect:
        # The name that the session is opened with decides, should it be another one.
        self._family = family_of(config.model)
        return Dialect(
            self._family.transcription_model,
            _ENDPOINT,
            dashscope_codec(self._family),
            has_temperature=True,
        )

    # -- sending -------------------------------------------------------------------------------

    async def _send_command(self, command: ModelCommand) -> None:
        match command:
            case ours.AddImage():
                await self._show(command)
            case ours.CancelResponse() if self._ends.active is None:
                pass  # an error to this provider, and nothing to us
            case ours.CancelResponse():
                await super()._send_command(ours.CancelResponse())
                self._cut(Cut.BY_US)
            case ours.AppendAudio():
                await super()._send_command(command)
                await self._note_audio()
            case _:
                await super()._send_command(command)

    async def _show(self, image: ours.AddImage) -> None:
        if len(base64.b64encode(image.data)) > MAX_IMAGE_CHARACTERS:
            limit_kib = MAX_IMAGE_CHARACTERS * 3 // 4 // 1024
            raise UnsupportedCommandError(f"this model sees images of up to {limit_kib} KiB")
        if self._has_sent_audio:
            await super()._send_command(image)
        else:
            self._waiting_image = image

    async def _note_audio(self) -> None:
        self._has_sent_audio = True
        if (image := self._waiting_image) is not None:
            self._waiting_image = None
            await super()._send_command(image)

    def _cut(self, cut: Cut) -> None:
        self._ends.handle_cut(cut, now_s=self._clock())
        self._move_deadline()

    def _move_deadline(self) -> None:
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(self._loop_deadline())

    def _loop_deadline(self) -> float | None:
        if (deadline_s := self._ends.deadline_s) is None:
            return None
        loop = asyncio.get_running_loop()
        return loop.time() + max(0.0, deadline_s - self._clock())

    # -- receiving -----------------------------------------------------------------------------

    async def _next_message(self, connection: RealtimeApiConnection) -> ServerMessage | None:
        while True:
            try:
                async with asyncio.timeout(None) as self._wait:
                    self._move_deadline()
                    message = await super()._next_message(connection)
            except TimeoutError:
                if (close_reason := self._declare_over()) is not None:
                    return close_reason
                continue
            finally:
                self._wait = None
            if message is None:
                self._finished.set()
                return None
            if (kept := self._followed(message)) is not None:
                return kept

    def _declare_over(self) -> wire.ResponseDone | None:
        if (ended := self._ends.overdue(now_s=self._clock())) is None:
            return None
        response_id, cut = ended
        _log.debug("the provider did not end reply %s, which was cut", response_id)
        details = wire.StatusDetails(type="cancelled", reason=cut.value)
        response = wire.Response(id=response_id, status="cancelled", status_details=details)
        return wire.ResponseDone(response=response)

    def _followed(self, message: ServerMessage) -> ServerMessage | None:
        """`message`, completed where it says too little, or None where it comes too late."""
        now_s = self._clock()
        match message:
            case wire.ResponseCreated():
                self._ends.handle_created(message.response.id)
            case wire.ResponseDone():
                return self._followed_done(message)
            case wire.ResponseOutputItemDone():
                is_late = not self._ends.handle_news(message.response_id, now_s=now_s)
                self._ends.handle_item_done(message.response_id, now_s=now_s)
                return None if is_late else message
            case wire.InputAudioBufferSpeechStarted():
                self._ends.handle_cut(Cut.BY_SPEECH, now_s=now_s)
            case wire.UnknownEvent(type="session.finished"):
                self._finished.set()
            case _:
                response_id = getattr(message, "response_id", None)
                if response_id and not self._ends.handle_news(response_id, now_s=now_s):
                    return None
        return message

    def _followed_done(self, message: wire.ResponseDone) -> wire.ResponseDone | None:
        response, cut = message.response, self._ends.cut
        is_active = response.id == self._ends.active
        if not self._ends.handle_news(response.id, now_s=self._clock()):
            return None
        self._ends.handle_done(response.id)
        if is_active and response.status == "cancelled" and response.status_details is None:
            reason = (cut or Cut.BY_SPEECH).value
            details = wire.StatusDetails(type="cancelled", reason=reason)
            response = response.model_copy(update={"status_details": details})
        return message.model_copy(update={"response": response})

    # -- ending --------------------------------------------------------------------------------

    async def close(self) -> None:
        """Ask for the end and wait a moment for it, then close; safe at any time and again."""
        connection, is_first = self._connection, not self._is_closed
        self._is_closed = True
        try:
            if is_first and connection is not None and self._family.has_finish:
                await self._finish(connection)
        finally:
            await super().close()

    async def _finish(self, connection: RealtimeApiConnection) -> None:
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await connection.send(SessionFinish())
                connection.expect_end()
                if self._is_read:  # a reader of `events` will see the answer
                    await self._finished.wait()
                else:
                    while not self._finished.is_set():
                        await self._next_message(connection)
        except (TimeoutError, ModelDisconnectedError):
            _log.debug("the provider did not confirm the end of the session")
