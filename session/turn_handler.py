"""User turns: published, judged when spoken over a reply, and answered."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from conversation.events import server_events as out
from conversation.turn_taking.answers import Answers
from conversation.turn_taking.backchannel import words_of
from conversation.turn_taking.interrupt_policy import (
    Decision,
    InterruptCause,
    InterruptMode,
    InterruptScope,
)
from conversation.turn_taking.interruption_detector import InterruptionDetector
from conversation.turn_taking.speakers import Speakers, VoiceChange
from conversation.turn_taking.turn_state import TurnState
from realtime import events as model
from realtime.events import CreateResponse, DeleteItem
from realtime.model import ModelDisconnectedError
from session.context import Handlers, SessionContext
from session.reply_output import ReplyOutput
from session.turn_gate import TurnGate, UserTurn
from session.turn_policy import TurnPolicy
from untrusted.boundary import InputKind
from utils import BoundedDict

# Causes by which a transcript is discarded.
_NOT_SPEECH: Final = (InterruptCause.NOISE, InterruptCause.ECHO)
# Causes by which the provider is made to forget the turn.
_DISMISSED: Final = (
    InterruptCause.NOISE,
    InterruptCause.ECHO,
    InterruptCause.BACKCHANNEL,
    InterruptCause.FEW_WORDS,
)
# A provider reports speech so long after its start; earlier sound may be of another speaker.
_REPORT_DELAY_S: Final = 0.3
_JUST_NOW_S: Final = 0.1
# An echo may return so long after the last playout.
_ECHO_TAIL_S: Final = 1.0
# A requested reply that has not begun by then is not expected any longer.
_ANSWER_TIMEOUT_S: Final = 5.0
_MAX_SPANS: Final = 64
_AFTER_FAILURE_S: Final = 0.25


class TurnHandler:
    """Reacts to speech of users, as the model and the local voice level report it."""

    def __init__(
        self,
        context: SessionContext,
        reply_output: ReplyOutput,
        speakers: Speakers,
        policy: TurnPolicy,
    ) -> None:
        self._context = context
        self._reply_output = reply_output
        self._speakers = speakers
        self._policy = policy
        rules = context.config.interrupt.model_copy(update={"mode": policy.mode})
        self._detector = InterruptionDetector(rules, context.config.language)
        capabilities = context.model.capabilities
        self._answers = Answers(waits_for_words=capabilities.has_early_transcripts)
        # Set once, by the session: an owner looks at turns before they are answered.
        self.gate: TurnGate | None = None
        self._asked_at_s = float("-inf")
        # Playout is paused by a pending interruption.
        self._is_paused = False
        self._has_published_pause = False
        # Wakes up `run` to recompute its wait.
        self._deadline_changed = asyncio.Event()
        # Begin and, once known, end of each turn, by item id.
        self._spans: BoundedDict[str, tuple[float, float | None]] = BoundedDict(_MAX_SPANS)

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.SpeechStarted: self._handle_speech_started,
            model.SpeechStopped: self._handle_speech_stopped,
            model.Interrupted: self._handle_interrupted,
            model.InputCommitted: self._handle_committed,
            model.InputTranscriptDelta: self._handle_delta,
            model.InputTranscriptDone: self._handle_words,
            model.InputTranscriptFailed: self._handle_no_words,
            model.ResponseCreated: self._handle_response_created,
        }

    async def run(self) -> None:
        """End pending interruptions at their deadlines, until cancelled."""
        while True:
            self._deadline_changed.clear()
            deadline_s = self._detector.deadline_s
            wait_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    await self._deadline_changed.wait()
            except TimeoutError:
                await self._poll()

    async def _poll(self) -> None:
        with self._context.boundary.guard(
            InputKind.INTERNAL, "end of a doubt", expected=(ModelDisconnectedError,)
        ) as attempt:
            await self._apply(self._detector.poll(time.monotonic()))
        if attempt.failure is not None:
            # The deadline may still be due: do not fail in a tight loop.
            await asyncio.sleep(_AFTER_FAILURE_S)

    async def interrupt(
        self, scope: InterruptScope = InterruptScope.ALL, *, is_forced: bool = False
    ) -> None:
        """Silence the agent for good, for another reason than speech over it.

        scope, is_forced: as of `ReplyOutput.interrupt`
        """
        if scope is InterruptScope.GENERATION:
            await self._reply_output.interrupt(scope=scope, is_forced=is_forced)
            return
        items = await self.fall_silent(scope, is_forced=is_forced)
        await self._request_reply_if(self._answers.accept(items))

    async def fall_silent(
        self, scope: InterruptScope = InterruptScope.ALL, *, is_forced: bool = False
    ) -> tuple[str, ...]:
        """Silence the agent and drop the pending interruption; return its turns."""
        items = self._detector.resolve()
        self._is_paused = False
        if self.gate is not None:
            self.gate.withdraw()
        await self._reply_output.interrupt(should_cancel=True, scope=scope, is_forced=is_forced)
        return items

    # -- local voice level -------------------------------------------------------------------------

    def handle_voice(self, change: VoiceChange) -> None:
        """Note a change of the local voice level."""
        if not self._policy.is_judging:
            return
        if change.is_speaking:
            now_s = time.monotonic()
            self._detector.handle_voice_started(
                change.at_s, now_s=now_s, is_interruptible=self._is_interruptible(now_s)
            )
        elif not self._speakers.is_any_speaking:
            self._detector.handle_voice_stopped(change.at_s)
        self._follow_detector()

    def _is_interruptible(self, now_s: float) -> bool:
        """Return true if there is a reply to be lost, or one whose echo may come."""
        context = self._context
        if context.turns.active_response is not None or context.turns.is_working:
            return True
        if now_s - self._asked_at_s < _ANSWER_TIMEOUT_S:
            return True
        if self._reply_output.is_playing:
            return True
        return (
            self._detector.expects_echo(now_s)
            and now_s - self._reply_output.ended_at_s < _ECHO_TAIL_S
        )

    def _follow_detector(self) -> None:
        self._deadline_changed.set()
        if self._detector.should_pause and not self._is_paused:
            self._is_paused = True
            self._has_published_pause = self._reply_output.is_playing
            self._context.line.pause_playout()
            if self._has_published_pause:
                self._context.publisher.publish(out.AgentPaused)

    # -- provider's turn detection -----------------------------------------------------------------

    async def _handle_speech_started(self, event: model.SpeechStarted) -> None:
        # Silence first: everything else can wait.
        now_s = time.monotonic()
        if self._policy.is_judging:
            is_pending = self._detector.handle_speech_started(
                event.item_id,
                now_s=now_s,
                is_interruptible=self._is_interruptible(now_s),
                is_heard=self._reply_output.is_playing,
            )
            self._follow_detector()
            self._answers.begin(event.item_id, is_pending=is_pending)
        else:
            await self._reply_output.interrupt()
        self._context.turns.speech_started()
        self._context.history.open_user_item(event.item_id)
        self._begin_span(event.item_id, now_s)
        self._context.publisher.publish(
            out.AgentInputStarted,
            item_id=event.item_id,
            audio_start_ms=event.audio_start_ms,
            uid=self.speaker_of(event.item_id),
        )

    async def _handle_speech_stopped(self, event: model.SpeechStopped) -> None:
        now_s = time.monotonic()
        self._context.turns.speech_stopped()
        self._end_span(event.item_id, now_s)
        self._detector.handle_speech_stopped(event.item_id, now_s=now_s)
        self._follow_detector()
        self._context.publisher.publish(
            out.AgentInputDone,
            item_id=event.item_id,
            audio_end_ms=event.audio_end_ms,
            uid=self.speaker_of(event.item_id),
        )

    async def _handle_interrupted(self, _event: model.Interrupted) -> None:
        items = self._detector.resolve()
        self._is_paused = False
        await self._reply_output.interrupt()
        await self._request_reply_if(self._answers.accept(items))

    async def _handle_committed(self, event: model.InputCommitted) -> None:
        if self._policy.is_manual:
            self._context.history.open_user_item(event.item_id)
        if self.gate is not None:
            self.gate.expect_words(event.item_id)
        is_due = self._answers.commit(event.item_id)
        if self._answers.should_delete(event.item_id):
            await self._context.model.send(DeleteItem(event.item_id))
        await self._request_reply_if(is_due)

    # -- transcripts -------------------------------------------------------------------------------

    async def _handle_delta(self, event: model.InputTranscriptDelta) -> None:
        self._reply_output.note_user_delta(event.item_id, event.delta)

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        item_id = event.item_id
        decision = self._detector.handle_words(
            item_id,
            event.transcript,
            spoken=self._reply_output.spoken_text(),
            now_s=time.monotonic(),
        )
        if self.gate is not None and event.transcript and (decision is None or decision.is_cut):
            # Before it can be answered. It is looked at once this event is handled.
            self.gate.take(UserTurn(item_id, event.transcript, self.speaker_of(item_id)))
        # Playout first: the event about it can wait.
        await self._apply(decision)
        is_anybodys = decision is None or decision.cause not in _NOT_SPEECH
        is_withheld = self.gate is not None and self.gate.withholds(item_id)
        text = event.transcript if is_anybodys and not is_withheld else ""
        await self._reply_output.note_user_words(
            item_id,
            text,
            uid=self.speaker_of(item_id),
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
        )
        if self.gate is not None:
            await self.gate.settle(item_id)
        is_speaking = self._context.turns.state is TurnState.USER_SPEAKING
        await self._request_reply_if(
            self._answers.words_known(
                item_id, has_words=bool(words_of(text)), is_user_speaking=is_speaking
            )
        )

    async def _handle_no_words(self, event: model.InputTranscriptFailed) -> None:
        if self.gate is not None:
            self.gate.take(UserTurn(event.item_id, "", self.speaker_of(event.item_id)))
        await self._apply(self._detector.handle_no_words(event.item_id, now_s=time.monotonic()))
        self._follow_detector()
        self._context.publisher.publish(
            out.AgentInputTranscriptionFailed, item_id=event.item_id, message=event.message
        )
        await self._request_reply_if(
            self._answers.words_known(event.item_id, has_words=True, is_user_speaking=False)
        )
        if self.gate is not None:
            await self.gate.settle(event.item_id)

    # -- decisions ---------------------------------------------------------------------------------

    async def _apply(self, decision: Decision | None) -> None:
        if decision is None:
            return
        self._context.log.debug("speech over a reply: %s", decision.cause)
        if decision.is_cut:
            await self._cut(decision)
        else:
            await self._resume(decision)

    async def _cut(self, decision: Decision) -> None:
        self._is_paused = False
        if self._policy.mode is not InterruptMode.NEVER:
            await self._reply_output.interrupt(should_cancel=True)
        await self._request_reply_if(self._answers.accept(decision.item_ids))

    async def _resume(self, decision: Decision) -> None:
        if self._is_paused and not self._detector.should_pause:
            self._is_paused = False
            self._context.line.resume_playout()
            if self._has_published_pause:
                self._context.publisher.publish(out.AgentResumed, cause=decision.cause.value)
        if decision.cause not in _DISMISSED:
            return
        for item_id in decision.item_ids:
            if self._answers.dismiss(item_id):
                await self._context.model.send(DeleteItem(item_id))

    async def _request_reply_if(self, is_due: bool) -> None:
        if is_due and self._policy.is_answering:
            self._asked_at_s = time.monotonic()
            await self.request_reply()

    async def request_reply(self) -> None:
        """Ask for the reply to what users have said or written, once the owner has looked at it."""
        if self.gate is None:
            await self._context.model.send(CreateResponse())
        else:
            await self.gate.ask()

    async def _handle_response_created(self, _event: model.ResponseCreated) -> None:
        self._asked_at_s = float("-inf")

    # -- speaker of a turn -------------------------------------------------------------------------

    def _begin_span(self, item_id: str, now_s: float) -> None:
        self._spans[item_id] = (now_s, None)

    def _end_span(self, item_id: str, now_s: float) -> None:
        if item_id in self._spans:
            self._spans[item_id] = (self._spans[item_id][0], now_s)

    def speaker_of(self, item_id: str) -> int | None:
        """Return the uid of the person who spoke in this turn, if it is known."""
        if item_id not in self._spans:
            return None
        start_s, end_s = self._spans[item_id]
        if end_s is not None:
            return self._speakers.loudest(start_s - _REPORT_DELAY_S, end_s)
        now_s = time.monotonic()
        just_now = self._speakers.loudest(start_s - _JUST_NOW_S, now_s)
        return just_now or self._speakers.loudest(start_s - _REPORT_DELAY_S, now_s)
