"""A language model that answers by script, and waits in the middle of it where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from speech.language_model.protocol import (
    ChatEvent,
    ChatRequest,
    ReplyEnd,
    TextDelta,
    TokenUsage,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
)
from tests.deadlines import DEADLINE_S

Step = ChatEvent | str | asyncio.Event | Exception
"""An event, a text delta, something to wait for, or a failure."""

USAGE = TokenUsage(input_tokens=120, output_tokens=17, cached_tokens=96)
END = ReplyEnd("stop", "scripted", USAGE)


class ScriptedModel:
    """Answers each request with the next script, or with the last one for ever."""

    name = "scripted"

    def __init__(self, *scripts: list[Step]) -> None:
        self.scripts = list(scripts)
        self.requests: list[ChatRequest] = []
        self.cancelled: list[int] = []
        self.is_closed = False
        self._changed = asyncio.Condition()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """The script of this request; numbers of those closed before their end are kept."""
        number = len(self.requests)
        self.requests.append(request)
        await self._tell()
        is_over = False
        try:
            for step in self.scripts[min(number, len(self.scripts) - 1)]:
                match step:
                    case asyncio.Event():
                        await step.wait()
                    case Exception():
                        is_over = True
                        raise step
                    case str():
                        yield TextDelta(step)
                    case _:
                        yield step
            is_over = True
        finally:
            if not is_over:
                self.cancelled.append(number)

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True

    async def asked(self, count: int) -> None:
        """Wait for this many requests."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def said(self, number: int = -1) -> list[tuple[str, str]]:
        """Roles and texts of a request, the system text left out."""
        messages = self.requests[number].messages[1:]
        return [(each["role"], each["content"] or "") for each in messages]


def words(*texts: str) -> list[Step]:
    """A reply of these deltas."""
    return [*texts, END]


def call(index: int, name: str, *pieces: str) -> list[Step]:
    """A tool call whose arguments come in pieces."""
    deltas = [ToolArgumentsDelta(index, piece) for piece in pieces]
    return [
        ToolCallStarted(index, f"call_{index}", name),
        *deltas,
        ToolCallDone(index, "".join(pieces)),
    ]
