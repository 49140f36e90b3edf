"""Replies that a session still owes, and the end of those it will never finish. Pure; one a session."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from realtime import events as ours
from realtime.events import CreateResponse, ModelEvent
from realtime.resilience.side_replies import SideReplies

CONNECTION_LOST = "connection_lost"
STALL_S = 30.0
"""A reply that is due and of which nothing comes for so long will never come."""

EXPECTED_S = 5.0
"""A reply that the provider makes by itself begins within this time, or never."""

_MAX_REQUESTED = 16


@dataclass(slots=True)
class _Active:
    response_id: str
    request: CreateResponse
    has_calls: bool = False
    is_cancelled: bool = False
    is_generated: bool = False
    # Voice that was begun and not ended, by item and content part.
    speaking: dict[tuple[str, int], None] = field(default_factory=dict)
    # Parts whose voice was sent completely.
    spoken: set[tuple[str, int]] = field(default_factory=set)
    words: dict[tuple[str, int], str] = field(default_factory=dict)
    # How the words end of each part that has not ended.
    wording: dict[tuple[str, int], type[ours.TranscriptDone] | type[ours.TextDone]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class PendingReply:
    """A reply that the next session must be asked for.

    request: with which it was asked for
    heard: its words so far
    item_ids: its items, whose texts in the transcript are cut to what was heard by the time at which
        the reply is requested again; they take the place of `heard`
    """

    request: CreateResponse = field(default_factory=CreateResponse)
    heard: str = ""
    item_ids: tuple[str, ...] = ()


class ResponseTracker:
    """Follows requests for replies, and replies. beside: those outside of the conversation."""

    def __init__(self, *, now_s: float) -> None:
        self.beside = SideReplies()
        self._requested: deque[CreateResponse] = deque(maxlen=_MAX_REQUESTED)
        self._expected_until_s: float | None = None
        self._active: _Active | None = None
        self._news_s = now_s
        self.failures = 0

    @property
    def waits_for_tools(self) -> bool:
        """True while a reply is open that has called tools."""
        return self._active is not None and self._active.has_calls

    def is_idle(self, *, now_s: float) -> bool:
        """No reply is being made, and none is awaited."""
        is_busy = self._active is not None or bool(self._requested) or self._is_expected(now_s)
        return not is_busy and self.beside.is_idle(now_s=now_s)

    def _is_expected(self, now_s: float) -> bool:
        return self._expected_until_s is not None and now_s < self._expected_until_s

    @property
    def active_items(self) -> list[str]:
        """Items of the reply that is being made."""
        return [] if self._active is None else list({item for item, _ in self._active.words})

    def is_stalled(self, *, now_s: float) -> bool:
        """True if something is due that will no longer come."""
        if self._active is None and not self._requested:
            return False
        if self._active is not None and self._active.is_generated:
            return False
        return now_s - self._news_s >= STALL_S

    def request(self, request: CreateResponse, *, now_s: float) -> None:
        """A reply was asked for. Plain requests that wait are one, as at the provider."""
        if request.out_of_band is not None:
            self.beside.request(request, now_s=now_s)
            return
        if not request.is_plain or request not in self._requested:
            self._requested.append(request)
        self._news_s = now_s

    def expect(self, *, now_s: float) -> None:
        """The provider will reply by itself to what the user said."""
        self._expected_until_s = now_s + EXPECTED_S

    def handle_tools_answered(self, *, now_s: float) -> None:
        """A provider that goes on by itself got the outputs of all calls."""
        if self._active is None:
            self.expect(now_s=now_s)
        else:
            self._active.has_calls = False

    def cancel(self) -> None:
        """Mark the replies under way as cancelled."""
        self._requested.clear()
        self._expected_until_s = None
        if self._active is not None:
            self._active.is_cancelled = True

    def handle(self, event: ModelEvent, *, now_s: float) -> None:
        """The provider said something."""
        if self._active is None or self._active.has_calls or _is_of_reply(event):
            self._news_s = now_s
        match event:
            case ours.ResponseCreated():
                self._begin(event.response_id, is_expected=self._is_expected(now_s))
            case ours.ResponseDone():
                is_failure = event.status is ours.ResponseStatus.FAILED
                self.failures = self.failures + 1 if is_failure else 0
                if self._active is not None and self._active.response_id == event.response_id:
                    self._active = None
            case ours.SpeechStarted():
                # Whatever was coming by itself, the user goes on: the turn is not over.
                self._expected_until_s = None
            case ours.ProviderError():
                # Perhaps a refusal, and the agent hears of it: nothing more is to be awaited.
                self._requested.clear()
            case _ if self._active is not None:
                self._follow(self._active, event)

    def _begin(self, response_id: str, *, is_expected: bool) -> None:
        request = CreateResponse()
        if self._requested and not is_expected:
            request = self._requested.popleft()
        self._expected_until_s = None
        if request.is_plain and request in self._requested:
            self._requested.remove(request)
        self._active = _Active(response_id, request)

    def _follow(self, active: _Active, event: ModelEvent) -> None:
        match event:
            case ours.AudioDelta():
                active.speaking[event.item_id, event.content_index] = None
            case ours.AudioDone():
                active.speaking.pop((event.item_id, event.content_index), None)
                active.spoken.add((event.item_id, event.content_index))
            case ours.TranscriptDelta() | ours.TextDelta():
                part = (event.item_id, event.content_index)
                active.words[part] = active.words.get(part, "") + event.delta
                is_spoken = isinstance(event, ours.TranscriptDelta)
                active.wording[part] = ours.TranscriptDone if is_spoken else ours.TextDone
            case ours.TranscriptDone() | ours.TextDone():
                active.wording.pop((event.item_id, event.content_index), None)
            case ours.ToolCallRequested():
                active.has_calls = True
            case ours.GenerationDone():
                active.is_generated = True
            case ours.Interrupted():
                active.is_cancelled = True
            case _:
                pass

    def pending_active(self) -> PendingReply | None:
        """The replies still owed if nothing more comes of the active one."""
        active = self._active
        if active is None or active.has_calls or active.is_cancelled:
            return None
        words = " ".join(active.words.values()).strip()
        return PendingReply(active.request, words, tuple(self.active_items))

    def pending(self, *, now_s: float) -> list[PendingReply]:
        """Replies to ask the next session for, in order.

        A reply that called tools is owed nothing: its follow-up is asked for with their outputs.
        """
        pending: list[PendingReply] = []
        if self._active is not None:
            reply = self.pending_active()
            if reply is not None and not self._active.is_generated:
                pending.append(reply)
        elif self._is_expected(now_s):
            pending.append(PendingReply())
        requested = [*self._requested, *self.beside.pending(now_s=now_s)]
        return pending + [PendingReply(request) for request in requested]

    @staticmethod
    def _unspoken(active: _Active) -> list[tuple[str, int]]:
        return [
            part
            for part, done in active.wording.items()
            if done is ours.TranscriptDone and part not in active.spoken
        ]

    def endings(self) -> list[ModelEvent]:
        """Events that end the replies in progress where they are."""
        events: list[ModelEvent] = self.beside.endings(CONNECTION_LOST)
        active = self._active
        if active is None:
            return events
        response_id = active.response_id
        for part, done in active.wording.items():
            events.append(done(response_id, *part, active.words[part]))
        # Words run ahead of the voice: those of a part without any voice yet were not heard at all.
        events += [
            ours.AudioDone(response_id, item_id, index, is_complete=False)
            for item_id, index in active.speaking | dict.fromkeys(self._unspoken(active))
        ]
        if not active.is_generated:
            events.append(ours.GenerationDone(response_id))
        status = ours.ResponseStatus.FAILED
        events.append(ours.ResponseDone(response_id, status, CONNECTION_LOST))
        return events


def _is_of_reply(event: ModelEvent) -> bool:
    """True if the event shows that the active reply goes on; events about the user do not."""
    other = (ours.HostedToolProgress, ours.ToolApprovalRequested, ours.ProviderError)
    return getattr(event, "response_id", None) is not None or isinstance(event, other)
