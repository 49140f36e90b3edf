"""Idempotency keys: requests with one key are executed once and get one answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from control.http.errors import ApiError
from control.keys.access import Access

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
MAX_KEY_CHARACTERS: Final = 200
MAX_KEYS: Final = 4_096
"""Past this limit the key that was answered longest ago is forgotten."""

TTL_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    call_id: str | None = None
    """The call that the request started."""

    @property
    def is_final(self) -> bool:
        """True if a repeated request gets the same answer; otherwise it is executed again."""
        return self.status < 500 and self.status != 429


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    answer: asyncio.Future[Answer]
    answered_s: float | None = None

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Replace the answer by 410 if it names one of these calls; the key stays used."""
        if self.answered_s is None or self.answer.result().call_id not in call_ids:
            return
        self.fingerprint = ""
        self.answer = asyncio.get_running_loop().create_future()
        self.answer.set_result(_deleted())


def scoped_key(headers: Mapping[str, str], access: Access) -> str | None:
    """Return the request's key, scoped to its caller; None without one. A rotated API key stays the
    same caller.

    Raises:
        ApiError: 400, the key is malformed.
    """
    if (key := headers.get(KEY_HEADER)) is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        text = f"{KEY_HEADER}: use 1 to {MAX_KEY_CHARACTERS} visible ASCII characters"
        raise ApiError(400, "invalid_request", text)
    return f"{access.team}/{access.key}/{key}"


def _deleted() -> Answer:
    text = f"the call of this {KEY_HEADER} is deleted: use a new one for another call"
    response = ApiError(410, "call_deleted", text).response()
    return Answer(410, response.text or "", {"Content-Type": response.headers["Content-Type"]})


def digest(text: str) -> str:
    """Return a fingerprint of `text`, kept in place of the text itself."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


class IdempotentAnswers:
    """Answers by key. A request with a known key waits for that key's answer and gets it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def answer(
        self, key: str, fingerprint: str, work: Callable[[], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """Run `work` once per key; return its answer and whether it was given before.

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
            raise ApiError(
                429,
                "too_many_requests",
                "too many starts are waiting; retry later",
                retry_after_s=5,
            )
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
        """Answer the keys of these deleted calls with 410 until they expire."""
        for entry in self._entries.values():
            entry.forget_calls(call_ids)

    def _forget(self) -> None:
        """Drop expired keys, and the earliest answered ones past the limit."""
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
