"""A client of WebDriver BiDi: commands over a WebSocket, and events as they come."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

from utils import OwnedTasks

COMMAND_S = 30.0

Event = dict[str, Any]


class BidiError(Exception):
    """The browser refused a command, or a script of ours failed in its page."""


class Bidi:
    """One connection to a browser; commands may overlap."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listeners: list[tuple[str, Callable[[Event], None]]] = []
        self._tasks = OwnedTasks(logging.getLogger("bidi"))
        self._tasks.start(self._read(), name="bidi messages")

    def on(self, method: str, listener: Callable[[Event], None]) -> None:
        """Call `listener` with the parameters of each event of this name."""
        self._listeners.append((method, listener))

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command.

        Raises:
            BidiError: the browser refuses it, is gone, or does not answer.
        """
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"id": number, "method": method, "params": parameters})
            async with asyncio.timeout(COMMAND_S):
                message = await answer
        except TimeoutError:
            raise BidiError(
                f"{method}: no answer in {COMMAND_S:.0f} s, does the page hang?"
            ) from None
        finally:
            self._waiting.pop(number, None)
        if message["type"] == "error":
            raise BidiError(f"{method}: {message['error']}: {message['message']}")
        result: dict[str, Any] = message["result"]
        return result

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close()
        await self._tasks.close()

    async def _read(self) -> None:
        async for frame in self._socket:
            message = frame.json()
            if message["type"] == "event":
                for method, listener in self._listeners:
                    if method == message["method"]:
                        listener(message["params"])
            elif (answer := self._waiting.get(message["id"])) is not None and not answer.done():
                answer.set_result(message)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BidiError("the browser is gone"))


def to_remote(value: Any) -> dict[str, Any]:
    """A value of JSON as an argument of a script."""
    match value:
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean", "value": value}
        case int() | float():
            return {"type": "number", "value": value}
        case str():
            return {"type": "string", "value": value}
        case list():
            return {"type": "array", "value": [to_remote(one) for one in value]}
        case dict():
            pairs = [[name, to_remote(one)] for name, one in value.items()]
            return {"type": "object", "value": pairs}
    raise TypeError(f"no value of JSON: {value!r}")
