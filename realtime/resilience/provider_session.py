"""One provider session of a conversation that outlives it (see `realtime.resilience.model`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from audio import Resampler
from realtime import events as ours
from realtime.deadline import within
from realtime.events import ModelCommand, ModelEvent
from realtime.model import (
    Capabilities,
    ModelDisconnectedError,
    ModelSettings,
    RealtimeModel,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.resilience.event_bounds import Bounds
from realtime.resilience.id_mapping import ConversationIds, SessionIds
from realtime.resilience.options import ResilienceStatistics
from realtime.resilience.response_dedup import ResponseDedup
from realtime.resilience.response_tracker import ResponseTracker
from realtime.resilience.retry_policy import Failure
from realtime.resilience.rotation import RotationPlan
from realtime.resilience.transcript import Mark
from realtime.resilience.turn_tracker import TurnTracker
from utils import BoundedDict

SEND_TIMEOUT_S = 5.0
"""A provider that takes nothing for so long takes nothing any more."""

MAX_OWN_IDS = 4_096
"""Of so many items it is known that they are this session's; older ones are never cut any more."""

MALFORMED_LIMIT = 20
"""So many events in a row that break the protocol, and it is not a protocol any more."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A provider that can be asked for sessions.

    config: how to reach it; of its settings only the voice is its own, the rest is the
        conversation's
    """

    name: str
    create: Callable[[], RealtimeModel]
    config: RealtimeModelConfig


class ProviderSession:
    """An open session with what is known of its turns, replies, ids and end."""

    def __init__(
        self,
        source: ModelSource,
        model: RealtimeModel,
        statistics: ResilienceStatistics,
        *,
        outside: Capabilities,
        settings: ModelSettings,
        knows: Mark,
        ids: ConversationIds,
        now_s: float,
    ) -> None:
        """
        outside: capabilities shown to the agent, with its audio rates
        settings: the conversation's, when it was opened
        knows: the part of the transcript it began with
        ids: the conversation's
        """
        self.source = source
        self.model = model
        self.settings = settings
        self.knows = knows
        self.opened_s = now_s
        self.opened: ours.SessionOpened | None = None
        self.plan = RotationPlan(opened_s=now_s, cap_s=model.capabilities.session_cap_s)
        self.replies = ResponseTracker(now_s=now_s)
        self.answers = ResponseDedup(outside, model.capabilities)
        self.turns = TurnTracker(
            base=0, sample_rate_hz=outside.input_sample_rate_hz, is_manual=False
        )
        self.ended: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()
        self.last_event_s = now_s
        self.replayed_calls: set[str] = set()
        self._statistics = statistics
        self._session_ids = SessionIds(ids)
        self._bounds = Bounds()
        # Ids of earlier sessions, and of this one, as this one knows them.
        self._ids: dict[str, str] = {}
        self._replays: BoundedDict[str, None] = BoundedDict(MAX_OWN_IDS)
        self._own_ids: BoundedDict[str, None] = BoundedDict(MAX_OWN_IDS)
        self._malformed = 0
        inside = model.capabilities
        self._ears = Resampler(outside.input_sample_rate_hz, inside.input_sample_rate_hz)
        self._output_rate_hz = outside.output_sample_rate_hz
        self._mouth = Resampler(inside.output_sample_rate_hz, outside.output_sample_rate_hz)

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this session's model."""
        return self.model.capabilities

    def end(self, failure: Failure) -> None:
        """The session is of no more use; of several reasons the first counts."""
        if not self.ended.done():
            self.ended.set_result(failure)

    # -- sending -------------------------------------------------------------------------------

    async def deliver(self, command: ModelCommand) -> bool:
        """Send a command; False when the session turns out to be gone.

        Raises:
            UnsupportedCommandError: its model cannot do that.
        """
        adapted = self._adapt(command)
        if adapted is None:
            return True
        adapted = self._session_ids.outward(adapted)
        try:
            await within(SEND_TIMEOUT_S, self.model.send(adapted))
        except TimeoutError:
            self.end(Failure("send_stalled"))
            return False
        except ModelDisconnectedError:
            # The reader of its events finds the reason and reports it.
            return False
        return True

    async def offer(self, command: ModelCommand) -> None:
        """Send a command; what its model cannot do is left out, and counted."""
        try:
            await self.deliver(command)
        except UnsupportedCommandError:
            self._statistics.unreplayable += 1

    def _adapt(self, command: ModelCommand) -> ModelCommand | None:
        """In this session's rate and ids; None when it means nothing to it."""
        match command:
            case ours.AppendAudio():
                pcm = self._ears.push(command.pcm)
                return command if pcm is command.pcm else replace(command, pcm=pcm)
            case ours.TruncateItem() if not self.capabilities.has_truncation:
                return None
            case ours.TruncateItem() | ours.DeleteItem():
                return self._with_known_id(command)
            case ours.AddText(item_id=str() as item_id):
                self._own(item_id)
                return command
            case ours.CreateResponse(input_items=tuple() as items):
                known = tuple(known for item in items if (known := self._known_item(item)))
                return replace(command, input_items=known)
            case _:
                return command

    def _known_item(self, item: ours.InputItem) -> ours.InputItem | None:
        """In this session's ids; None for the reference to an item that it does not have."""
        if not isinstance(item, ours.ItemReference) or item.item_id in self._own_ids:
            return item
        if item.item_id in self._ids:
            return ours.ItemReference(self._ids[item.item_id])
        self._statistics.stale_ids += 1
        return None

    def _own(self, item_id: str) -> None:
        self._own_ids[item_id] = None

    def _with_known_id(
        self, command: ours.TruncateItem | ours.DeleteItem
    ) -> ours.TruncateItem | ours.DeleteItem | None:
        if command.item_id in self._own_ids:
            return command
        # Replayed text has no audio that could be cut.
        if isinstance(command, ours.DeleteItem) and command.item_id in self._ids:
            return replace(command, item_id=self._ids[command.item_id])
        self._statistics.stale_ids += 1
        return None

    def replayed_id(self, item_id: str) -> str | None:
        """Return the id under which an item of an earlier session was replayed to this one."""
        return self._ids.get(item_id)

    def note_replayed(self, item_id: str, new_id: str) -> None:
        """Record that an item of an earlier session was replayed to this one."""
        self._ids[item_id] = new_id
        self._replays[new_id] = None

    def is_replay(self, item_id: str) -> bool:
        """Return true if this session's item is the replay of an earlier one."""
        return item_id in self._replays

    # -- receiving -----------------------------------------------------------------------------

    def inward(self, event: ModelEvent) -> list[ModelEvent]:
        """The event with the conversation's ids in place of its provider's, and not too large."""
        return self._bounds.bounded(self._session_ids.inward(event))

    def note(self, event: ModelEvent, *, now_s: float, wall_s: float) -> None:
        """Learn from an event, also while another session has the floor."""
        self.last_event_s = now_s
        match event:
            case ours.SessionOpened():
                self.opened = event
                if event.expires_at_s is not None:
                    self.plan.note_end(now_s + event.expires_at_s - wall_s, now_s=now_s)
            case ours.ItemAdded() | ours.AudioDelta() | ours.TranscriptDelta() | ours.TextDelta():
                self._own(event.item_id)
            case ours.ToolCallRequested():
                self.replayed_calls.add(event.call_id)
            case ours.SessionEnded():
                self.end(Failure(event.code, is_retryable=event.is_retryable))
            case ours.ProviderError(code="malformed_event"):
                self._malformed += 1
                if self._malformed >= MALFORMED_LIMIT:
                    self.end(Failure("malformed_burst"))
                return
            case _:
                pass
        self._malformed = 0

    def outward(self, event: ModelEvent) -> ModelEvent:
        """The event with times and rates of the conversation instead of this session's."""
        match event:
            case ours.AudioDelta() if event.sample_rate_hz != self._output_rate_hz:
                pcm = self._mouth.push(event.pcm)
                return replace(event, pcm=pcm, sample_rate_hz=self._output_rate_hz)
            case ours.SpeechStarted():
                at_ms = event.audio_start_ms + self.turns.base_ms
                return replace(event, audio_start_ms=at_ms)
            case ours.SpeechStopped():
                return replace(event, audio_end_ms=event.audio_end_ms + self.turns.base_ms)
            case _:
                return event
