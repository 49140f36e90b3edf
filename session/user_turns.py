"""People's turns: told to everybody, judged when they are said over a reply, answered if meant."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final

from boundary import InputKind
from conversation import server_events as out
from conversation.answers import Answers
from conversation.backchannel import words_of
from conversation.interruption import Cause, Decision, InterruptMode
from conversation.interruption_judge import InterruptionJudge
from conversation.speakers import Speakers, VoiceChange
from conversation.turns import TurnState
from realtime import events as model
from realtime.events import CreateResponse, DeleteItem
from realtime.model import ModelDisconnectedError
from session.context import Handlers, SessionContext
from session.replies import Replies
from session.turn_policy import TurnPolicy

_NOBODYS_WORDS: Final = (Cause.NOISE, Cause.ECHO)
_UNMEANT: Final = (Cause.NOISE, Cause.ECHO, Cause.BACKCHANNEL, Cause.FEW_WORDS)
# A provider tells of speech after it began, but long before that it was somebody else's.
_TOLD_LATE_S: Final = 0.3
_JUST_NOW_S: Final = 0.1
_ECHO_TAIL_S: Final = 1.0
# A reply that was asked for and has not begun by then will not come.
_ANSWER_TIMEOUT_S: Final = 5.0
_REMEMBERED: Final = 64
_AFTER_FAILURE_S: Final = 0.25


class UserTurns:
    """Reacts to what the model and the local ear hear of people."""

    def __init__(
        self, context: SessionContext, replies: Replies, speakers: Speakers, policy: TurnPolicy
    ) -> None:
        self._context = context
        self._replies = replies
        self._speakers = speakers
        self._policy = policy
        rules = context.config.interrupt.model_copy(update={"mode": policy.mode})
        self._judge = InterruptionJudge(rules, context.config.language)
        capabilities = context.model.capabilities
        self._answers = Answers(waits_for_words=capabilities.has_early_transcripts)
        self._asked_at_s = float("-inf")
        self._is_paused = False
        self._has_told_pause = False
        self._deadline_changed = asyncio.Event()
        # When each turn began and, once it has, ended.
        self._spans: OrderedDict[str, tuple[float, float | None]] = OrderedDict()

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
        """End doubts that nothing else ends, until cancelled."""
        while True:
            self._deadline_changed.clear()
            deadline_s = self._judge.deadline_s
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
            await self._act(self._judge.poll(time.monotonic()))
        if attempt.failure is not None:
            # The deadline may still be there: no hurry to fail again.
            await asyncio.sleep(_AFTER_FAILURE_S)

    async def interrupt(self) -> None:
        """Silence the agent for good: somebody has said so by other means than speaking over it."""
        await self._ask_if(self._answers.accept(await self.fall_silent()))

    async def fall_silent(self) -> tuple[str, ...]:
        """Silence the agent, and judge nothing that was said over it; the items that it was."""
        items = self._judge.settle()
        self._is_paused = False
        await self._replies.interrupt(should_cancel=True)
        return items

    # -- the local ear -------------------------------------------------------------------------

    def handle_voice(self, change: VoiceChange) -> None:
        """Somebody's voice began or ended."""
        if not self._policy.is_judging:
            return
        if change.is_speaking:
            now_s = time.monotonic()
            self._judge.handle_voice_started(
                change.at_s, now_s=now_s, is_at_stake=self._is_at_stake(now_s)
            )
        elif not self._speakers.is_anybody_speaking:
            self._judge.handle_voice_stopped(change.at_s)
        self._follow_judge()

    def _is_at_stake(self, now_s: float) -> bool:
        """Whether there is a reply that could be lost, or that could come back as an echo."""
        context = self._context
        if context.turns.active_response is not None or context.turns.is_working:
            return True
        if now_s - self._asked_at_s < _ANSWER_TIMEOUT_S:
            return True
        if self._replies.is_playing:
            return True
        return self._judge.expects_echo(now_s) and now_s - self._replies.ended_at_s < _ECHO_TAIL_S

    def _follow_judge(self) -> None:
        self._deadline_changed.set()
        if self._judge.should_pause and not self._is_paused:
            self._is_paused = True
            self._has_told_pause = self._replies.is_playing
            self._context.channel.pause_playout()
            if self._has_told_pause:
                self._context.publisher.publish(out.AgentPaused)

    # -- the provider's ear --------------------------------------------------------------------

    async def _handle_speech_started(self, event: model.SpeechStarted) -> None:
        # Silence first: everything else can wait the microseconds it takes.
        now_s = time.monotonic()
        if self._policy.is_judging:
            is_doubted = self._judge.handle_speech_started(
                event.item_id,
                now_s=now_s,
                is_at_stake=self._is_at_stake(now_s),
                is_heard=self._replies.is_playing,
            )
            self._follow_judge()
            self._answers.begin(event.item_id, is_doubted=is_doubted)
        else:
            await self._replies.interrupt()
        self._context.turns.speech_started()
        self._context.history.open_user_item(event.item_id)
        self._begin_span(event.item_id, now_s)
        self._context.publisher.publish(
            out.AgentInputStarted,
            item_id=event.item_id,
            audio_start_ms=event.audio_start_ms,
            uid=self._speaker_of(event.item_id),
        )

    async def _handle_speech_stopped(self, event: model.SpeechStopped) -> None:
        now_s = time.monotonic()
        self._context.turns.speech_stopped()
        self._end_span(event.item_id, now_s)
        self._judge.handle_speech_stopped(event.item_id, now_s=now_s)
        self._follow_judge()
        self._context.publisher.publish(
            out.AgentInputDone,
            item_id=event.item_id,
            audio_end_ms=event.audio_end_ms,
            uid=self._speaker_of(event.item_id),
        )

    async def _handle_interrupted(self, _event: model.Interrupted) -> None:
        items = self._judge.settle()
        self._is_paused = False
        await self._replies.interrupt()
        await self._ask_if(self._answers.accept(items))

    async def _handle_committed(self, event: model.InputCommitted) -> None:
        if self._policy.is_manual:
            self._context.history.open_user_item(event.item_id)
        is_due = self._answers.commit(event.item_id)
        if self._answers.should_forget(event.item_id):
            await self._context.model.send(DeleteItem(event.item_id))
        await self._ask_if(is_due)

    # -- words ---------------------------------------------------------------------------------

    async def _handle_delta(self, event: model.InputTranscriptDelta) -> None:
        self._context.publisher.publish(
            out.AgentInputTranscriptionDelta, item_id=event.item_id, delta=event.delta
        )

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        item_id = event.item_id
        decision = self._judge.handle_words(
            item_id,
            event.transcript,
            spoken=self._replies.spoken_text(),
            now_s=time.monotonic(),
        )
        # The voice first, what is told about it after.
        await self._act(decision)
        is_anybodys = decision is None or decision.cause not in _NOBODYS_WORDS
        text = event.transcript if is_anybodys else ""
        await self._replies.note_user_words(item_id, text, uid=self._speaker_of(item_id))
        is_speaking = self._context.turns.state is TurnState.USER_SPEAKING
        await self._ask_if(
            self._answers.hear(
                item_id, has_words=bool(words_of(text)), is_user_speaking=is_speaking
            )
        )

    async def _handle_no_words(self, event: model.InputTranscriptFailed) -> None:
        await self._act(self._judge.handle_no_words(event.item_id, now_s=time.monotonic()))
        self._follow_judge()
        await self._ask_if(
            self._answers.hear(event.item_id, has_words=True, is_user_speaking=False)
        )

    # -- decisions -----------------------------------------------------------------------------

    async def _act(self, decision: Decision | None) -> None:
        if decision is None:
            return
        self._context.log.debug("speech over a reply: %s", decision.cause)
        if decision.is_cut:
            await self._cut(decision)
        else:
            await self._go_on(decision)

    async def _cut(self, decision: Decision) -> None:
        self._is_paused = False
        if self._policy.mode is not InterruptMode.NEVER:
            await self._replies.interrupt(should_cancel=True)
        await self._ask_if(self._answers.accept(decision.item_ids))

    async def _go_on(self, decision: Decision) -> None:
        if self._is_paused and not self._judge.should_pause:
            self._is_paused = False
            self._context.channel.resume_playout()
            if self._has_told_pause:
                self._context.publisher.publish(out.AgentResumed, cause=decision.cause.value)
        if decision.cause not in _UNMEANT:
            return
        for item_id in decision.item_ids:
            if self._answers.forget(item_id):
                await self._context.model.send(DeleteItem(item_id))

    async def _ask_if(self, is_due: bool) -> None:
        if is_due and self._policy.is_answering:
            self._asked_at_s = time.monotonic()
            await self._context.model.send(CreateResponse())

    async def _handle_response_created(self, _event: model.ResponseCreated) -> None:
        self._asked_at_s = float("-inf")

    # -- who -----------------------------------------------------------------------------------

    def _begin_span(self, item_id: str, now_s: float) -> None:
        self._spans[item_id] = (now_s, None)
        while len(self._spans) > _REMEMBERED:
            self._spans.popitem(last=False)

    def _end_span(self, item_id: str, now_s: float) -> None:
        if item_id in self._spans:
            self._spans[item_id] = (self._spans[item_id][0], now_s)

    def _speaker_of(self, item_id: str) -> int | None:
        if item_id not in self._spans:
            return None
        start_s, end_s = self._spans[item_id]
        if end_s is not None:
            return self._speakers.loudest(start_s - _TOLD_LATE_S, end_s)
        now_s = time.monotonic()
        just_now = self._speakers.loudest(start_s - _JUST_NOW_S, now_s)
        return just_now or self._speakers.loudest(start_s - _TOLD_LATE_S, now_s)
