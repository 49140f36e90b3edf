"""One reply at a time: when a request for a reply may be sent to a provider that refuses a second.

Pure: time is an argument. A request that must wait goes out when the active reply is over. Plain
requests that wait are one request, since one reply answers them all; a request with instructions
of its own is never merged.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_WAITING = 16
ANSWER_TIMEOUT_S = 5.0
"""How long a request, or the end of a cancelled reply, is waited for before we go on without."""

_UNANNOUNCED = ""


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """A request to send, under an id of ours that a refusal will name."""

    event_id: str
    instructions: str | None


class ResponseGate:
    """Follows one session's replies."""

    def __init__(self) -> None:
        # Instructions of each waiting request; of too many, the oldest is dropped.
        self._waiting: deque[str | None] = deque(maxlen=MAX_WAITING)
        self._active: str | None = None
        self._sent: ReplyRequest | None = None
        # While something ought to end soon: when we stop believing that it will.
        self._deadline_s: float | None = None
        self._count = 0

    @property
    def deadline_s(self) -> float | None:
        """When to ask for `next_due` though nothing happened, if ever."""
        return self._deadline_s

    def request(self, instructions: str | None, *, now_s: float) -> ReplyRequest | None:
        """Somebody wants a reply: what to send now, if anything."""
        if instructions is not None or None not in self._waiting:
            self._waiting.append(instructions)
        return self.next_due(now_s=now_s)

    def handle_created(self, response_id: str) -> None:
        """The provider began a reply, ours or one of its own."""
        self._active = response_id
        self._deadline_s = None

    def handle_cancel(self, *, now_s: float) -> None:
        """We asked for the end of the active reply."""
        if self._active is not None:
            self._deadline_s = now_s + ANSWER_TIMEOUT_S

    def handle_done(self, response_id: str) -> None:
        """The provider ended a reply."""
        if self._active in (response_id, _UNANNOUNCED):
            self._active = self._deadline_s = self._sent = None

    def handle_refused(self, event_id: str | None, *, is_busy: bool, now_s: float) -> None:
        """The provider answered a message of ours with an error.

        event_id: the message's; None when the provider does not say
        is_busy: the reason is another active reply, so the request must be sent again
        """
        sent = self._sent
        if sent is None or (event_id != sent.event_id and not (is_busy and event_id is None)):
            return
        self._sent = None
        if is_busy:
            self._put_back(sent.instructions)
        if self._active is None:
            # Sending again at once would be refused again, and so on for ever.
            self._active = _UNANNOUNCED if is_busy else None
            self._deadline_s = now_s + ANSWER_TIMEOUT_S if is_busy else None

    def next_due(self, *, now_s: float) -> ReplyRequest | None:
        """What to send now, if anything; to be asked after every event, and at `deadline_s`."""
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._active = self._sent = self._deadline_s = None
        if self._active is not None or self._sent is not None or not self._waiting:
            return None
        self._count += 1
        self._sent = ReplyRequest(f"reply_{self._count}", self._waiting.popleft())
        self._deadline_s = now_s + ANSWER_TIMEOUT_S
        return self._sent

    def _put_back(self, instructions: str | None) -> None:
        if instructions is not None or None not in self._waiting:
            self._waiting.appendleft(instructions)
