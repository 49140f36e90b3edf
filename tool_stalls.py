"""Finds tools that block the event loop: steps of their coroutines that take too long.

Each step of a coroutine, from one `await` to the next, is timed. A thread looks at a step that does not
end and notes the line that it is at, so that the warning can name it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, TypeVar

T = TypeVar("T")

STALL_S: Final = 0.1
"""Five frames of audio: the loop is late for all of them."""

_LOOK_EVERY_S: Final = 0.05

_log = logging.getLogger("tools")


class Step:
    """A coroutine of a tool, while it runs. place: line of the tool where it was seen stalled"""

    def __init__(self, tool: str, place: str, find_place: Callable[[types.FrameType], str]) -> None:
        """place: of the tool's function; find_place: finds the line within a stack"""
        self.tool = tool
        self.place = place
        self._find_place = find_place
        self._thread = threading.get_ident()
        self._begun_s: float | None = None
        self._seen = ""

    def begin(self) -> None:
        """A step begins."""
        self._begun_s = time.monotonic()

    def end(self) -> None:
        """The step is over; warn if it took too long."""
        assert self._begun_s is not None
        took_s, self._begun_s = time.monotonic() - self._begun_s, None
        if took_s >= STALL_S:
            text = (
                "tool %s blocked the event loop for %.0f ms at %s: use a plain function, or await"
            )
            _log.warning(text, self.tool, took_s * 1000, self._seen or self.place)
        self._seen = ""

    def look(self, now_s: float) -> None:
        """Note the line of a step that stalls. Runs in the watching thread."""
        begun_s = self._begun_s
        if begun_s is None or self._seen or now_s - begun_s < STALL_S:
            return
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - the documented way
        if frame is not None:
            self._seen = self._find_place(frame)


class StallWatch:
    """Watches running coroutines. Its thread lives while there are any."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._lock = threading.Lock()
        self._is_watching = False

    async def run(self, coroutine: Coroutine[Any, Any, T], step: Step) -> T:
        """Run the coroutine in the present task, with its steps timed."""
        with self._lock:
            self._steps.append(step)
            if not self._is_watching:
                self._is_watching = True
                threading.Thread(target=self._watch, name="tool stalls", daemon=True).start()
        try:
            return await _Stepped(coroutine, step)
        finally:
            with self._lock:
                self._steps.remove(step)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            with self._lock:
                if not self._steps:
                    self._is_watching = False
                    return
                steps = list(self._steps)
            for step in steps:
                step.look(time.monotonic())


class _Stepped(Generator[Any, Any, T]):
    """A coroutine, to be awaited, whose steps are timed."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], step: Step) -> None:
        self._coroutine = coroutine
        self._step = step

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        self._step.begin()
        try:
            return self._coroutine.send(value)
        finally:
            self._step.end()

    def throw(self, *error: Any) -> Any:
        self._step.begin()
        try:
            return self._coroutine.throw(*error)
        finally:
            self._step.end()

    def close(self) -> None:
        self._coroutine.close()
