"""`UserTurns`: one session's input audio, its turns, what was said in them, and the replies they get."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from realtime import struct as wire
from speech.conversation import Conversation, Kept
from speech.engines.protocols import Transcript
from speech.errors import ClientError, EngineError, SpeechError
from speech.idle_timer import IdleTimer
from speech.input_buffer import InputAudioBuffer, Utterance
from speech.notices import notice_text
from speech.replies import Replies
from speech.session_config import turn_settings
from speech.session_engines import SessionEngines
from speech.settings import Limits
from speech.speculative_recognition import SpeculativeRecognition
from speech.turns.turn_detector import (
    SilenceWentOn,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TurnEvent,
)
from utils import OwnedTasks

_log = logging.getLogger(__name__)

_MIN_COMMIT_MS = 100
_STILL_THERE = "Say exactly: Are you still there?"
_PIECE_BYTES = 4_800
"""100 ms: how much audio is judged before other sessions get their turn."""


class UserTurns:
    """Audio in by `push` or `append`; items of the user, their transcripts and replies out."""

    def __init__(
        self,
        *,
        config: Callable[[], dict[str, Any]],
        conversation: Conversation,
        replies: Replies,
        workers: SessionEngines,
        limits: Limits,
        tasks: OwnedTasks,
        emit: Callable[[wire.WireEvent], None],
        emit_error: Callable[[ClientError], None],
        language: Callable[[], str],
        on_interrupted: Callable[[], None],
    ) -> None:
        """
        config: the session's present settings
        language: of what is said to the user
        on_interrupted: called when the user speaks over a reply that this may cut
        """
        self._config = config
        self._conversation = conversation
        self._replies = replies
        self._workers = workers
        self._limits = limits
        self._tasks = tasks
        self._emit = emit
        self._emit_error = emit_error
        self._language = language
        self._on_interrupted = on_interrupted
        self._input = InputAudioBuffer(
            workers.new_detector(), max_turn_ms=int(limits.turn_s * 1000)
        )
        self._speech_item_id: str | None = None
        self._guess = SpeculativeRecognition(
            self._input,
            workers,
            replies,
            tasks,
            detection=lambda: self._turn_detection,
            on_turn_event=self._handle_judged_end,
        )
        self._idle_timer = IdleTimer(tasks, self._handle_idle)
        self._idle_since_ms = 0
        self._turn_number = 0
        # What the last append brought of a sample that it cut in two.
        self._half_sample = b""

    def mute(self) -> None:
        """Nothing is emitted any more."""
        self._emit = lambda _event: None

    def apply_config(self) -> None:
        """Have turn detection and noise suppression follow the present settings."""
        config = self._config()
        self._input.detect_turns(turn_settings(config))
        noise_reduction = config["audio"]["input"]["noise_reduction"]
        self._input.suppress_noise(noise_reduction["type"] if noise_reduction else None)

    def clear(self) -> None:
        """Forget the audio that waits."""
        self._input.clear()
        self._half_sample = b""
        self._guess.drop()

    def push(self, pcm: bytes) -> None:
        """Take PCM16 at 24 kHz from the transport's own audio, at most 100 ms at a time.

        Without turn detection the oldest audio beyond `Limits.turn_s` is dropped.
        """
        if self._input.turns is None:
            self._input.keep_last(int(self._limits.turn_s * 1000))
        for turn_event in self._input.push(pcm):
            self._handle_turn_event(turn_event)

    async def append(self, event: wire.InputAudioBufferAppend) -> None:
        """Take a client's audio. Raises: ClientError, it is malformed or too much."""
        pcm = self._half_sample + wire.decode_audio(event.audio, event_id=event.event_id)
        if len(pcm) > self._limits.append_bytes:
            raise ClientError(
                "invalid_value", "One append carries at most 15 MiB of audio.", param="audio"
            )
        buffered_s = self._input.buffered_ms / 1000 + len(pcm) / 48_000
        if self._input.turns is None and buffered_s > self._limits.turn_s:
            raise ClientError(
                "input_audio_buffer_full",
                f"At most {self._limits.turn_s:.0f} s of audio wait for a commit.",
                param="audio",
            )
        whole = len(pcm) // 2 * 2
        pcm, self._half_sample = pcm[:whole], pcm[whole:]
        for start in range(0, len(pcm), _PIECE_BYTES):
            for turn_event in self._input.push(pcm[start : start + _PIECE_BYTES]):
                self._handle_turn_event(turn_event)
            if start:
                await asyncio.sleep(0)

    def _handle_turn_event(self, event: TurnEvent) -> None:
        match event:
            case SpeechStarted():
                self._handle_speech_started(event)
            case SpeechPaused():
                self._guess.begin(event.at_ms)
            case SilenceWentOn():
                self._guess.listen_on(event.at_ms)
            case SpeechResumed():
                self._guess.drop()
            case SpeechStopped():
                self._handle_speech_stopped(event)

    def _handle_judged_end(self, event: TurnEvent) -> None:
        """The turn ends between two messages of the client."""
        try:
            self._handle_turn_event(event)
        except ClientError as error:
            self._emit_error(error)

    def _handle_speech_started(self, event: SpeechStarted) -> None:
        self._idle_timer.stop()
        self._replies.drop_speculation()
        self._turn_number += 1
        self._speech_item_id = wire.new_id("item")
        self._emit(
            wire.InputAudioBufferSpeechStarted(
                item_id=self._speech_item_id, audio_start_ms=event.start_ms
            )
        )
        if self._detection("interrupt_response"):
            self._replies.interrupt()
            self._on_interrupted()

    def _handle_speech_stopped(self, event: SpeechStopped) -> None:
        item_id = self._speech_item_id or wire.new_id("item")
        self._emit(wire.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=event.end_ms))
        self._workers.hurry()
        guess, utterance = self._guess.take(), self._input.take(event.start_ms, event.end_ms)
        self._commit_utterance(utterance, item_id, guess, should_reply=True)

    def commit(self) -> None:
        """Make an item of the audio that waits. Raises: ClientError, it is too short."""
        if self._input.buffered_ms < _MIN_COMMIT_MS:
            raise ClientError(
                "input_audio_buffer_commit_empty",
                f"The buffer holds {self._input.buffered_ms} ms of audio, a commit needs at least "
                f"{_MIN_COMMIT_MS} ms.",
            )
        item_id = self._speech_item_id or wire.new_id("item")
        self._guess.drop()
        self._commit_utterance(self._input.take_all(), item_id, None, should_reply=False)

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
        self.start_transcription(kept, utterance, guess=guess, should_reply=should_reply)
        return kept

    # -- recognition ---------------------------------------------------------------------------

    def start_transcription(
        self,
        kept: Kept,
        utterance: Utterance,
        *,
        guess: asyncio.Task[Transcript] | None = None,
        should_reply: bool = False,
    ) -> None:
        """Write an utterance down; replies that begin meanwhile wait for the words."""
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
        except Exception as error:  # noqa: BLE001 - engines may raise anything
            self._handle_unheard(item_id, error)
            if should_reply and turn_number == self._turn_number:
                sentence = notice_text("unheard", self._language())
                self._reply_to_turn(wire.ResponseParams(instructions=f"Say exactly: {sentence}"))
            return
        self._conversation.set_transcript(item_id, transcript.text)
        if self._config()["audio"]["input"]["transcription"] is not None:
            self._emit_transcript(item_id, transcript.text, utterance.duration_s)
        is_superseded = turn_number != self._turn_number
        if should_reply and transcript.text and not is_superseded:
            self._reply_to_turn()

    def _handle_unheard(self, item_id: str, error: Exception) -> None:
        if isinstance(error, EngineError | SpeechError):
            _log.warning("recognition failed: %s", error)
        else:
            _log.error("recognition failed", exc_info=error)
        problem = wire.ErrorDetails(
            type="server_error", code="transcription_failed", message="Recognition failed."
        )
        self._emit(wire.InputTranscriptionFailed(item_id=item_id, error=problem))

    def _emit_transcript(self, item_id: str, text: str, duration_s: float) -> None:
        if text:
            self._emit(wire.InputTranscriptionDelta(item_id=item_id, delta=text))
        usage = wire.TranscriptionUsage(type="duration", seconds=round(duration_s, 3))
        self._emit(wire.InputTranscriptionCompleted(item_id=item_id, transcript=text, usage=usage))

    def _reply_to_turn(self, params: wire.ResponseParams | None = None) -> None:
        if not self._detection("create_response"):
            return
        if self._replies.is_active:
            # With interrupt_response off the reply under way goes on; this turn is then answered.
            self._replies.create_after_active()
        else:
            self._create_reply(params or wire.ResponseParams())

    def _create_reply(self, params: wire.ResponseParams) -> None:
        """Create a reply without a client's request; errors are still sent to the client."""
        try:
            self._replies.create(params)
        except ClientError as error:
            self._emit_error(error)

    @property
    def _turn_detection(self) -> dict[str, Any]:
        """Its settings; empty when it is off."""
        return self._config()["audio"]["input"]["turn_detection"] or {}

    def _detection(self, key: str) -> bool:
        return bool(self._turn_detection and self._turn_detection.get(key, True))

    # -- silence -------------------------------------------------------------------------------

    def handle_reply_done(self, playout_left_s: float) -> None:
        """Wait for the user from the end of a reply, which is still played for so long."""
        self._idle_timer.stop()
        if idle_ms := self._turn_detection.get("idle_timeout_ms"):
            self._idle_since_ms = self._input.now_ms
            self._idle_timer.start(playout_left_s + idle_ms / 1000)

    def handle_reply_requested(self) -> None:
        """A reply comes without a word of the user."""
        self._idle_timer.stop()

    def _handle_idle(self) -> None:
        turns = self._input.turns
        if self._replies.is_active or turns is None or turns.is_speaking:
            return
        item_id = wire.new_id("item")
        self._emit(
            wire.InputAudioBufferTimeoutTriggered(
                item_id=item_id,
                audio_start_ms=self._idle_since_ms,
                audio_end_ms=self._input.now_ms,
            )
        )
        self._commit_utterance(Utterance(b"", b""), item_id, None, should_reply=False)
        self._create_reply(wire.ResponseParams(instructions=_STILL_THERE))
