"""Requests that may be sent again: one key, one deed, one answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from control.api.errors import ApiError

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
MAX_KEY_CHARACTERS: Final = 200
MAX_KEYS: Final = 4_096
"""Of more, the one that was answered longest ago is forgotten."""

TTL_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    call_id: str | None = None
    """Of the call that the request began."""

    @property
    def is_final(self) -> bool:
        """Whether the same request, sent again, deserves the same answer; else it may fare better."""
        return self.status < 500 and self.status != 429


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    answer: asyncio.Future[Answer]
    answered_s: float | None = None

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Keep that the key was used; what it was answered with goes if it tells of such a call."""
        if self.answered_s is None or self.answer.result().call_id not in call_ids:
            return
        self.fingerprint = ""
        self.answer = asyncio.get_running_loop().create_future()
        self.answer.set_result(_deleted())


def scoped_key(headers: Mapping[str, str]) -> str | None:
    """The request's key, apart from those of other callers; None without one.

    Raises:
        ApiError: 400, it cannot be one.
    """
    if (key := headers.get(KEY_HEADER)) is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        text = f"{KEY_HEADER}: use 1 to {MAX_KEY_CHARACTERS} visible ASCII characters"
        raise ApiError(400, "invalid_request", text)
    return f"{digest(headers.get('Authorization', ''))} {key}"


def _deleted() -> Answer:
    text = f"the call of this {KEY_HEADER} is deleted: use a new one for another call"
    response = ApiError(410, "call_deleted", text).response()
    return Answer(410, response.text or "", {"Content-Type": response.headers["Content-Type"]})


def digest(text: str) -> str:
    """By which texts are told apart without keeping them."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


class IdempotentAnswers:
    """Answers by key. Whoever comes with a known key gets its answer, if need be when it is there."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def answer(
        self, key: str, fingerprint: str, work: Callable[[], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """The answer of `work`, which is done once a key; and whether it was given before.

        Raises:
            ApiError: 422, the key came with another request before; 429, too many keys wait.
        """
        self._forget()
        if (known := self._entries.get(key)) is not None:
            if known.fingerprint not in (fingerprint, ""):
                text = f"this {KEY_HEADER} came with another request: use a new one"
                raise ApiError(422, "idempotency_key_reused", text)
            return await asyncio.shield(known.answer), True
        if len(self._entries) >= MAX_KEYS:
            raise ApiError(429, "too_many_requests", "too many starts wait", retry_after_s=5)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        entry = self._entries[key] = _Entry(fingerprint, future)
        try:
            answer = await work()
        except BaseException:
            del self._entries[key]
            future.cancel()
            raise
        future.set_result(answer)
        if answer.is_final:
            entry.answered_s = self._clock()
            self._entries.move_to_end(key)
        else:
            del self._entries[key]
        return answer, False

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """These calls are deleted: their keys are answered with 410 until they are too old."""
        for entry in self._entries.values():
            entry.forget_calls(call_ids)

    def _forget(self) -> None:
        """What is too old, and of too many those that were answered first."""
        now_s = self._clock()
        answered = [
            (key, entry.answered_s)
            for key, entry in self._entries.items()
            if entry.answered_s is not None
        ]
        surplus = len(self._entries) - MAX_KEYS + 1
        for number, (key, answered_s) in enumerate(answered):
            if number < surplus or now_s - answered_s >= TTL_S:
                del self._entries[key]
