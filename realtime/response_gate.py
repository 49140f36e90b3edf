"""One reply at a time: when a request for a reply may be sent to a provider that refuses a second.

Pure: time is an argument. A request that must wait goes out when the active reply is over. Plain
requests that wait are one request, since one reply answers them all; a request with anything of its
own is never merged. Replies outside of the conversation have a gate of their own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from realtime.events import (
    CreateResponse,
    ModelEvent,
    ResponseCreated,
    ResponseDone,
    ResponseStatus,
)

MAX_WAITING = 16
ANSWER_TIMEOUT_S = 5.0
"""Wait for the start of a requested reply, or for the end of a cancelled one, before going on."""

_UNANNOUNCED = ""


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """A request to send, under an id of ours that a refusal will name."""

    event_id: str
    command: CreateResponse


class ResponseGate:
    """Follows one session's replies."""

    def __init__(self, prefix: str = "reply") -> None:
        """prefix: of the ids of requests"""
        self._prefix = prefix
        # Of too many, the oldest is dropped.
        self._waiting: deque[CreateResponse] = deque(maxlen=MAX_WAITING)
        self._active: str | None = None
        self._sent: ReplyRequest | None = None
        # While something ought to end soon: when we stop believing that it will.
        self._deadline_s: float | None = None
        self._count = 0

    @property
    def active(self) -> str | None:
        """The reply that is being made, if any."""
        return self._active

    @property
    def deadline_s(self) -> float | None:
        """The time to call `next_due` even without an event, if any."""
        return self._deadline_s

    def request(self, command: CreateResponse, *, now_s: float) -> ReplyRequest | None:
        """Request a reply; return the request to send now, if any."""
        if not command.is_plain or command not in self._waiting:
            self._waiting.append(command)
        return self.next_due(now_s=now_s)

    def handle_created(self, response_id: str) -> CreateResponse | None:
        """The provider began a reply, ours or one of its own; return the request that it may answer."""
        is_first = self._active is None
        self._active = response_id
        self._deadline_s = None
        return self._sent.command if is_first and self._sent is not None else None

    def handle_cancel(self, *, now_s: float) -> None:
        """We asked for the end of the active reply."""
        if self._active is not None:
            self._deadline_s = now_s + ANSWER_TIMEOUT_S

    def handle_done(self, response_id: str) -> None:
        """The provider ended a reply."""
        if self._active in (response_id, _UNANNOUNCED):
            self._active = self._deadline_s = self._sent = None

    def handle_refused(
        self, event_id: str | None, *, is_busy: bool, now_s: float
    ) -> CreateResponse | None:
        """The provider answered a message of ours with an error; return the request that is lost by it.

        event_id: the message's; None when the provider does not say
        is_busy: the reason is another active reply, so the request must be sent again
        """
        sent = self._sent
        if sent is None or (event_id != sent.event_id and not (is_busy and event_id is None)):
            return None
        self._sent = None
        if is_busy:
            self._put_back(sent.command)
        if self._active is None:
            # Sending again at once would be refused again, and so on for ever.
            self._active = _UNANNOUNCED if is_busy else None
            self._deadline_s = now_s + ANSWER_TIMEOUT_S if is_busy else None
        return None if is_busy else sent.command

    def next_due(self, *, now_s: float) -> ReplyRequest | None:
        """Return the request to send now, if any; call after every event, and at `deadline_s`."""
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._active = self._sent = self._deadline_s = None
        if self._active is not None or self._sent is not None or not self._waiting:
            return None
        self._count += 1
        self._sent = ReplyRequest(f"{self._prefix}_{self._count}", self._waiting.popleft())
        self._deadline_s = now_s + ANSWER_TIMEOUT_S
        return self._sent

    def _put_back(self, command: CreateResponse) -> None:
        if not command.is_plain or command not in self._waiting:
            self._waiting.appendleft(command)


def refused_reply(command: CreateResponse, reason: str) -> list[ModelEvent]:
    """Return the events that end a reply outside of the conversation that never began."""
    mark, metadata = command.out_of_band, command.metadata or {}
    assert mark is not None, "only the sender of such a request waits for this reply and no other"
    response_id = f"refused_{mark.key}"
    failed = ResponseStatus.FAILED
    return [
        ResponseCreated(response_id, metadata, mark),
        ResponseDone(response_id, failed, reason, metadata=metadata, out_of_band=mark),
    ]
