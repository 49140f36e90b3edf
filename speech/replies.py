"""The replies of one session: starting, speaking at the right pace, cancelling."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from realtime import struct as wire
from speech.conversation import Conversation, Kept, dialogue_entry
from speech.dialogue.brain import respond
from speech.dialogue.context import Call, Context, Entry, Say, Turn
from speech.errors import ClientError
from speech.items import checked_item
from speech.local_zone import local_zone_name
from speech.reply_plan import Config, ReplyPlan, plan_reply, response_settings
from speech.response import ResponseWriter
from speech.settings import SpeechSettings
from speech.spoken import clauses
from speech.workers import Workers
from utils import OwnedTasks

log = logging.getLogger(__name__)

_FIRST_DELTA_BYTES = 40 * 48
_DELTA_BYTES = 200 * 48
_MAX_OUT_OF_BAND = 4


@dataclass(slots=True)
class _Reply:
    writer: ResponseWriter
    task: asyncio.Task[None] | None = None


class Replies:
    """At most one reply in the conversation at a time, and few outside of it."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        conversation: Conversation,
        workers: Workers,
        settings: SpeechSettings,
        tasks: OwnedTasks,
        emit: Callable[[wire.WireEvent], None],
        wait_for_room: Callable[[], Awaitable[None]],
        on_done: Callable[[float], None],
    ) -> None:
        """on_done: told how many seconds of the reply's audio are still to be played."""
        self._config = config
        self._conversation = conversation
        self._conversation_id = wire.new_id("conv")
        self._workers = workers
        self._settings = settings
        self._tasks = tasks
        self._emit = emit
        self._wait_for_room = wait_for_room
        self._on_done = on_done
        self._active: _Reply | None = None
        self._out_of_band: dict[str, _Reply] = {}
        self._transcriptions: set[asyncio.Task[None]] = set()
        self._should_create_again = False

    @property
    def is_active(self) -> bool:
        """Whether a reply in the conversation is under way."""
        return self._active is not None

    def mute(self) -> None:
        """Nothing is emitted any more."""
        self._emit = lambda _event: None
        for reply in [self._active, *self._out_of_band.values()]:
            if reply is not None:
                reply.writer.is_done = True

    def wait_for(self, transcription: asyncio.Task[None]) -> None:
        """Replies start only when these words are known."""
        self._transcriptions.add(transcription)
        transcription.add_done_callback(self._transcriptions.discard)

    # -- starting and stopping -----------------------------------------------------------------

    def create(self, params: wire.ResponseParams) -> None:
        """Begin a reply.

        Raises:
            ClientError: one is under way, or the parameters ask for what is not here.
        """
        is_in_conversation = params.conversation != "none"
        if is_in_conversation and self._active is not None:
            raise ClientError(
                "conversation_already_has_active_response",
                f"Response {self._active.writer.id} is still under way: wait for response.done.",
            )
        if not is_in_conversation and len(self._out_of_band) >= _MAX_OUT_OF_BAND:
            raise ClientError(
                "too_many_responses", f"At most {_MAX_OUT_OF_BAND} out-of-band responses at once."
            )
        plan = plan_reply(self._config(), params, self._settings.limits.text_characters)
        given = self._given_items(params)
        started_from = given if given is not None else self._conversation.kept_items()
        writer = ResponseWriter(
            response_settings(self._config(), params, plan.instructions, started_from),
            conversation=self._conversation,
            conversation_id=self._conversation_id,
            emit=self._emit,
        )
        reply = _Reply(writer)
        if is_in_conversation:
            self._active = reply
        else:
            self._out_of_band[writer.id] = reply
        writer.begin()
        reply.task = self._tasks.start(self._run(writer, plan, given), name="reply")

    def create_after_active(self) -> None:
        """Begin a reply as soon as the present one is over."""
        self._should_create_again = True

    def cancel(self, response_id: str | None) -> None:
        """The client wants no more of it. Raises: ClientError when nothing such is under way."""
        reply = self._active
        if response_id is not None and (reply is None or reply.writer.id != response_id):
            reply = self._out_of_band.get(response_id)
        if reply is None:
            raise ClientError(
                "response_cancel_not_active", "Cancellation failed: no active response found."
            )
        self._stop(reply, "client_cancelled")

    def interrupt(self) -> None:
        """The user speaks over the reply."""
        self._should_create_again = False
        if self._active is not None:
            self._stop(self._active, "turn_detected")

    def _stop(self, reply: _Reply, reason: str) -> None:
        reply.writer.finish("cancelled", reason=reason)
        if reply.task is not None:
            reply.task.cancel()
        self._forget(reply.writer)

    def _forget(self, writer: ResponseWriter) -> None:
        self._out_of_band.pop(writer.id, None)
        if self._active is not None and self._active.writer is writer:
            self._active = None

    # -- making a reply ------------------------------------------------------------------------

    async def _run(self, writer: ResponseWriter, plan: ReplyPlan, given: list[Kept] | None) -> None:
        pace = _Pace(self._settings.lead_s)
        try:
            if self._transcriptions:
                await asyncio.wait(self._transcriptions)
            await self._perform(writer, plan, given, pace)
            writer.finish(*(() if writer.has_room else ("incomplete",)), **_why(writer))
        except Exception:
            log.exception("response %s failed", writer.id)
            writer.finish("failed", error="The server failed while it made this response.")
        was_active = self._active is not None and self._active.writer is writer
        self._forget(writer)
        if was_active:
            self._handle_active_done(pace)

    def _handle_active_done(self, pace: _Pace) -> None:
        if self._should_create_again:
            self._should_create_again = False
            self.create(wire.ResponseParams())
        else:
            self._on_done(max(0.0, pace.ahead_s()))

    async def _perform(
        self, writer: ResponseWriter, plan: ReplyPlan, given: list[Kept] | None, pace: _Pace
    ) -> None:
        history = self._conversation.history() if given is None else _entries(given)
        for action in respond(self._context(plan, history)):
            match action:
                case Say():
                    await self._say(writer, action.text, pace)
                case Call():
                    arguments = json.dumps(action.arguments, ensure_ascii=False)
                    writer.add_tool_call(action.name, arguments)

    async def _say(self, writer: ResponseWriter, text: str, pace: _Pace) -> None:
        writer.begin_message()
        for clause in clauses(text):
            if not writer.has_room:
                break
            if writer.settings.modality == "text":
                writer.add_text(clause)
                continue
            await pace.wait()
            await self._wait_for_room()
            pcm = await self._workers.speak(clause, writer.settings.speed)
            writer.add_text(clause)
            self._send_audio(writer, pcm)
            pace.count(len(pcm) / 48_000)
        writer.end_message()

    def _send_audio(self, writer: ResponseWriter, pcm: bytes) -> None:
        start = 0
        while start < len(pcm):
            is_first = writer.audio_ms == 0
            end = start + (_FIRST_DELTA_BYTES if is_first else _DELTA_BYTES)
            writer.add_audio(pcm[start:end])
            start = end
        writer.end_clause()

    async def prepare(self, words: str) -> None:
        """Have the voice ready for the reply to `words`, which may be the end of the turn."""
        config = self._config()
        if config["output_modalities"] != ["audio"]:
            return
        plan = plan_reply(config, wire.ResponseParams(), self._settings.limits.text_characters)
        history = (*self._conversation.history(), Turn("user", words))
        actions = respond(self._context(plan, history))
        said = next((action.text for action in actions if isinstance(action, Say)), "")
        if said:
            await self._workers.speak(clauses(said)[0], config["audio"]["output"]["speed"])

    def _given_items(self, params: wire.ResponseParams) -> list[Kept] | None:
        """The items that `input` names instead of the conversation."""
        if params.input is None:
            return None
        limit = self._settings.limits.text_characters
        return [
            self._conversation.get(item.id)
            if item.type == "item_reference"
            else Kept(checked_item(item, limit)[0])
            for item in params.input[: self._settings.limits.items]
        ]

    def _context(self, plan: ReplyPlan, history: tuple[Entry, ...]) -> Context:
        zone = ZoneInfo(self._settings.timezone or local_zone_name())
        return Context(
            history=history,
            now=datetime.now(zone),
            zone_name=zone.key,
            instructions=plan.instructions,
            request=plan.request,
            tools=plan.tools,
            forced_tool=plan.forced_tool,
            must_call_tool=plan.must_call_tool,
        )


def _why(writer: ResponseWriter) -> dict[str, str]:
    return {} if writer.has_room else {"reason": "max_output_tokens"}


def _entries(items: list[Kept]) -> tuple[Entry, ...]:
    entries = (dialogue_entry(kept) for kept in items)
    return tuple(entry for entry in entries if entry is not None)


class _Pace:
    """How far the voice may run ahead of the ear."""

    def __init__(self, lead_s: float) -> None:
        self._lead_s = lead_s
        self._first_s: float | None = None
        self._sent_s = 0.0

    def count(self, audio_s: float) -> None:
        if self._first_s is None:
            self._first_s = time.monotonic()
        self._sent_s += audio_s

    def ahead_s(self) -> float:
        if self._first_s is None:
            return 0.0
        return self._sent_s - (time.monotonic() - self._first_s)

    async def wait(self) -> None:
        await asyncio.sleep(max(0.0, self.ahead_s() - self._lead_s))
