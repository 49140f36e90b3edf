"""Replies from the model to the room: played, cut on interruption, and kept as they were heard."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

from audio import PcmDump
from conversation.events import server_events as out
from conversation.turn_taking.interrupt_policy import InterruptScope
from line.playout.buffer import PlayoutPosition
from realtime import events as model
from realtime.events import CancelResponse, TruncateItem
from session.context import Handlers, SessionContext
from session.transcript_chat import TranscriptChat
from session.turn_policy import TurnPolicy
from session.voice_output import VoiceOutput

PlayoutKey = tuple[str, str, int]
"""(response_id, item_id, content_index): what the playout buffer plays."""

# The words of a reply are placed in its audio by a rough rule (`conversation.heard_text`).
_SPOKEN_MARGIN_MS: Final = 500


class ReplyOutput:
    """Reacts to the model's output. ended_at_s: end of the last playout (monotonic)."""

    def __init__(
        self,
        context: SessionContext,
        dump: PcmDump | None,
        policy: TurnPolicy,
        *,
        voice: VoiceOutput,
        on_interrupt: Callable[[], Awaitable[None]],
        is_beside: Callable[[str], bool],
    ) -> None:
        """
        on_interrupt: called when the user interrupts, to cancel other work as well
        is_beside: true for a reply that is outside of the conversation, of which nothing is kept
        """
        self._is_beside = is_beside
        self._on_interrupt = on_interrupt
        self._context = context
        self._voice = voice
        self._dump = dump
        self._policy = policy
        # End of the last playout (monotonic): an echo may follow it.
        self.ended_at_s = float("-inf")
        self._chat = TranscriptChat(context)

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

    # -- what the user said ------------------------------------------------------------------------

    def note_user_delta(self, item_id: str, delta: str) -> None:
        """Publish further words of a user turn, as understood so far."""
        self._context.publisher.publish(
            out.AgentInputTranscriptionDelta, item_id=item_id, delta=delta
        )
        self._chat.add_words("user", item_id, delta)

    async def note_user_words(
        self,
        item_id: str,
        text: str,
        *,
        uid: int | None,
        is_posted: bool = False,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Record and publish the words of a user turn; without words it was no turn.

        is_posted: they are in the room's chat already
        input_tokens, output_tokens: what the provider billed for writing them down, if it says so
        """
        history = self._context.history
        if text:
            history.finish_user_item(item_id, text, speaker="" if uid is None else str(uid))
        else:
            history.drop(item_id)
        self._context.publisher.publish(
            out.AgentInputTranscriptionDone,
            item_id=item_id,
            transcript=text,
            uid=uid,
            is_posted=is_posted,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
        if text and not is_posted:
            self._chat.finish("user", item_id, text)

    # -- the model speaks --------------------------------------------------------------------------

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
            metadata=dict(event.metadata),
        )

    async def _handle_audio(self, event: model.AudioDelta) -> None:
        if self._context.turns.is_cut(event.response_id):
            await self._drop_late_audio(event)
            return
        key = (event.response_id, event.item_id, event.content_index)
        self._voice.push(key, event.pcm)
        self._context.history.append_audio(
            event.item_id,
            event.response_id,
            pcm_bytes=len(event.pcm),
            sample_rate_hz=event.sample_rate_hz,
        )
        if self._dump is not None:
            self._dump.write(event.pcm)

    async def _drop_late_audio(self, event: model.AudioDelta) -> None:
        """Drop audio of a reply that was cut before any of it came, and make the model forget the
        item.
        """
        if self._context.history.get(event.item_id) is None:
            self._context.history.cut_reply(event.item_id, event.response_id, played_ms=0)
            await self._truncate(event.item_id, event.content_index, 0, "")

    async def _handle_audio_done(self, event: model.AudioDone) -> None:
        key = (event.response_id, event.item_id, event.content_index)
        if not self._context.turns.is_cut(event.response_id):
            self._context.line.finish_audio(key)
            if event.is_complete:
                self._context.history.finish_audio(event.item_id)
            else:
                heard, audio_ms = self._context.history.end_audio_early(event.item_id)
                await self._truncate(event.item_id, event.content_index, int(audio_ms), heard)
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
        self._chat.add_words("agent", event.item_id, event.delta)

    async def _handle_words_done(self, event: model.TranscriptDone) -> None:
        await self._finish_words(event.response_id, event.item_id, event.transcript)

    async def _handle_text_done(self, event: model.TextDone) -> None:
        await self._finish_words(event.response_id, event.item_id, event.text)
        # Written replies have no playout that could end them.
        self._context.history.finish_reply(event.item_id)

    async def _finish_words(self, response_id: str, item_id: str, text: str) -> None:
        if self._context.turns.is_cut(response_id):
            return
        self._context.history.finish_words(item_id, response_id, text)
        self._context.publisher.publish(
            out.AgentResponseAudioTranscriptDone,
            response_id=response_id,
            item_id=item_id,
            transcript=text,
        )
        self._chat.finish("agent", item_id, text)

    # -- playout -----------------------------------------------------------------------------------

    def handle_playout_started(self, key: PlayoutKey) -> None:
        """Note that the first sample of a content part left."""
        self._context.turns.playout_started(key[0])

    def handle_playout_done(self, key: PlayoutKey) -> None:
        """Note that the last sample of a content part left."""
        response_id, item_id, _ = key
        self.ended_at_s = time.monotonic()
        self._context.turns.playout_ended(response_id)
        self._context.history.finish_reply(item_id)
        self._context.publisher.publish(
            out.AgentPlayoutDone, response_id=response_id, item_id=item_id
        )

    @property
    def is_playing(self) -> bool:
        """True while audio of a reply is played or waits to be."""
        line = self._context.line
        return line.playout_position() is not None or line.statistics().queued_ms > 0

    def spoken_text(self) -> str:
        """Return the words spoken up to now, rather too many than too few; in silence, those of the
        last reply.
        """
        history = self._context.history
        position = self._context.line.playout_position()
        if position is None:
            said = (item.text for item in reversed(history.items) if item.role == "assistant")
            return next(said, "")
        played_ms = position.played_ms + _SPOKEN_MARGIN_MS
        return history.longest_spoken_text(_key(position)[1], played_ms)

    async def interrupt(
        self,
        *,
        should_cancel: bool = False,
        scope: InterruptScope = InterruptScope.ALL,
        is_forced: bool = False,
    ) -> None:
        """Silence the agent now and send the model what was heard.

        should_cancel: also stop the generation, where the provider does not do that itself
        scope: of playback and generation, do one only
        is_forced: ask the provider to stop even if no reply of it is known to be in progress
        """
        context = self._context
        active = context.turns.active_response
        if scope is InterruptScope.GENERATION:
            await self._cancel(active, is_forced=is_forced)
            return
        positions = context.line.clear_sender_audio_buffer()
        if positions:
            self.ended_at_s = time.monotonic()
        context.turns.cut(_key(position)[0] for position in positions)
        if scope is InterruptScope.ALL:
            is_ours = should_cancel or not self._policy.does_provider_interrupt
            await self._cancel(active if is_ours else None, is_forced=is_forced)
        for position in positions:
            await self._cut(position)
        await self._on_interrupt()

    async def _cancel(self, active: str | None, *, is_forced: bool) -> None:
        if active is not None or is_forced:
            await self._context.model.send(CancelResponse(active))

    async def _cut(self, position: PlayoutPosition) -> None:
        response_id, item_id, content_index = _key(position)
        if position.is_complete or self._is_beside(response_id):
            return
        heard_ms = position.heard_ms
        heard = self._context.history.cut_reply(item_id, response_id, played_ms=heard_ms)
        await self._truncate(item_id, content_index, int(heard_ms), heard)
        self._context.publisher.publish(
            out.AgentInterrupted,
            response_id=response_id,
            item_id=item_id,
            audio_end_ms=int(heard_ms),
            heard=heard,
        )

    async def _truncate(self, item_id: str, index: int, audio_end_ms: int, heard: str) -> None:
        if self._context.model.capabilities.has_truncation:
            await self._context.model.send(TruncateItem(item_id, index, audio_end_ms, heard))

    async def close(self) -> None:
        """Drop transcripts that are not sent yet."""
        await self._chat.close()


def _key(position: PlayoutPosition) -> PlayoutKey:
    """Return the key of ours; the line accepts any hashable."""
    return cast(PlayoutKey, position.key)
