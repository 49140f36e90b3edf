"""From the model to people: replies are played, cut when somebody speaks, and remembered as heard."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

from conversation import server_events as out
from conversation.heard import heard_text
from realtime import events as model
from realtime.events import CancelResponse, TruncateItem
from rtc.errors import RoomError
from rtc.options import ChatMessage
from rtc.playout import PlayoutPosition
from session.context import Handlers, SessionContext
from session.turn_policy import TurnPolicy
from utils import OwnedTasks, PcmDump

PlayoutKey = tuple[str, str, int]
"""(response_id, item_id, content_index): what the playout buffer plays."""

# The words of a reply are placed in its audio by a rough rule (`conversation.heard`).
_SPOKEN_MARGIN_MS: Final = 500


class Replies:
    """Reacts to what the model says. ended_at_s: when the agent last fell silent (monotonic)."""

    def __init__(
        self,
        context: SessionContext,
        dump: PcmDump | None,
        policy: TurnPolicy,
        *,
        on_interrupt: Callable[[], Awaitable[None]],
    ) -> None:
        """on_interrupt: the user wants no more of what the agent says and does."""
        self._on_interrupt = on_interrupt
        self._context = context
        self._dump = dump
        self._policy = policy
        self.ended_at_s = float("-inf")
        self._tasks = OwnedTasks(context.log)

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.ResponseCreated: self._handle_response_created,
            model.ResponseDone: self._handle_response_done,
            model.AudioDelta: self._handle_audio,
            model.AudioDone: self._handle_audio_done,
            model.TranscriptDelta: self._handle_words,
            model.TranscriptDone: self._handle_words_done,
            model.TextDelta: self._handle_words,
            model.TextDone: self._handle_text_done,
        }

    # -- what the user said --------------------------------------------------------------------

    async def note_user_words(
        self, item_id: str, text: str, *, uid: int | None, is_posted: bool = False
    ) -> None:
        """Remember and publish what a user said or wrote; without words it was no turn at all.

        is_posted: it is in the room's chat already
        """
        history = self._context.history
        if text:
            history.finish_user_item(item_id, text)
        else:
            history.drop(item_id)
        self._context.publisher.publish(
            out.AgentInputTranscriptionDone,
            item_id=item_id,
            transcript=text,
            uid=uid,
            is_posted=is_posted,
        )
        if text and not is_posted:
            self._post_transcript("user", item_id, text)

    # -- the model speaks --------------------------------------------------------------------

    async def _handle_response_created(self, event: model.ResponseCreated) -> None:
        self._context.turns.response_created(event.response_id)
        self._context.publisher.publish(out.AgentResponseCreated, response_id=event.response_id)

    async def _handle_response_done(self, event: model.ResponseDone) -> None:
        self._context.turns.response_done(event.response_id)
        self._context.publisher.publish(
            out.AgentResponseDone,
            response_id=event.response_id,
            status=event.status.value,
            input_tokens=event.usage.input_tokens,
            output_tokens=event.usage.output_tokens,
        )

    async def _handle_audio(self, event: model.AudioDelta) -> None:
        if self._context.turns.is_cut(event.response_id):
            await self._disown(event)
            return
        key = (event.response_id, event.item_id, event.content_index)
        self._context.channel.push_audio_frame(event.pcm, key=key)
        self._context.history.append_audio(
            event.item_id,
            event.response_id,
            pcm_bytes=len(event.pcm),
            sample_rate_hz=event.sample_rate_hz,
        )
        if self._dump is not None:
            self._dump.write(event.pcm)

    async def _disown(self, event: model.AudioDelta) -> None:
        """Late audio of a silenced reply: nobody will hear it, so the model must not remember it."""
        if self._context.history.get(event.item_id) is None:
            self._context.history.cut_reply(event.item_id, event.response_id, played_ms=0)
            await self._truncate(event.item_id, event.content_index, 0)

    async def _handle_audio_done(self, event: model.AudioDone) -> None:
        key = (event.response_id, event.item_id, event.content_index)
        if not self._context.turns.is_cut(event.response_id):
            self._context.channel.finish_audio(key)
            self._context.history.finish_audio(event.item_id)
        self._context.publisher.publish(
            out.AgentResponseAudioDone, response_id=event.response_id, item_id=event.item_id
        )

    async def _handle_words(self, event: model.TranscriptDelta | model.TextDelta) -> None:
        if self._context.turns.is_cut(event.response_id):
            return
        self._context.history.append_words(event.item_id, event.response_id, event.delta)
        self._context.publisher.publish(
            out.AgentResponseAudioTranscriptDelta,
            response_id=event.response_id,
            item_id=event.item_id,
            delta=event.delta,
        )

    async def _handle_words_done(self, event: model.TranscriptDone) -> None:
        await self._finish_words(event.response_id, event.item_id, event.transcript)

    async def _handle_text_done(self, event: model.TextDone) -> None:
        # Written replies have no playout that could end them.
        self._context.history.finish_reply(event.item_id)
        await self._finish_words(event.response_id, event.item_id, event.text)

    async def _finish_words(self, response_id: str, item_id: str, text: str) -> None:
        if self._context.turns.is_cut(response_id):
            return
        self._context.publisher.publish(
            out.AgentResponseAudioTranscriptDone,
            response_id=response_id,
            item_id=item_id,
            transcript=text,
        )
        self._post_transcript("agent", item_id, text)

    # -- playout ------------------------------------------------------------------------------

    def handle_playout_started(self, key: PlayoutKey) -> None:
        """The first sample of a content part left."""
        self._context.turns.playout_started(key[0])

    def handle_playout_done(self, key: PlayoutKey) -> None:
        """The last sample of a content part left."""
        response_id, item_id, _ = key
        self.ended_at_s = time.monotonic()
        self._context.turns.playout_ended(response_id)
        self._context.history.finish_reply(item_id)
        self._context.publisher.publish(
            out.AgentPlayoutDone, response_id=response_id, item_id=item_id
        )

    @property
    def is_playing(self) -> bool:
        """Whether something of a reply is heard, or waits to be."""
        channel = self._context.channel
        return channel.playout_position() is not None or channel.statistics().queued_ms > 0

    def spoken_text(self) -> str:
        """What the agent said up to now, a little more rather than less; at rest, its last words."""
        history = self._context.history
        position = self._context.channel.playout_position()
        if position is None:
            said = (item.text for item in reversed(history.items) if item.role == "assistant")
            return next(said, "")
        item = history.get(_key(position)[1])
        if item is None:
            return ""
        played_ms = position.played_ms + _SPOKEN_MARGIN_MS
        return heard_text(item.text, received_ms=item.received_ms, played_ms=played_ms)

    async def interrupt(self, *, should_cancel: bool = False) -> None:
        """Fall silent now, and tell the model what was heard.

        should_cancel: also stop the generation, where the provider does not do that itself.
        """
        context = self._context
        positions = context.channel.clear_sender_audio_buffer()
        if positions:
            self.ended_at_s = time.monotonic()
        active = context.turns.active_response
        context.turns.cut(_key(position)[0] for position in positions)
        if active is not None and (should_cancel or not self._policy.does_provider_interrupt):
            await context.model.send(CancelResponse(active))
        for position in positions:
            await self._cut(position)
        await self._on_interrupt()

    async def _cut(self, position: PlayoutPosition) -> None:
        if position.is_complete:
            return
        response_id, item_id, content_index = _key(position)
        heard_ms = position.heard_ms
        heard = self._context.history.cut_reply(item_id, response_id, played_ms=heard_ms)
        await self._truncate(item_id, content_index, int(heard_ms))
        self._context.publisher.publish(
            out.AgentInterrupted,
            response_id=response_id,
            item_id=item_id,
            audio_end_ms=int(heard_ms),
            heard=heard,
        )

    async def _truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        if self._context.model.capabilities.has_truncation:
            await self._context.model.send(TruncateItem(item_id, content_index, audio_end_ms))

    def _post_transcript(self, role: str, item_id: str, text: str) -> None:
        """To the room's chat, for those without a data channel; a lost room must not stall us."""
        message = json.dumps({"kind": "transcript", "role": role, "text": text})
        self._tasks.start(self._send_chat(ChatMessage(message, item_id)), name="transcript")

    async def _send_chat(self, message: ChatMessage) -> None:
        try:
            await self._context.channel.chat.send_message(message)
        except (RoomError, ValueError) as error:
            self._context.log.debug("a transcript did not reach the chat: %s", error)

    async def close(self) -> None:
        """Drop transcripts that still wait for the room."""
        await self._tasks.close()


def _key(position: PlayoutPosition) -> PlayoutKey:
    """The channel plays under any key; all of ours are the model's ids."""
    return cast(PlayoutKey, position.key)
