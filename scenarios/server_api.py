"""The control API, as far as a scenario needs it (docs/control.md)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from scenarios.format import ScenarioError
from untrusted.http_answer import NoAnswerError, fetch
from untrusted.json_reader import InvalidJsonError, read_object

_TIMEOUT_S: Final = 90.0
"""Of a request: a start waits until the agent is ready, and the first one loads the local model."""

_BUSY_TRIES_S: Final = 60.0
"""How long a start is repeated that the server has no room for now."""

_BUSY_PAUSE_S: Final = 2.0

_END_S: Final = 30.0
"""How long the end of a call may take to reach its record."""


class RefusedError(ScenarioError):
    """The server refuses a request. status: HTTP's; code: the API's word for it"""

    def __init__(self, problem: str, status: int, code: str) -> None:
        super().__init__(problem)
        self.status, self.code = status, code


class ServerApi:
    """Requests to one server; a context manager."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to GET, or to POST with a `body`.

        Raises:
            RefusedError: The server refuses.
            ScenarioError: No server answers, or what answers is none of ours.
        """
        assert self._http is not None
        url = f"{self.url}{path}"
        try:
            status, data = await fetch(self._http, url, body=body, timeout_s=_TIMEOUT_S)
            content = read_object(data)
        except NoAnswerError as error:
            raise ScenarioError(str(error)) from error
        except InvalidJsonError as error:
            raise ScenarioError(f"{url} is no server of this kind") from error
        if status >= 400:
            problem = str(content.get("error") or f"status {status}")
            raise RefusedError(f"{path}: {problem}", status, str(content.get("code") or ""))
        return content

    async def start(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Start an agent, and return the answer when it is ready; waits for room if there is none now.

        Raises:
            ScenarioError: It cannot be started.
        """
        give_up_s = time.monotonic() + _BUSY_TRIES_S
        while True:
            try:
                return await self.ask("/start_agent", body)
            except RefusedError as refusal:
                if refusal.code != "at_capacity" or time.monotonic() > give_up_s:
                    raise
            await asyncio.sleep(_BUSY_PAUSE_S)

    async def stop(self, channel_name: str) -> None:
        """End a call; one that has ended is no mistake."""
        with contextlib.suppress(RefusedError):
            await self.ask("/stop_agent", {"channel_name": channel_name})

    async def user_token(self, channel_name: str, uid: int) -> str | None:
        """Return a person's room token; None: this server needs none."""
        wanted = {"channel_name": channel_name, "uid": uid, "role": "user", "ttl_s": 3600}
        token = (await self.ask("/token", wanted)).get("token")
        return None if token is None else str(token)

    async def agent_process(self, channel_name: str) -> int | None:
        """Return the process of a channel's agent."""
        for each in (await self.ask("/agents")).get("agents", ()):
            if each.get("channel_name") == channel_name and each.get("pid") is not None:
                return int(each["pid"])
        return None

    async def ended_call(self, call_id: str) -> dict[str, Any]:
        """Return the record of a call that ends now; as it is, if that takes too long.

        Empty if this server does not have it, as after an upgrade to another one in mid-call.
        """
        record: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                while record.get("exit_reason") is None:
                    try:
                        record = await self.ask(f"/calls/{call_id}")
                    except RefusedError as refusal:
                        if refusal.status == HTTPStatus.NOT_FOUND:
                            break
                        raise
                    if record.get("exit_reason") is None:
                        await asyncio.sleep(0.1)
        return record
