"""One client's session: its events in, its turns, its items; replies are made in `speech.replies`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from realtime import struct as wire
from speech.conversation import Conversation, Kept
from speech.ear import Ear, Utterance
from speech.engines.recogniser import Transcript
from speech.errors import ClientError
from speech.guess import Guess
from speech.items import checked_item, resample_for_engine
from speech.replies import Replies
from speech.session_config import default_session, turn_settings, updated_session
from speech.settings import SpeechSettings
from speech.turns import (
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TurnEvent,
)
from speech.workers import Workers
from utils import OwnedTasks, wall_clock_ms

log = logging.getLogger(__name__)

_MIN_COMMIT_MS = 100
_STILL_THERE = "Say exactly: Are you still there?"
_PIECE_BYTES = 4_800
"""100 ms: how much audio is judged before other sessions get their turn."""


class Session:
    """Handles client events one at a time; everything it says goes through `emit`, in order."""

    def __init__(
        self,
        *,
        workers: Workers,
        settings: SpeechSettings,
        emit: Callable[[wire.WireEvent], None],
        wait_for_room: Callable[[], Any],
    ) -> None:
        """emit: must not block; wait_for_room: awaited by producers of much audio."""
        self.id = wire.new_id("sess")
        self._limits = settings.limits
        self._workers = workers
        self._emit = emit
        self._tasks = OwnedTasks(log)
        expires_at = wall_clock_ms() // 1000 + int(self._limits.session_s)
        self._config = default_session(session_id=self.id, expires_at=expires_at)
        self._conversation = Conversation(self._limits)
        self._ear = Ear(workers.engines.new_detector(), max_turn_ms=int(self._limits.turn_s * 1000))
        self._ear.detect_turns(turn_settings(self._config))
        self._replies = Replies(
            config=lambda: self._config,
            conversation=self._conversation,
            workers=workers,
            settings=settings,
            tasks=self._tasks,
            emit=emit,
            wait_for_room=wait_for_room,
            on_done=self._start_idle_timer,
        )
        self._speech_item_id: str | None = None
        self._guess = Guess(
            self._ear, workers, self._replies, self._tasks, detection=lambda: self._turn_detection
        )
        self._idle_timer: asyncio.Task[None] | None = None
        self._turn_number = 0
        # What the last append brought of a sample that it cut in two.
        self._half_sample = b""

    def start(self) -> None:
        """Say `session.created`."""
        self._emit(wire.SessionCreated(session=wire.Session(**self._config)))

    async def close(self) -> None:
        """Stop whatever is under way; nothing is emitted afterwards."""
        self._emit = lambda _event: None
        self._replies.mute()
        await self._tasks.close()

    # -- client events -------------------------------------------------------------------------

    async def handle_text(self, text: str) -> None:
        """Carry out one client message, or answer it with an `error`."""
        event_id: str | None = None
        try:
            event = wire.parse_client_event(text)
            event_id = event.event_id
            await self._handle(event)
        except (ClientError, wire.InvalidEventError) as error:
            named = getattr(error, "event_id", None) or event_id
            self.emit_error(error.code, str(error), param=error.param, event_id=named)
        except Exception:
            log.exception("session %s failed on a message", self.id)
            self.emit_error(
                "server_error",
                "The server failed on this message; the session goes on.",
                event_id=event_id,
                kind="server_error",
            )

    def emit_error(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        event_id: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        """Say `error`."""
        details = wire.ErrorDetails(
            type=kind, code=code, message=message, param=param, event_id=event_id
        )
        self._emit(wire.ErrorEvent(error=details))

    async def _handle(self, event: wire.AnyClientEvent) -> None:
        match event:
            case wire.SessionUpdate():
                self._update(event.session)
            case wire.InputAudioBufferAppend():
                await self._append(event)
            case wire.InputAudioBufferCommit():
                self._commit()
            case wire.InputAudioBufferClear():
                self._ear.clear()
                self._half_sample = b""
                self._guess.drop()
                self._emit(wire.InputAudioBufferCleared())
            case wire.ResponseCreate():
                self._stop_idle_timer()
                self._replies.create(event.response or wire.ResponseParams())
            case wire.ResponseCancel():
                self._replies.cancel(event.response_id)
            case wire.OutputAudioBufferClear():
                raise ClientError(
                    "invalid_value",
                    "There is no output audio buffer over WebSocket: send response.cancel.",
                    param="type",
                )
            case _:
                self._handle_item_event(event)

    def _handle_item_event(self, event: Any) -> None:
        match event:
            case wire.ConversationItemCreate():
                self._create_item(event)
            case wire.ConversationItemRetrieve():
                item = self._conversation.retrieve(event.item_id)
                self._emit(wire.ConversationItemRetrieved(item=item))
            case wire.ConversationItemDelete():
                self._conversation.delete(event.item_id)
                self._emit(wire.ConversationItemDeleted(item_id=event.item_id))
            case wire.ConversationItemTruncate():
                self._conversation.truncate(event.item_id, event.content_index, event.audio_end_ms)
                self._emit(
                    wire.ConversationItemTruncated(
                        item_id=event.item_id,
                        content_index=event.content_index,
                        audio_end_ms=event.audio_end_ms,
                    )
                )

    def _update(self, update: wire.Session) -> None:
        self._config = updated_session(self._config, update)
        self._ear.detect_turns(turn_settings(self._config))
        self._emit(wire.SessionUpdated(session=wire.Session(**self._config)))

    def _create_item(self, event: wire.ConversationItemCreate) -> None:
        item, pcm = checked_item(event.item, self._limits.text_characters)
        kept, previous = self._conversation.add(item, after=event.previous_item_id, pcm=pcm)
        self._emit(wire.ConversationItemAdded(item=item, previous_item_id=previous))
        self._emit(wire.ConversationItemDone(item=item, previous_item_id=previous))
        if pcm:
            resampled = resample_for_engine(pcm)
            self._start_transcription(kept, Utterance(pcm, resampled), guess=None)

    # -- the user's audio ----------------------------------------------------------------------

    async def _append(self, event: wire.InputAudioBufferAppend) -> None:
        pcm = self._half_sample + wire.decode_audio(event.audio, event_id=event.event_id)
        if len(pcm) > self._limits.append_bytes:
            raise ClientError(
                "invalid_value", "One append carries at most 15 MiB of audio.", param="audio"
            )
        buffered_s = self._ear.buffered_ms / 1000 + len(pcm) / 48_000
        if self._ear.turns is None and buffered_s > self._limits.turn_s:
            raise ClientError(
                "input_audio_buffer_full",
                f"At most {self._limits.turn_s:.0f} s of audio wait for a commit.",
                param="audio",
            )
        whole = len(pcm) // 2 * 2
        pcm, self._half_sample = pcm[:whole], pcm[whole:]
        for start in range(0, len(pcm), _PIECE_BYTES):
            for turn_event in self._ear.push(pcm[start : start + _PIECE_BYTES]):
                self._handle_turn_event(turn_event)
            if start:
                await asyncio.sleep(0)

    def _handle_turn_event(self, event: TurnEvent) -> None:
        match event:
            case SpeechStarted():
                self._handle_speech_started(event)
            case SpeechPaused():
                self._guess.begin(event.at_ms)
            case SpeechResumed():
                self._guess.drop()
            case SpeechStopped():
                self._handle_speech_stopped(event)

    def _handle_speech_started(self, event: SpeechStarted) -> None:
        self._stop_idle_timer()
        self._turn_number += 1
        self._speech_item_id = wire.new_id("item")
        self._emit(
            wire.InputAudioBufferSpeechStarted(
                item_id=self._speech_item_id, audio_start_ms=event.start_ms
            )
        )
        if self._detection("interrupt_response"):
            self._replies.interrupt()

    def _handle_speech_stopped(self, event: SpeechStopped) -> None:
        item_id = self._speech_item_id or wire.new_id("item")
        self._emit(wire.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=event.end_ms))
        guess, utterance = self._guess.take(), self._ear.take(event.start_ms, event.end_ms)
        self._commit_utterance(utterance, item_id, guess, should_reply=True)

    def _commit(self) -> None:
        if self._ear.buffered_ms < _MIN_COMMIT_MS:
            raise ClientError(
                "input_audio_buffer_commit_empty",
                f"The buffer holds {self._ear.buffered_ms} ms of audio, a commit needs at least "
                f"{_MIN_COMMIT_MS} ms.",
            )
        item_id = self._speech_item_id or wire.new_id("item")
        self._guess.drop()
        self._commit_utterance(self._ear.take_all(), item_id, None, should_reply=False)

    def _commit_utterance(
        self,
        utterance: Utterance,
        item_id: str,
        guess: asyncio.Task[Transcript] | None,
        *,
        should_reply: bool,
    ) -> Kept:
        self._speech_item_id = None
        item = wire.MessageItem(
            id=item_id,
            object="realtime.item",
            status="completed",
            role="user",
            content=[wire.ContentPart(type="input_audio", transcript=None)],
        )
        kept, previous = self._conversation.add(item, pcm=utterance.wire_pcm)
        self._emit(wire.InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous))
        self._emit(wire.ConversationItemAdded(item=item, previous_item_id=previous))
        self._emit(wire.ConversationItemDone(item=item, previous_item_id=previous))
        self._start_transcription(kept, utterance, guess=guess, should_reply=should_reply)
        return kept

    # -- recognition ---------------------------------------------------------------------------

    def _start_transcription(
        self,
        kept: Kept,
        utterance: Utterance,
        *,
        guess: asyncio.Task[Transcript] | None,
        should_reply: bool = False,
    ) -> None:
        work = self._transcribe(kept, utterance, guess, should_reply=should_reply)
        task = self._tasks.start(work, name="transcribe")
        self._replies.wait_for(task)

    async def _transcribe(
        self,
        kept: Kept,
        utterance: Utterance,
        guess: asyncio.Task[Transcript] | None,
        *,
        should_reply: bool,
    ) -> None:
        turn_number = self._turn_number
        item_id: str = kept.item.id
        try:
            transcript = await (guess or self._workers.transcribe(utterance.engine_pcm))
        except Exception:
            log.exception("session %s: recognition failed", self.id)
            problem = wire.ErrorDetails(
                type="server_error", code="transcription_failed", message="Recognition failed."
            )
            self._emit(wire.InputTranscriptionFailed(item_id=item_id, error=problem))
            return
        self._conversation.set_transcript(item_id, transcript.text)
        if self._config["audio"]["input"]["transcription"] is not None:
            self._emit_transcript(item_id, transcript.text, utterance.duration_s)
        is_superseded = turn_number != self._turn_number
        if should_reply and transcript.text and not is_superseded:
            self._reply_to_turn()

    def _emit_transcript(self, item_id: str, text: str, duration_s: float) -> None:
        if text:
            self._emit(wire.InputTranscriptionDelta(item_id=item_id, delta=text))
        usage = wire.TranscriptionUsage(type="duration", seconds=round(duration_s, 3))
        self._emit(wire.InputTranscriptionCompleted(item_id=item_id, transcript=text, usage=usage))

    def _reply_to_turn(self) -> None:
        if not self._detection("create_response"):
            return
        if self._replies.is_active:
            # With interrupt_response off the reply under way goes on; this turn is then answered.
            self._replies.create_after_active()
        else:
            self._create_reply(wire.ResponseParams())

    def _create_reply(self, params: wire.ResponseParams) -> None:
        """A reply that no message asked for: what stands against it is still told."""
        try:
            self._replies.create(params)
        except ClientError as error:
            self.emit_error(error.code, str(error), param=error.param)

    @property
    def _turn_detection(self) -> dict[str, Any]:
        """Its settings; empty when it is off."""
        return self._config["audio"]["input"]["turn_detection"] or {}

    def _detection(self, key: str) -> bool:
        return bool(self._turn_detection and self._turn_detection.get(key, True))

    # -- nobody speaks -------------------------------------------------------------------------

    def _start_idle_timer(self, playout_left_s: float) -> None:
        self._stop_idle_timer()
        if idle_ms := self._turn_detection.get("idle_timeout_ms"):
            delay_s = playout_left_s + idle_ms / 1000
            self._idle_timer = self._tasks.start(self._await_idle(delay_s), name="idle timer")

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None and self._idle_timer is not asyncio.current_task():
            self._idle_timer.cancel()
        self._idle_timer = None

    async def _await_idle(self, delay_s: float) -> None:
        start_ms = self._ear.now_ms
        await asyncio.sleep(delay_s)
        turns = self._ear.turns
        if self._replies.is_active or turns is None or turns.is_speaking:
            return
        item_id = wire.new_id("item")
        self._emit(
            wire.InputAudioBufferTimeoutTriggered(
                item_id=item_id, audio_start_ms=start_ms, audio_end_ms=self._ear.now_ms
            )
        )
        self._commit_utterance(Utterance(b"", b""), item_id, None, should_reply=False)
        self._create_reply(wire.ResponseParams(instructions=_STILL_THERE))
