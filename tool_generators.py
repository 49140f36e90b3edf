"""Values of tools that are generators: progress that is spoken while they go on, and the result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from tool_results import MAX_OUTPUT_CHARACTERS

MAX_PROGRESS: Final = 20
"""Texts of one call that are spoken; further ones are dropped."""

MAX_PROGRESS_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """Words to be spoken while a tool goes on; yielded by its generator."""

    text: str


class Collected:
    """What a generator has given.

    Without any `Progress`, the result of a generator is the list of its values. With one, it is the
    last other value. A value that a plain generator returns is the result in any case.
    """

    def __init__(self, on_progress: Callable[[str], object]) -> None:
        self._on_progress = on_progress
        self._values: list[Any] = []
        self._progress = 0
        self._returned: Any = None

    @property
    def result(self) -> Any:
        """The tool's result."""
        if self._returned is not None:
            return self._returned
        if self._progress:
            return self._values[-1] if self._values else None
        return self._values

    def take(self, value: Any) -> bool:
        """Take the next value; return false if no further one would fit into an output."""
        if isinstance(value, Progress):
            self._progress += 1
            if self._progress <= MAX_PROGRESS:
                self._on_progress(value.text[:MAX_PROGRESS_CHARACTERS])
            return True
        if self._progress:
            self._values.clear()
        self._values.append(value)
        return len(self._values) <= MAX_OUTPUT_CHARACTERS

    def take_all(self, values: Generator[Any, Any, Any]) -> Any:
        """Run a plain generator to its end; return the result."""
        try:
            while self.take(next(values)):
                pass
        except StopIteration as end:
            self._returned = end.value
        return self.result

    async def take_all_async(self, values: AsyncIterator[Any]) -> Any:
        """Run an asynchronous generator to its end; return the result."""
        async for value in values:
            if not self.take(value):
                break
        return self.result
