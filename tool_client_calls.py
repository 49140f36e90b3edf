"""Calls of pass-through tools, which a client answers."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MAX_WAITING_CLIENT_CALLS: Final = 32


class TooManyClientCallsError(Exception):
    """So many calls wait for the client already."""


class ClientCalls:
    """Calls that wait for a client's answer.

    An id is unique only within the reply that made it; the oldest call under an id is answered first.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[tuple[str, bool]]]] = {}

    async def ask(self, call_id: str, *, timeout_s: float) -> tuple[str, bool]:
        """Wait for the answer: the output, and true if the model may reply to it.

        Raises:
            TooManyClientCallsError: it was not begun.
            TimeoutError: there was no answer.
        """
        answer = self._begin(call_id)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._forget(call_id, answer)

    def _begin(self, call_id: str) -> asyncio.Future[tuple[str, bool]]:
        """Return the future that `resolve` answers.

        Raises:
            TooManyClientCallsError: as for `ask`.
        """
        if sum(map(len, self._waiting.values())) >= MAX_WAITING_CLIENT_CALLS:
            raise TooManyClientCallsError("too many tool calls are waiting for the client")
        future: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(call_id, deque()).append(future)
        return future

    def resolve(self, call_id: str, output: str, *, start_response: bool) -> bool:
        """Answer the oldest waiting call with this id; return false if none waits."""
        for future in self._waiting.get(call_id, ()):
            if not future.done():
                future.set_result((output, start_response))
                return True
        return False

    def _forget(self, call_id: str, future: asyncio.Future[tuple[str, bool]]) -> None:
        waiting = self._waiting[call_id]
        waiting.remove(future)
        if not waiting:
            del self._waiting[call_id]
