"""The calls of a load: an agent and a caller each. All that was started is stopped again."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection
from typing import Any, Final

from load.figures import Starts
from load.protocol import Failed
from load.server_api import ServerApi, ServerApiError, StartRefused
from load.workers import Workers

_STOPS_AT_ONCE: Final = 8

_log = logging.getLogger("load")


class Calls:
    """The calls that are up, newest last."""

    def __init__(self, api: ServerApi, fields: dict[str, Any]) -> None:
        """fields: of every start request, beside the channel"""
        self._api = api
        self._fields = fields
        self._name = f"load-{secrets.token_hex(3)}"
        self._count = 0
        self._connected: dict[int, str] = {}
        # Also while a start is under way: it may have succeeded although its answer never came.
        self._to_stop: dict[str, None] = {}
        self._stopping = asyncio.Semaphore(_STOPS_AT_ONCE)

    @property
    def channels(self) -> Collection[str]:
        """Channels that have, or may have, an agent of ours; a live view."""
        return self._to_stop.keys()

    def __len__(self) -> int:
        """Number of calls that are up."""
        return len(self._connected)

    async def grow(self, count: int, ramp_s: float, workers: Workers, starts: Starts) -> None:
        """Begin `count` calls, spread over `ramp_s`; what becomes of them goes into `starts`."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._begin(workers, starts))
                if number < count - 1:
                    await asyncio.sleep(ramp_s / count)

    async def shrink(self, to: int, workers: Workers) -> None:
        """End the newest calls, until `to` are left."""
        gone = list(self._connected)[to:]
        async with asyncio.TaskGroup() as group:
            for number in gone:
                workers.hang_up(number)
                group.create_task(self._stop(self._connected.pop(number)))

    async def close(self) -> None:
        """Stop every agent that was started, as well as can be."""
        self._connected.clear()
        async with asyncio.TaskGroup() as group:
            for channel in list(self._to_stop):
                group.create_task(self._stop(channel))

    async def _begin(self, workers: Workers, starts: Starts) -> None:
        number, self._count = self._count, self._count + 1
        channel = f"{self._name}-{number}"
        self._to_stop[channel] = None
        try:
            started = await self._api.start(channel, self._fields)
            if isinstance(started, StartRefused):
                kind = starts.refused if started.is_refusal else starts.failed
                kind[started.reason] += 1
                _log.info("%s: %s", channel, started.text)
                self._to_stop.pop(channel)
                return
            starts.ready_ms.append(started.took_ms)
            token = await self._api.room_token(channel)
        except ServerApiError as error:
            # A server that is overloaded does not answer: that is a figure, not the end of the load.
            starts.failed["no answer"] += 1
            _log.info("%s: %s", channel, error)
            await self._stop(channel)
            return
        result = await workers.dial(number, channel, token)
        if isinstance(result, Failed):
            starts.failed[result.reason] += 1
            await self._stop(channel)
            return
        starts.connected_ms.append(result.took_ms)
        self._connected[number] = channel

    async def _stop(self, channel: str) -> None:
        async with self._stopping:
            try:
                await self._api.stop(channel)
            except ServerApiError as error:
                _log.warning("the agent of %s is not stopped: %s", channel, error)
            self._to_stop.pop(channel, None)
