"""Batches that are handled in the step of the loop in which they came, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from inline_steps import InlineSteps

T = TypeVar("T")


class Delivery(Generic[T]):
    """Hands what waits in a queue to a coroutine function, on behalf of the task that calls `run`.

    While the function has to wait, the queue keeps what comes, and bounds it as it likes.
    """

    def __init__(
        self, waiting: deque[T], handle: Callable[[list[T]], Coroutine[Any, Any, bool]]
    ) -> None:
        """handle: takes all that waits; returns False when it wants nothing more"""
        task = asyncio.current_task()
        assert task is not None
        self._waiting = waiting
        self._handle = handle
        self._steps: InlineSteps[bool] = InlineSteps(task)
        self._wake = asyncio.Event()
        # No more comes, or no more is wanted.
        self._is_closed, self._is_refused = False, False
        self._failure: Exception | None = None

    def offer(self) -> None:
        """Have all that waits handled now, or as soon as what was taken before is done."""
        while self._waiting and not (self._steps.is_busy or self._is_refused):
            batch = list(self._waiting)
            self._waiting.clear()
            try:
                done = self._steps.begin(self._handle(batch))
            except Exception as error:  # noqa: BLE001 - raised in the task that it belongs to
                self._failure, done = error, (False,)
            if done is None:
                self._wake.set()
            elif not done[0]:
                self._is_refused = True
                self._wake.set()

    def end(self) -> None:
        """Nothing more will come: `run` returns once what waits is handled. Idempotent."""
        self._is_closed = True
        self._wake.set()

    @property
    def _is_over(self) -> bool:
        is_through = self._is_refused or (self._is_closed and not self._waiting)
        return is_through and not self._steps.is_busy

    async def run(self) -> None:
        """Go on with what has to wait, until the end."""
        try:
            self.offer()
            while not self._is_over:
                await self._wake.wait()
                self._wake.clear()
                done = await self._steps.finish()
                if done is not None and not done[0]:
                    self._is_refused = True
                self.offer()
            if self._failure is not None:
                raise self._failure
        finally:
            self._is_refused = True
            self._steps.close()
