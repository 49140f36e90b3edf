"""Which replies a session owes, and how to end those it will never finish. Pure; one a session."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from realtime import events as ours
from realtime.events import ModelEvent

CONNECTION_LOST = "connection_lost"
STALL_S = 30.0
"""A reply that is due and of which nothing comes for so long will never come."""

EXPECTED_S = 5.0
"""A reply that the provider makes by itself begins within this time, or never."""

_MAX_REQUESTED = 16


@dataclass(slots=True)
class _Active:
    response_id: str
    instructions: str | None
    has_calls: bool = False
    is_cancelled: bool = False
    is_generated: bool = False
    # Voice that was begun and not ended, by item and content part.
    speaking: dict[tuple[str, int], None] = field(default_factory=dict)
    words: dict[tuple[str, int], str] = field(default_factory=dict)
    # How the words end of each part that has not ended.
    wording: dict[tuple[str, int], type[ours.TranscriptDone] | type[ours.TextDone]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class OwedReply:
    """A reply that the next session must be asked for.

    instructions: of its own, if it was asked for with any
    heard: its words that people may have heard already
    """

    instructions: str | None = None
    heard: str = ""


class ReplyWatch:
    """Follows requests for replies, and replies."""

    def __init__(self, *, now_s: float) -> None:
        self._requested: deque[str | None] = deque(maxlen=_MAX_REQUESTED)
        self._expected_until_s: float | None = None
        self._active: _Active | None = None
        self._news_s = now_s
        self.failures = 0

    def is_idle(self, *, now_s: float) -> bool:
        """No reply is being made, and none is awaited."""
        return self._active is None and not self._requested and not self._is_expected(now_s)

    def _is_expected(self, now_s: float) -> bool:
        return self._expected_until_s is not None and now_s < self._expected_until_s

    @property
    def active_items(self) -> list[str]:
        """Items of the reply that is being made."""
        return [] if self._active is None else list({item for item, _ in self._active.words})

    def is_stalled(self, *, now_s: float) -> bool:
        """Whether something is due that will not come any more."""
        if self._active is None and not self._requested:
            return False
        if self._active is not None and self._active.is_generated:
            return False
        return now_s - self._news_s >= STALL_S

    def request(self, instructions: str | None, *, now_s: float) -> None:
        """A reply was asked for. Plain requests that wait are one, as at the provider."""
        if instructions is not None or None not in self._requested:
            self._requested.append(instructions)
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
        """Nobody wants the replies under way any more."""
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
        instructions = None
        if self._requested and not is_expected:
            instructions = self._requested.popleft()
        self._expected_until_s = None
        if instructions is None and None in self._requested:
            self._requested.remove(None)
        self._active = _Active(response_id, instructions)

    def _follow(self, active: _Active, event: ModelEvent) -> None:
        match event:
            case ours.AudioDelta():
                active.speaking[event.item_id, event.content_index] = None
            case ours.AudioDone():
                active.speaking.pop((event.item_id, event.content_index), None)
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

    def active_owed(self) -> OwedReply | None:
        """What is owed if nothing more comes of the active reply."""
        active = self._active
        if active is None or active.has_calls or active.is_cancelled:
            return None
        return OwedReply(active.instructions, " ".join(active.words.values()).strip())

    def owed(self, *, now_s: float) -> list[OwedReply]:
        """Replies to ask the next session for, in order.

        A reply that called tools is owed nothing: its follow-up is asked for with their outputs.
        """
        owed: list[OwedReply] = []
        if self._active is not None:
            reply = self.active_owed()
            if reply is not None and not self._active.is_generated:
                owed.append(reply)
        elif self._is_expected(now_s):
            owed.append(OwedReply())
        return owed + [OwedReply(instructions) for instructions in self._requested]

    def endings(self) -> list[ModelEvent]:
        """Events that end the active reply where it is."""
        active = self._active
        if active is None:
            return []
        response_id = active.response_id
        events: list[ModelEvent] = []
        for part, done in active.wording.items():
            events.append(done(response_id, *part, active.words[part]))
        for item_id, index in active.speaking:
            events.append(ours.AudioDone(response_id, item_id, index))
        if not active.is_generated:
            events.append(ours.GenerationDone(response_id))
        status = ours.ResponseStatus.FAILED
        events.append(ours.ResponseDone(response_id, status, CONNECTION_LOST))
        return events


def _is_of_reply(event: ModelEvent) -> bool:
    """Whether it shows that the active reply goes on; what is heard of the user does not."""
    other = (ours.HostedToolProgress, ours.ToolApprovalRequested, ours.ProviderError)
    return getattr(event, "response_id", None) is not None or isinstance(event, other)
