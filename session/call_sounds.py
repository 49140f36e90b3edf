"""Sounds of a call besides replies: a background, and a sign that a tool is at work.

None of them is part of the conversation: the history, transcripts, positions, levels and recordings do not
have them, and the model is told nothing of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from config.settings import ConfigError
from config.sound_files import find_clip
from conversation.phrases import find_phrases
from conversation.thinking import ThinkingWatch
from conversation.turn_taking.speakers import VoiceChange
from conversation.turn_taking.turn_state import TurnState
from line.sounds.clip import Clip
from realtime import events as model
from realtime.events import CreateResponse
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.context import Handlers, SessionContext
from session.side_replies import SideReplies
from untrusted.boundary import InputKind
from utils import OwnedTasks

# While a tool runs, and no longer.
_LOOK_S: Final = 0.1
_MAX_PHRASE_S: Final = 10.0


class CallSounds:
    """Costs nothing, and looks at nothing, for a call without sounds."""

    def __init__(
        self,
        context: SessionContext,
        side_replies: SideReplies,
        *,
        is_working: Callable[[], bool],
        is_reply_due: Callable[[], bool],
        is_anyone_speaking: Callable[[], bool],
    ) -> None:
        """
        is_working: true while a tool runs that waits for nobody
        is_reply_due: true while a reply is being made or awaited
        is_anyone_speaking: true while a person has a voice
        """
        self._context = context
        self._side_replies = side_replies
        self._is_working = is_working
        self._is_reply_due = is_reply_due
        self._is_anyone_speaking = is_anyone_speaking
        self._thinking = context.config.sounds.thinking
        self._watching: asyncio.Task[None] | None = None
        self._phrase: asyncio.Task[None] | None = None
        self._phrases_said = 0
        # The loop was begun and nothing has silenced it since.
        self._is_looping = False
        self._sound_ends_s = float("-inf")
        self._tasks = OwnedTasks(context.log)
        if context.config.sounds.background is not None:
            for name in ("user_connected", "user_left"):
                context.line.on(name, lambda *_: self._follow_listeners())

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        on_speech: Handlers = {model.SpeechStarted: self._handle_speech}
        if self._thinking is None:
            return on_speech
        return {**on_speech, model.ToolCallRequested: self._handle_call}

    def handle_voice(self, change: VoiceChange) -> None:
        """Fall silent while a person speaks."""
        if change.is_speaking:
            self._fall_silent()

    def handle_interrupt(self) -> None:
        """End a single sound."""
        self._fall_silent()

    async def _handle_speech(self, _event: Any) -> None:
        self._fall_silent()

    def _fall_silent(self) -> None:
        self._sound_ends_s = float("-inf")
        self._is_looping = False
        self._context.line.stop_sound()

    def play_once(self, name: str, level_db: float) -> bool:
        """Play a sound; return false if this line plays none."""
        clip = self._clip(name, level_db)
        if clip is None or not self._context.line.play_sound(clip):
            return False
        self._sound_ends_s = time.monotonic() + len(clip.samples) / self._rate_hz
        return True

    @property
    def is_sounding(self) -> bool:
        """True while a sound of `play_once` is heard."""
        return time.monotonic() < self._sound_ends_s

    def _clip(self, name: str, level_db: float, *, is_loop: bool = False) -> Clip | None:
        rate_hz = self._context.model.capabilities.output_sample_rate_hz
        folders = self._context.config.sound_folders
        try:
            return find_clip(folders, name, rate_hz, level_db=level_db, is_loop=is_loop)
        except ConfigError as error:
            self._context.log.warning("%s", error)
            return None

    # -- background --------------------------------------------------------------------------------

    def _follow_listeners(self) -> None:
        """Have a background while a person is there to hear it."""
        wanted, line = self._context.config.sounds.background, self._context.line
        assert wanted is not None
        if not any(user.role == "user" for user in line.remote_users.values()):
            line.set_background(None)
            return
        clip = self._clip(wanted.sound, wanted.level_db, is_loop=True)
        if clip is not None and not line.set_background(clip, duck_db=wanted.duck_db):
            self._context.log.info("no background: the application plays the voice itself")

    # -- thinking ----------------------------------------------------------------------------------

    async def _handle_call(self, _event: model.ToolCallRequested) -> None:
        if self._watching is None or self._watching.done():
            self._watching = self._tasks.start(self._watch(), name="thinking")

    async def _watch(self) -> None:
        """Give signs until the work ends, or its reply is heard."""
        wanted = self._thinking
        assert wanted is not None
        watch, is_phrase_due = ThinkingWatch(wanted.after_s), True
        self._is_looping = False
        with self._context.boundary.guard(InputKind.INTERNAL, "thinking sound"):
            try:
                while self._is_working() or self._is_reply_due():
                    is_silent = self._is_silent()
                    if not watch.is_due(time.monotonic(), is_silent=is_silent):
                        self._is_looping = self._is_looping and is_silent
                    elif is_phrase_due and self._is_working():
                        is_phrase_due = False
                        await self._say_phrase()
                    elif not self._is_looping and self._is_working() and wanted.sound is not None:
                        self._is_looping = True
                        self._play_loop(wanted.sound, wanted.level_db)
                    await asyncio.sleep(_LOOK_S)
            finally:
                self._context.line.stop_sound()

    def _is_silent(self) -> bool:
        state = self._context.turns.state
        return (
            state in (TurnState.IDLE, TurnState.THINKING)
            and not self._is_anyone_speaking()
            and not self._context.line.outgoing.is_busy
            and (self._phrase is None or self._phrase.done())
        )

    def _play_loop(self, name: str, level_db: float) -> None:
        if (clip := self._clip(name, level_db, is_loop=True)) is not None:
            self._context.line.play_sound(clip)

    async def _say_phrase(self) -> None:
        """Say one of the phrases, in turn: in the model's voice, else from a file."""
        wanted, language = self._thinking, self._context.config.language
        assert wanted is not None
        texts = find_phrases(wanted.phrases, language)
        names = find_phrases(wanted.phrase_sounds, language)
        number, self._phrases_said = self._phrases_said, self._phrases_said + 1
        if texts and "out_of_band" in self._context.model.capabilities.reply_options:
            request = CreateResponse(
                instructions=f"Say exactly: {texts[number % len(texts)]}",
                input_items=(),
                tool_choice="none",
            )
            self._phrase = self._tasks.start(self._speak(request), name="phrase")
        elif names:
            clip = self._clip(names[number % len(names)], wanted.level_db)
            if clip is not None and self._context.line.play_sound(clip):
                await asyncio.sleep(len(clip.samples) / self._rate_hz)

    @property
    def _rate_hz(self) -> int:
        return self._context.model.capabilities.output_sample_rate_hz

    async def _speak(self, request: CreateResponse) -> None:
        with self._context.boundary.guard(
            InputKind.INTERNAL,
            "thinking phrase",
            expected=(ModelDisconnectedError, UnsupportedCommandError, TimeoutError),
        ):
            await self._side_replies.request(request, is_spoken=True, timeout_s=_MAX_PHRASE_S)

    async def close(self) -> None:
        """End all of them."""
        await self._tasks.close()
