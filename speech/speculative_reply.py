"""`SpeculativeReply`: a reply begun before it is certain that the turn is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from speech.language_model.protocol import TokenUsage
from speech.mind import ReplyRequest
from speech.reply_counters import ReplyCounters
from speech.reply_stream import ReplyStream

EXPIRES_S: Final = 10.0
"""Age at which a reply that nobody asked for is thrown away."""

MAX_OPEN: Final = 8
"""Speculative replies of a process at a time; beyond it sessions wait until the turn is over."""

_MAX_UNASKED: Final = 2


class SpeculativeReply:
    """At most one. Nothing of it is sent, kept or counted unless the same reply is asked for.

    A client that asks for its replies itself gets them too; one that lets them expire again and
    again, because it only listens, no longer.
    """

    def __init__(
        self, start: Callable[[ReplyRequest], ReplyStream], counters: ReplyCounters
    ) -> None:
        """start: begins a reply, its first clause included."""
        self._start = start
        self._counters = counters
        self._request: ReplyRequest | None = None
        self._stream: ReplyStream | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._unasked = 0
        self._discarded_requests = 0
        self._discarded_tokens = 0

    def begin(self, request: ReplyRequest) -> None:
        """Begin this reply in place of the present one, unless it is the same."""
        if self._request is not None and self._request.is_same_as(request):
            return
        self.drop()
        is_wanted = self._unasked < _MAX_UNASKED
        if not is_wanted or self._counters.open_speculations >= MAX_OPEN:
            return
        self._counters.speculations += 1
        self._request = request
        self._stream = self._start(request)
        self._expiry = asyncio.get_running_loop().call_later(EXPIRES_S, self._expire)

    def take(self, request: ReplyRequest) -> ReplyStream | None:
        """Return the reply if it is the one that is asked for now; it is then the caller's."""
        self._unasked = 0
        if self._request is None or not self._request.is_same_as(request):
            return None
        stream = self._forget()
        self._counters.adopted += 1
        return stream

    def drop(self) -> None:
        """Speech went on, or another reply is made."""
        if (stream := self._forget()) is None:
            return
        self._counters.discarded += 1
        stream.cancel()
        if (usage := stream.usage) is not None:
            self._count_discarded(usage)

    def take_discarded(self) -> tuple[int, int]:
        """Return the model's requests and tokens that were thrown away since the last call."""
        counted = self._discarded_requests, self._discarded_tokens
        self._discarded_requests = self._discarded_tokens = 0
        return counted

    def _expire(self) -> None:
        self._unasked += 1
        self.drop()

    def _forget(self) -> ReplyStream | None:
        stream, self._stream, self._request = self._stream, None, None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        return stream

    def _count_discarded(self, usage: TokenUsage) -> None:
        tokens = usage.input_tokens + usage.output_tokens
        self._discarded_requests += 1
        self._discarded_tokens += tokens
        self._counters.discarded_requests += 1
        self._counters.discarded_tokens += tokens
