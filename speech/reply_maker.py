"""`ReplyMaker`: what a reply depends on, and its beginning by mind and voice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from zoneinfo import ZoneInfo

from speech.dialogue.context import Context, Entry
from speech.engines.work_queue import Urgency
from speech.local_zone import local_zone_name
from speech.mind import Mind, ReplyRequest
from speech.reply_plan import ReplyPlan
from speech.reply_stream import ReplyStream, Speak
from speech.response import ResponseSettings
from speech.session_engines import SessionEngines
from utils import OwnedTasks


class ReplyMaker:
    """Begins the replies of one session."""

    def __init__(
        self, mind: Mind, workers: SessionEngines, tasks: OwnedTasks, *, timezone: str | None
    ) -> None:
        """timezone: IANA name; None: the machine's"""
        self.mind = mind
        self._workers = workers
        self._tasks = tasks
        self._timezone = timezone

    def request(
        self, plan: ReplyPlan, settings: ResponseSettings, history: tuple[Entry, ...]
    ) -> ReplyRequest:
        """Return what the reply to `history` depends on."""
        zone = ZoneInfo(self._timezone or local_zone_name())
        context = Context(
            history=history,
            now=datetime.now(zone),
            zone_name=zone.key,
            instructions=plan.instructions,
            request=plan.request,
            tools=plan.tools,
            forced_tool=plan.forced_tool,
            must_call_tool=plan.must_call_tool,
        )
        return ReplyRequest(
            context,
            is_spoken=settings.modality == "audio",
            speed=settings.speed,
            max_tokens=settings.max_output_tokens,
        )

    def start(self, request: ReplyRequest, *, is_speculative: bool = False) -> ReplyStream:
        """Begin a reply; its first clause is synthesised at once."""
        return ReplyStream(
            self.mind.answer(request),
            self.voice(request.speed) if request.is_spoken else None,
            self._tasks,
            language=self.mind.language,
            is_speculative=is_speculative,
        )

    def speculate(self, request: ReplyRequest) -> ReplyStream:
        """Begin a reply that may turn out not to be wanted: others go first."""
        return self.start(request, is_speculative=True)

    def adopt(self, stream: ReplyStream) -> None:
        """It is wanted now, and its voice with it."""
        stream.is_speculative = False
        self._workers.hurry()

    def voice(self, speed: float) -> Speak:
        """Return the voice at this speed."""

        def speak(clause: str, urgency: Urgency) -> AsyncGenerator[bytes, None]:
            return self._workers.speak(clause, speed, urgency=urgency)

        return speak
