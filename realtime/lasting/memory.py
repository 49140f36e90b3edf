"""What outlives a provider session: the transcript, user audio, settings, replies still owed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.lasting.audio_backlog import KEPT_SENT_S, AudioBacklog
from realtime.lasting.ids import ConversationIds
from realtime.lasting.model_session import ModelSession, ModelSource
from realtime.lasting.replay import ReplayBudget, fold, trim, with_note
from realtime.lasting.reply_watch import OwedReply
from realtime.lasting.resilience import ResilienceStatistics
from realtime.lasting.transcript import Entry, HeardText, Mark, Transcript
from realtime.lasting.user_turns import HARD_TAIL_S, UserTurns
from realtime.model import Capabilities, ModelSettings

CONNECTION_LOST_TEXT = "the connection to the model was lost; the audio is told again"


class Memory:
    """One conversation's. Does no input or output; time is an argument."""

    def __init__(self, outside: Capabilities, heard_text: HeardText, budget: ReplayBudget) -> None:
        """
        outside: what the agent was told of audio rates
        heard_text: how to cut a reply's words to what was heard
        """
        self.settings = ModelSettings()
        self.transcript = Transcript(heard_text)
        self.ids = ConversationIds(self.transcript.remembers)
        self.backlog = AudioBacklog(outside.input_sample_rate_hz)
        self.owed: list[OwedReply] = []
        self.statistics = ResilienceStatistics()
        self._outside = outside
        self._budget = budget
        # Where a session of this source could go on, and how much of the transcript it knew.
        self._handle: tuple[str, str, Mark] | None = None

    # -- opening -------------------------------------------------------------------------------

    def handle_for(self, source: ModelSource) -> str | None:
        """The resumption handle that this provider gave last."""
        return (
            self._handle[1] if self._handle is not None and self._handle[0] == source.name else None
        )

    def note_handle(self, source: ModelSource, handle: str | None) -> None:
        """The provider could resume from here; None: it could not."""
        self._handle = None if handle is None else (source.name, handle, self.transcript.mark)

    def forget_handle(self) -> None:
        """The handle is stale."""
        self._handle = None

    def settings_for(
        self, source: ModelSource, capabilities: Capabilities, *, is_own: bool, is_resumed: bool
    ) -> ModelSettings:
        """With what a session begins.

        is_own: the settings were made for this provider; others get what every provider has
        """
        given = self.settings
        if not is_own:
            given = ModelSettings(
                instructions=given.instructions,
                voice=source.config.settings.voice,
                language=given.language,
                tools=[each for each in given.tools if each.get("type") == "function"],
                tool_choice=given.tool_choice,
                turn_detection=_common_detection(given.turn_detection, capabilities),
            )
        if not capabilities.has_tools:
            given = replace(given, tools=(), tool_choice=None)
        if capabilities.has_history_replay or is_resumed:
            return given
        return replace(given, instructions=self.folded_instructions(given))

    def folded_instructions(self, settings: ModelSettings) -> str | None:
        """Those of `settings` with the conversation so far, for models that take no items."""
        parts = [settings.instructions, fold(self.transcript.since(0), self._budget)]
        return "\n\n".join(part for part in parts if part) or None

    def known_to(self, capabilities: Capabilities, *, is_resumed: bool) -> Mark:
        """How much a session knows that is opened now."""
        if is_resumed and self._handle is not None:
            return self._handle[2]
        return Mark() if capabilities.has_history_replay else self.transcript.mark

    def untold(self, since: Mark) -> Sequence[Entry]:
        """What a session that knows the conversation up to `since` must be told."""
        entries = self.transcript.changed_since(since)
        told = trim(
            entries,
            max_turns=self._budget.max_turns,
            max_characters=self._budget.max_characters,
        )
        return with_note(told, entries) if told else []

    def unseen_settings(self, session: ModelSession) -> dict[str, Any]:
        """What was changed since this session was opened, or began to be."""
        seen = session.settings
        return {
            each.name: value
            for each in fields(ModelSettings)
            if (value := getattr(self.settings, each.name)) != getattr(seen, each.name)
        }

    def begin(self, session: ModelSession) -> None:
        """From here on user audio goes to this session."""
        session.turns = UserTurns(
            base=self.backlog.sent_position,
            sample_rate_hz=self._outside.input_sample_rate_hz,
            is_manual=self.is_manual,
        )

    # -- following -----------------------------------------------------------------------------

    def handle(self, session: ModelSession, event: ModelEvent, *, now_s: float) -> None:
        """The session that has the floor said something."""
        self.transcript.handle(event)
        session.turns.handle(event, sent=self.backlog.sent_position)
        session.replies.handle(event, now_s=now_s)
        session.answers.handle(event)
        match event:
            case ours.SpeechStopped() | ours.InputCommitted() if self._does_reply(session):
                session.replies.expect(now_s=now_s)
            case ours.ResumptionUpdated():
                self.note_handle(session.source, event.handle)
            case _:
                pass

    @property
    def is_manual(self) -> bool:
        """Whether people say themselves when they speak."""
        return self.settings.turn_detection is False

    def _does_reply(self, session: ModelSession) -> bool:
        if session.answers.does_answer_turns(is_manual=self.is_manual):
            return True
        detection = self.settings.turn_detection
        if isinstance(detection, bool) or detection is None:
            return detection is not False
        return bool(detection.get("create_response", True))

    def is_boundary(self, session: ModelSession, *, now_s: float) -> bool:
        """Whether nobody speaks, no reply is under way and no tool call is open."""
        return (
            session.turns.speaking is None
            and session.replies.is_idle(now_s=now_s)
            and not self.transcript.has_open_calls
            and not self.backlog.waiting_samples
        )

    # -- closing -------------------------------------------------------------------------------

    def retire(self, session: ModelSession, *, is_calm: bool, now_s: float) -> list[ModelEvent]:
        """The session is no more; returns what the agent must be told for its state to be sane.

        is_calm: replaced in silence, so that nothing it heard can be half a word
        """
        turns, replies = session.turns, session.replies
        events = replies.endings()
        if (speaking := turns.speaking) is not None:
            end_ms = self.backlog.sent_position * 1000 // self._outside.input_sample_rate_hz
            events.append(ours.SpeechStopped(speaking, end_ms))
        events += [
            ours.InputTranscriptFailed(item_id, CONNECTION_LOST_TEXT)
            for item_id in turns.open_items
        ]
        self.transcript.cut_off(replies.active_items)
        is_answered_later = bool(turns.open_items) or self.transcript.has_open_calls
        self.owed = _still_owed(replies.owed(now_s=now_s), is_answered_later) + self.owed
        if not is_calm:
            self._rewind(session, now_s=now_s)
        return events

    def _rewind(self, session: ModelSession, *, now_s: float) -> None:
        # A line can be dead long before that shows: what it got since its last sign of life.
        silent_s = min(max(HARD_TAIL_S, now_s - session.last_event_s), KEPT_SENT_S)
        start = session.turns.resend_from(sent=self.backlog.sent_position, tail_s=silent_s)
        self.statistics.resent_samples += self.backlog.rewind(start)


def _common_detection(
    detection: Mapping[str, Any] | bool | None, capabilities: Capabilities
) -> Mapping[str, Any] | bool | None:
    """Turn detection without what a model cannot leave to us."""
    if not isinstance(detection, Mapping) or capabilities.has_turn_control:
        return detection
    ours_only = ("create_response", "interrupt_response")
    return {name: value for name, value in detection.items() if name not in ours_only}


def _still_owed(owed: list[OwedReply], is_answered_later: bool) -> list[OwedReply]:
    """Replies to ask for. Speech that is told again is answered when it is over, and open tool
    calls when their outputs are there; asking now would make the model answer half of it."""
    if not is_answered_later:
        return owed
    return [reply for reply in owed if reply.instructions is not None and not reply.heard]
