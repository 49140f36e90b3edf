"""One client's session: its events, settings and items; turns are in `speech.user_turns`, replies in
`speech.replies`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from realtime import struct as wire
from speech.conversation import Conversation
from speech.errors import ClientError
from speech.input_buffer import Utterance
from speech.items import checked_item, resample_for_engine
from speech.mind import Mind
from speech.output_audio import OutputAudioBuffer
from speech.replies import Replies
from speech.reply_counters import ReplyCounters
from speech.reply_maker import ReplyMaker
from speech.session_config import default_session, updated_session
from speech.session_engines import SessionEngines
from speech.settings import SpeechSettings
from speech.user_turns import UserTurns
from utils import OwnedTasks, wall_clock_ms

_log = logging.getLogger(__name__)


class Session:
    """Handles client events one at a time; everything it says goes through `emit`, in order."""

    def __init__(
        self,
        *,
        workers: SessionEngines,
        settings: SpeechSettings,
        emit: Callable[[wire.WireEvent], None],
        wait_for_room: Callable[[], Any],
        output: OutputAudioBuffer | None = None,
        mind: Mind | None = None,
        counters: ReplyCounters | None = None,
    ) -> None:
        """emit: must not block; wait_for_room: awaited by producers of much audio; output: the playout
        of the transport, if it has one: then audio comes by `push_audio`; mind: None: rules;
        counters: of the process.
        """
        self.id = wire.new_id("sess")
        self._limits = settings.limits
        self._workers = workers
        self._emit = emit
        self._output = output
        self._mind = mind or Mind()
        self._tasks = OwnedTasks(_log)
        expires_at = wall_clock_ms() // 1000 + int(self._limits.session_s)
        self._config = default_session(workers.abilities, session_id=self.id, expires_at=expires_at)
        self._conversation = Conversation(self._limits)
        self._replies = Replies(
            config=lambda: self._config,
            conversation=self._conversation,
            maker=ReplyMaker(self._mind, workers, self._tasks, timezone=settings.timezone),
            counters=counters or ReplyCounters(),
            settings=settings,
            tasks=self._tasks,
            emit=emit,
            wait_for_room=wait_for_room,
            on_done=self._handle_reply_done,
        )
        self._turns = UserTurns(
            config=lambda: self._config,
            conversation=self._conversation,
            replies=self._replies,
            workers=workers,
            limits=self._limits,
            tasks=self._tasks,
            emit=emit,
            emit_error=self._emit_client_error,
            language=lambda: self._mind.language,
            on_interrupted=self._handle_interrupted,
        )
        self._apply_config()

    def start(self, settings: Sequence[wire.Session] = ()) -> None:
        """Say `session.created`.

        settings: to begin with, each over the ones before it
        """
        refused: list[ClientError] = []
        for update in settings:
            try:
                self._config = updated_session(self._config, update, self._workers.abilities)
            except ClientError as error:  # checked already, but before the engines were loaded
                refused.append(error)
        self._apply_config()
        self._emit(self.created())
        for refusal in refused:
            self._emit_client_error(refusal)

    def created(self) -> wire.SessionCreated:
        """Return the event that describes this session as it is."""
        return wire.SessionCreated(session=wire.Session(**self._config))

    def emit_expired(self) -> None:
        """Say that the session's time is over."""
        self.emit_error("session_expired", "Your session hit the maximum duration.")

    async def close(self) -> None:
        """Stop whatever is under way; nothing is emitted afterwards."""
        self._emit = lambda _event: None
        self._turns.mute()
        self._replies.mute()
        await self._tasks.close()
        self._workers.close()

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
        except Exception:  # noqa: BLE001 - engines may raise anything, the session goes on
            _log.exception("session %s failed on a message", self.id)
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

    def _emit_client_error(self, error: ClientError) -> None:
        self.emit_error(error.code, str(error), param=error.param)

    async def _handle(self, event: wire.AnyClientEvent) -> None:
        match event:
            case wire.SessionUpdate():
                self._update(event.session)
            case wire.InputAudioBufferAppend():
                await self._append(event)
            case wire.InputAudioBufferCommit():
                self._turns.commit()
            case wire.InputAudioBufferClear():
                self._turns.clear()
                self._emit(wire.InputAudioBufferCleared())
            case wire.ResponseCreate():
                self._turns.handle_reply_requested()
                self._replies.create(event.response or wire.ResponseParams())
            case wire.ResponseCancel():
                self._replies.cancel(event.response_id)
            case wire.OutputAudioBufferClear():
                self._clear_output()
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

    def push_audio(self, pcm: bytes) -> None:
        """Take PCM16 at 24 kHz from the transport's own audio, at most 100 ms at a time."""
        self._turns.push(pcm)

    async def _append(self, event: wire.InputAudioBufferAppend) -> None:
        if self._output is not None:
            raise ClientError(
                "invalid_value", "The audio of a call comes over its media track.", param="type"
            )
        await self._turns.append(event)

    def _handle_reply_done(self, playout_left_s: float) -> None:
        self._turns.handle_reply_done(playout_left_s)

    def _handle_interrupted(self) -> None:
        if self._output is not None:
            self._truncate_unheard(self._output)

    def _clear_output(self) -> None:
        if self._output is None:
            raise ClientError(
                "invalid_value",
                "There is no output audio buffer over WebSocket: send response.cancel.",
                param="type",
            )
        self._truncate_unheard(self._output)

    def _truncate_unheard(self, output: OutputAudioBuffer) -> None:
        for heard in output.clear():
            event = wire.ConversationItemTruncated(
                item_id=heard.item_id,
                content_index=heard.content_index,
                audio_end_ms=heard.heard_ms,
            )
            try:
                self._conversation.truncate(heard.item_id, heard.content_index, heard.heard_ms)
            except ClientError:
                continue  # Deleted meanwhile, or of a reply outside the conversation.
            self._emit(event)

    def _update(self, update: wire.Session) -> None:
        self._config = updated_session(self._config, update, self._workers.abilities)
        self._apply_config()
        self._emit(wire.SessionUpdated(session=wire.Session(**self._config)))

    def _apply_config(self) -> None:
        """Have turn detection and engines follow the present settings."""
        sound = self._config["audio"]
        self._turns.apply_config()
        self._workers.voice = sound["output"]["voice"]
        if (transcription := sound["input"]["transcription"]) is not None:
            self._workers.change_language(transcription.get("language"))
            self._mind.language = transcription.get("language") or "en"
            if self._workers.is_recogniser_missing:
                self._tasks.start(self._workers.load_recogniser(), name="load recogniser")

    def _create_item(self, event: wire.ConversationItemCreate) -> None:
        item, pcm = checked_item(event.item, self._limits.text_characters)
        kept, previous = self._conversation.add(item, after=event.previous_item_id, pcm=pcm)
        self._emit(wire.ConversationItemAdded(item=item, previous_item_id=previous))
        self._emit(wire.ConversationItemDone(item=item, previous_item_id=previous))
        if pcm:
            resampled = resample_for_engine(pcm)
            self._turns.start_transcription(kept, Utterance(pcm, resampled))
