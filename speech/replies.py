"""The replies of one session: starting, speaking at the right pace, cancelling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from realtime import struct as wire
from speech.conversation import Conversation, Kept, dialogue_entry
from speech.dialogue.context import Entry, Turn
from speech.errors import ClientError
from speech.items import checked_item
from speech.reply_counters import ReplyCounters
from speech.reply_delivery import ReplyDelivery, SpeechPacer
from speech.reply_maker import ReplyMaker
from speech.reply_plan import Config, ReplyPlan, plan_reply, response_settings
from speech.reply_stream import ReplyStream
from speech.response import ResponseWriter
from speech.settings import SpeechSettings
from speech.speculative_reply import SpeculativeReply
from utils import OwnedTasks

_log = logging.getLogger(__name__)

_MAX_OUT_OF_BAND = 4


@dataclass(slots=True)
class _Reply:
    """given: items that the request named instead of the conversation"""

    writer: ResponseWriter
    plan: ReplyPlan
    given: list[Kept] | None
    pacer: SpeechPacer
    stream: ReplyStream | None = None
    task: asyncio.Task[None] | None = None

    @property
    def is_in_conversation(self) -> bool:
        return self.writer.settings.is_in_conversation


class Replies:
    """At most one reply in the conversation at a time, and few outside of it."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        conversation: Conversation,
        maker: ReplyMaker,
        counters: ReplyCounters,
        settings: SpeechSettings,
        tasks: OwnedTasks,
        emit: Callable[[wire.WireEvent], None],
        wait_for_room: Callable[[], Awaitable[None]],
        on_done: Callable[[float], None],
    ) -> None:
        """on_done: called with the seconds of the reply's audio that are still to be played."""
        self._config = config
        self._conversation = conversation
        self._conversation_id = wire.new_id("conv")
        self._maker = maker
        self._counters = counters
        self._settings = settings
        self._tasks = tasks
        self._emit = emit
        self._wait_for_room = wait_for_room
        self._on_done = on_done
        self._active: _Reply | None = None
        self._out_of_band: dict[str, _Reply] = {}
        self._transcriptions: set[asyncio.Task[None]] = set()
        self._should_create_again = False
        self._speculative = SpeculativeReply(maker.speculate, counters)

    @property
    def is_active(self) -> bool:
        """True if a reply in the conversation is under way."""
        return self._active is not None

    def mute(self) -> None:
        """Nothing is emitted any more."""
        self._emit = lambda _event: None
        self._speculative.drop()
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
        reply = _Reply(writer, plan, given, SpeechPacer(self._settings.lead_s))
        if is_in_conversation:
            self._active = reply
        else:
            self._out_of_band[writer.id] = reply
        writer.begin()
        reply.task = self._tasks.start(self._run(reply), name="reply")

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
        if reply.stream is not None:
            reply.stream.cancel()
            reply.writer.count(reply.stream.usage)
        reply.writer.finish("cancelled", reason=reason)
        if reply.task is not None:
            reply.task.cancel()
        self._forget(reply.writer)

    def _forget(self, writer: ResponseWriter) -> None:
        self._out_of_band.pop(writer.id, None)
        if self._active is not None and self._active.writer is writer:
            self._active = None

    # -- making a reply ------------------------------------------------------------------------

    async def _run(self, reply: _Reply) -> None:
        writer = reply.writer
        try:
            if self._transcriptions:
                await asyncio.wait(self._transcriptions)
            reply.stream = self._begin(reply)
            if reply.is_in_conversation:
                self._name_discarded(writer)
            try:
                await self._deliver(reply, reply.stream)
            finally:
                reply.stream.cancel()
        except Exception:  # noqa: BLE001 - engines may raise anything, the session goes on
            _log.exception("response %s failed", writer.id)
            writer.finish("failed", error="The server failed while it made this response.")
        was_active = self._active is reply
        self._forget(writer)
        if was_active:
            self._handle_active_done(reply.pacer)

    def _handle_active_done(self, pacer: SpeechPacer) -> None:
        if self._should_create_again:
            self._should_create_again = False
            self.create(wire.ResponseParams())
        else:
            self._on_done(max(0.0, pacer.ahead_s()))

    def _begin(self, reply: _Reply) -> ReplyStream:
        """Take the reply that was begun speculatively, if it is this one, or begin it now."""
        given = reply.given
        history = self._conversation.history() if given is None else _entries(given)
        request = self._maker.request(reply.plan, reply.writer.settings, history)
        stream = self._speculative.take(request)
        if reply.is_in_conversation:
            self._speculative.drop()
        if stream is None:
            stream = self._maker.start(request)
        else:
            self._maker.adopt(stream)
        if stream.is_by_model:
            self._counters.by_model += 1
        else:
            self._counters.by_rules += 1
        return stream

    def _name_discarded(self, writer: ResponseWriter) -> None:
        """Name what was asked of the model in vain: the response's usage is its own alone."""
        requests, tokens = self._speculative.take_discarded()
        if requests:
            writer.note(
                speculative_requests_discarded=str(requests),
                speculative_tokens_discarded=str(tokens),
            )

    async def _deliver(self, reply: _Reply, stream: ReplyStream) -> None:
        writer = reply.writer
        delivery = ReplyDelivery(
            writer,
            self._maker.voice(writer.settings.speed),
            pacer=reply.pacer,
            wait_for_room=self._wait_for_room,
            counters=self._counters,
            language=self._maker.mind.language,
            model_name=self._maker.mind.model_name,
        )
        is_awaited = writer.settings.modality == "audio" and reply.is_in_conversation
        filler_after_s = self._maker.mind.filler_after_s if is_awaited else None
        await delivery.send(stream, filler_after_s)

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

    # -- before the turn is over ---------------------------------------------------------------

    def speculate(self, words: str) -> None:
        """Begin the reply to `words`, which may be the end of the turn; nothing is sent of it."""
        if self._active is not None:
            return
        config, params = self._config(), wire.ResponseParams()
        try:
            plan = plan_reply(config, params, self._settings.limits.text_characters)
        except ClientError:
            return  # The settings allow no reply; who asks for one is told.
        settings = response_settings(config, params, plan.instructions, [])
        history = (*self._conversation.history(), Turn("user", words))
        self._speculative.begin(self._maker.request(plan, settings, history))

    def drop_speculation(self) -> None:
        """Speech goes on."""
        self._speculative.drop()


def _entries(items: list[Kept]) -> tuple[Entry, ...]:
    entries = (dialogue_entry(kept) for kept in items)
    return tuple(entry for entry in entries if entry is not None)
