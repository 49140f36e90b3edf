"""`SpeculativeRecognition`: what is being said, recognised while it is not known yet whether it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from speech.engines.protocols import Transcript
from speech.engines.work_queue import Urgency
from speech.input_buffer import InputAudioBuffer
from speech.replies import Replies
from speech.session_engines import SessionEngines
from speech.turns.eagerness import patience
from speech.turns.judged_pause import JudgedPause
from speech.turns.turn_detector import TurnDetector, TurnEvent
from utils import OwnedTasks


class SpeculativeRecognition:
    """At most one at a time. With its words the reply is begun speculatively, too."""

    def __init__(
        self,
        input_buffer: InputAudioBuffer,
        workers: SessionEngines,
        replies: Replies,
        tasks: OwnedTasks,
        *,
        detection: Callable[[], Mapping[str, Any]],
        on_turn_event: Callable[[TurnEvent], None],
    ) -> None:
        """
        detection: the session's present settings of turn detection
        on_turn_event: called with the end of a turn that a judgement ends
        """
        self._input = input_buffer
        self._workers = workers
        self._replies = replies
        self._tasks = tasks
        self._detection = detection
        self._on_turn_event = on_turn_event
        self._task: asyncio.Task[Transcript] | None = None
        self._pause: JudgedPause | None = None  # of semantic detection
        self._judgement: asyncio.Task[None] | None = None

    def begin(self, at_ms: int) -> None:
        """The speaker pauses at `at_ms`."""
        turns = self._input.turns
        if turns is None or turns.start_ms is None:
            return
        self.drop()
        engine_pcm = self._input.peek(turns.start_ms, at_ms).engine_pcm
        self._pause = pause = self._judged_pause(turns)
        self._task = self._tasks.start(self._recognise(engine_pcm, pause), name="guess")
        self.listen_on(at_ms)

    def listen_on(self, at_ms: int) -> None:
        """The pause lasts, up to `at_ms` so far."""
        turns, pause = self._input.turns, self._pause
        if turns is None or turns.start_ms is None or pause is None:
            return
        is_judging = self._judgement is not None and not self._judgement.done()
        if is_judging or not pause.should_listen():
            return
        engine_pcm = self._input.peek(turns.start_ms, at_ms).engine_pcm
        self._judgement = self._tasks.start(self._judge(engine_pcm, pause), name="judge pause")

    def _judged_pause(self, turns: TurnDetector) -> JudgedPause | None:
        detection = self._detection()
        if detection.get("type") != "semantic_vad":
            return None
        return JudgedPause(turns, patience(detection["eagerness"]))

    async def _judge(self, engine_pcm: bytes, pause: JudgedPause) -> None:
        pause.add_voice(await self._workers.probability_of_end(engine_pcm))
        self._end_overdue(pause)

    async def _recognise(self, engine_pcm: bytes, pause: JudgedPause | None) -> Transcript:
        try:
            transcript = await self._workers.transcribe(engine_pcm, urgency=Urgency.SPECULATIVE)
        except Exception:
            if pause is not None:
                pause.add_words(None)
                self._end_overdue(pause)
            raise
        if pause is not None:
            pause.add_words(transcript.text, transcript.language or self._workers.language)
        # A client that asks for its replies itself will ask about the same words. Once the turn is
        # over there is nothing left to speculate about.
        is_open = self._task is asyncio.current_task()
        if is_open and transcript.text and (pause is None or pause.may_end_turn):
            self._replies.speculate(transcript.text)
        self._end_overdue(pause)
        return transcript

    def _end_overdue(self, pause: JudgedPause | None) -> None:
        """End the turn at once if it needs no more silence; no more may come, as out of a file."""
        if pause is not None and pause is self._pause and self._input.turns is not None:
            event = self._input.turns.end_overdue()
            if event is not None:
                self._on_turn_event(event)

    def drop(self) -> None:
        """The speaker went on, or what was said is not wanted."""
        self._end_pause()
        self._replies.drop_speculation()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def take(self) -> asyncio.Task[Transcript] | None:
        """The guess turned out to be of all that was said."""
        self._end_pause()
        task, self._task = self._task, None
        return task

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.end()
            self._pause = None
        judgement, self._judgement = self._judgement, None
        if judgement is not None and judgement is not asyncio.current_task():
            judgement.cancel()
