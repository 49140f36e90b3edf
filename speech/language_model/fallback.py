"""`FallbackLanguageModel`: a second model for the time in which the first one does not answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from speech.language_model.protocol import (
    ChatEvent,
    ChatRequest,
    FailureKind,
    LanguageModel,
    LanguageModelError,
)

_log = logging.getLogger(__name__)

DOWN_S: Final[dict[FailureKind, float]] = {
    "timeout": 20.0,
    "unavailable": 20.0,
    "rate_limited": 20.0,
    "refused": 60.0,
}
"""Seconds for which a failed primary is not asked. Other failures are those of one request."""

_MAX_DOWN_S: Final = 120.0


class FallbackLanguageModel:
    """Asks the primary, and the fallback if that fails before its first token or keeps it too long."""

    def __init__(
        self,
        primary: LanguageModel,
        fallback: LanguageModel,
        *,
        fallback_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """fallback_after_s: wait for the primary's first token"""
        self._primary = primary
        self._fallback = fallback
        self._fallback_after_s = fallback_after_s
        self._clock = clock
        self._down_until: float | None = None

    @property
    def name(self) -> str:
        """The primary's name; `ReplyEnd.model` says which model has answered."""
        return self._primary.name

    @property
    def is_primary_down(self) -> bool:
        """True while the fallback is asked first."""
        return self._down_until is not None and self._clock() < self._down_until

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Yield the reply of one of the models; a reply that has begun is never begun again.

        Raises:
            LanguageModelError: neither answers, or the reply broke off.
        """
        return self._stream(request)

    async def close(self) -> None:
        """Free the connections of both."""
        try:
            await self._primary.close()
        finally:
            await self._fallback.close()

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        first_is_primary = not self.is_primary_down
        models = [self._primary, self._fallback]
        for model in models if first_is_primary else models[::-1]:
            is_first = (model is self._primary) == first_is_primary
            has_begun = False
            try:
                async with aclosing(model.stream(request)) as events:
                    event = await self._first(events, model, is_first=is_first)
                    has_begun = True
                    yield event
                    async for event in events:
                        yield event
            except LanguageModelError as error:
                if not has_begun:
                    self._note(model, error)
                if has_begun or not is_first:
                    raise
                _log.warning("%s; the other model is asked", error)
            else:
                return

    async def _first(
        self, events: AsyncGenerator[ChatEvent, None], model: LanguageModel, *, is_first: bool
    ) -> ChatEvent:
        limit_s = self._fallback_after_s if is_first else None
        try:
            async with asyncio.timeout(limit_s):
                event = await anext(events)
        except TimeoutError:
            text = f"{model.name}: no token in {limit_s} s"
            raise LanguageModelError("timeout", text) from None
        if model is self._primary:
            self._down_until = None
        return event

    def _note(self, model: LanguageModel, error: LanguageModelError) -> None:
        if model is self._primary and error.kind in DOWN_S:
            down_s = min(max(error.retry_after_s or 0.0, DOWN_S[error.kind]), _MAX_DOWN_S)
            self._down_until = self._clock() + down_s
