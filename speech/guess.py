"""`Guess`: what is being said, recognised while it is not known yet whether it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from speech.ear import Ear
from speech.engines.recogniser import Transcript
from speech.replies import Replies
from speech.turns import longest_hold_ms, semantic_hold_ms
from speech.workers import Workers
from utils import OwnedTasks


class Guess:
    """At most one at a time. With it the first clause of the reply is prepared."""

    def __init__(
        self,
        ear: Ear,
        workers: Workers,
        replies: Replies,
        tasks: OwnedTasks,
        *,
        detection: Callable[[], Mapping[str, Any]],
    ) -> None:
        """detection: the session's present settings of turn detection"""
        self._ear = ear
        self._workers = workers
        self._replies = replies
        self._tasks = tasks
        self._detection = detection
        self._task: asyncio.Task[Transcript] | None = None

    def begin(self, at_ms: int) -> None:
        """The speaker pauses at `at_ms`."""
        turns = self._ear.turns
        if turns is None or turns.start_ms is None:
            return
        self.drop()
        engine_pcm = self._ear.peek(turns.start_ms, at_ms).engine_pcm
        detection = self._detection()
        if detection.get("type") == "semantic_vad":
            turns.hold(longest_hold_ms(detection["eagerness"]))
        self._task = self._tasks.start(self._recognise(engine_pcm), name="guess")

    async def _recognise(self, engine_pcm: bytes) -> Transcript:
        transcript = await self._workers.transcribe(engine_pcm)
        detection = self._detection()
        if detection.get("type") == "semantic_vad" and self._ear.turns is not None:
            self._ear.turns.hold(semantic_hold_ms(transcript.text, detection["eagerness"]))
        # A client that asks for its replies itself will ask about the same words.
        if transcript.text:
            self._tasks.start(self._replies.prepare(transcript.text), name="prepare reply")
        return transcript

    def drop(self) -> None:
        """The speaker went on, or what was said is not wanted."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def take(self) -> asyncio.Task[Transcript] | None:
        """The guess turned out to be of all that was said."""
        task, self._task = self._task, None
        return task
