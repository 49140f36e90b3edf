"""A reader of server-sent events for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession
from aiohttp.test_utils import TestClient

from tests.deadlines import DEADLINE_S


@dataclass(frozen=True)
class Told:
    """One event; comments have only `comment`."""

    data: dict[str, Any]
    event_id: str | None = None
    comment: str | None = None

    @property
    def type(self) -> str:
        return str(self.data.get("type"))


class EventReader:
    """Reads one open stream."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def block(self) -> Told | None:
        """The next event or comment; None at the end."""
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE_S):
            while (line := (await self.response.content.readline()).decode()) not in ("", "\n"):
                lines.append(line.rstrip("\n"))
        if not lines:
            return None
        if lines[0].startswith((":", "retry:")):
            return Told({}, comment=lines[0])
        fields = dict(line.split(": ", 1) for line in lines)
        return Told(json.loads(fields["data"]), fields.get("id"))

    async def next(self) -> Told | None:
        """The next event; None at the end."""
        while (told := await self.block()) is not None and told.comment is not None:
            pass
        return told

    async def until(self, event_type: str, **wanted: Any) -> list[Told]:
        """Everything up to and with the first event of this type and these fields."""
        seen: list[Told] = []
        while (told := await self.next()) is not None:
            seen.append(told)
            if told.type == event_type and wanted.items() <= told.data.items():
                return seen
        raise AssertionError(f"the stream ended before {event_type}: {[one.type for one in seen]}")

    async def rest(self) -> list[Told]:
        """Everything up to the end."""
        seen: list[Told] = []
        while (told := await self.next()) is not None:
            seen.append(told)
        return seen


@asynccontextmanager
async def listening(
    http: ClientSession | TestClient, path: str, last_event_id: str | None = None, **options: Any
) -> AsyncIterator[EventReader]:
    """Open the stream."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    response = await http.get(path, headers=headers, **options)
    try:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield EventReader(response)
    finally:
        response.close()
