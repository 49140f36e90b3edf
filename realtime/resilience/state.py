"""State that outlives a provider session: transcript, user audio, settings, replies still owed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.model import Capabilities, ModelSettings
from realtime.resilience.audio_backlog import KEPT_SENT_S, AudioBacklog
from realtime.resilience.id_mapping import ConversationIds
from realtime.resilience.options import ResilienceStatistics
from realtime.resilience.provider_session import ModelSource, ProviderSession
from realtime.resilience.replay import ReplayBudget, fold, trim, with_note
from realtime.resilience.response_tracker import PendingReply
from realtime.resilience.transcript import Entry, Mark, Transcript
from realtime.resilience.turn_tracker import HARD_TAIL_S, TurnTracker

CONNECTION_LOST_TEXT = "the connection to the model was lost; the audio is sent again"


class SessionState:
    """One conversation's. Does no input or output; time is an argument."""

    def __init__(self, outside: Capabilities, budget: ReplayBudget) -> None:
        """outside: the audio rates that the agent knows"""
        self.settings = ModelSettings()
        self.transcript = Transcript()
        self.ids = ConversationIds(self.transcript.remembers)
        self.backlog = AudioBacklog(outside.input_sample_rate_hz)
        self.pending: list[PendingReply] = []
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
        self,
        source: ModelSource,
        capabilities: Capabilities,
        *,
        is_own: bool,
        is_resumed: bool,
        given: ModelSettings | None = None,
    ) -> ModelSettings:
        """With what a session begins.

        given: the conversation's from then on; None: the present ones
        is_own: the settings were made for this provider; others get what every provider has
        """
        given = self.settings if given is None else given
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

    def mark_of_new_session(self, capabilities: Capabilities, *, is_resumed: bool) -> Mark:
        """Return the mark of a session that is opened now."""
        if is_resumed and self._handle is not None:
            return self._handle[2]
        return Mark() if capabilities.has_history_replay else self.transcript.mark

    def unreplayed(self, since: Mark) -> Sequence[Entry]:
        """Return the entries to replay to a session that knows the conversation up to `since`."""
        entries = self.transcript.changed_since(since)
        kept = trim(
            entries,
            max_turns=self._budget.max_turns,
            max_characters=self._budget.max_characters,
        )
        return with_note(kept, entries) if kept else []

    def unseen_settings(self, session: ProviderSession) -> dict[str, Any]:
        """Return the settings changed since this session began to open."""
        seen = session.settings
        return {
            each.name: value
            for each in fields(ModelSettings)
            if (value := getattr(self.settings, each.name)) != getattr(seen, each.name)
        }

    def begin(self, session: ProviderSession) -> None:
        """From here on user audio goes to this session."""
        session.turns = TurnTracker(
            base=self.backlog.sent_position,
            sample_rate_hz=self._outside.input_sample_rate_hz,
            is_manual=self.is_manual,
        )

    # -- following -----------------------------------------------------------------------------

    def handle(self, session: ProviderSession, event: ModelEvent, *, now_s: float) -> None:
        """The session that has the floor said something."""
        if session.replies.beside.takes(event, now_s=now_s):
            return
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
        """True if turns are marked by the client (push to talk)."""
        return self.settings.turn_detection is False

    def _does_reply(self, session: ProviderSession) -> bool:
        if session.answers.does_answer_turns(is_manual=self.is_manual):
            return True
        detection = self.settings.turn_detection
        if isinstance(detection, bool) or detection is None:
            return detection is not False
        return bool(detection.get("create_response", True))

    def is_boundary(self, session: ProviderSession, *, now_s: float) -> bool:
        """True if there is no speech, no reply under way and no open tool call."""
        return (
            session.turns.speaking is None
            and session.replies.is_idle(now_s=now_s)
            and not self.transcript.has_open_calls
            and not self.backlog.waiting_samples
        )

    # -- closing -------------------------------------------------------------------------------

    def close_session(
        self, session: ProviderSession, *, is_transcribed: bool, now_s: float
    ) -> list[ModelEvent]:
        """Take leave of a session; return the events that the agent needs for a consistent state.

        is_transcribed: replaced in silence, so that nothing it heard can be half a word
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
        self.pending = (
            _still_pending(replies.pending(now_s=now_s), is_answered_later) + self.pending
        )
        if not is_transcribed:
            self._rewind(session, now_s=now_s)
        return events

    def _rewind(self, session: ProviderSession, *, now_s: float) -> None:
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


def _still_pending(pending: list[PendingReply], is_answered_later: bool) -> list[PendingReply]:
    """Return the replies to request. Speech that is sent again is answered when it is over, and open tool
    calls when their outputs are there; asking now would make the model answer half of it."""
    if not is_answered_later:
        return pending
    return [reply for reply in pending if not reply.request.is_plain and not reply.heard]
