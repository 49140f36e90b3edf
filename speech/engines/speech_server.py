"""Requests to servers of OpenAI's `/v1/audio/...` shape: deadlines, one retry, errors in one line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from proxies import outbound_proxy
from speech.errors import EngineError
from untrusted.http_answer import AnswerTooLargeError, read_bounded

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
RETRY_AFTER_S: Final = 0.2
MAX_CONNECTIONS: Final = 32

_RETRIED_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
_MAX_ERROR_BYTES: Final = 2_000


class SpeechServer:
    """One server; the connections are shared by all sessions and belong to the running loop."""

    def __init__(self, base_url: str, api_key: SecretStr | None, *, read_timeout_s: float) -> None:
        """
        base_url: with the version, as OpenAI's clients take it
        read_timeout_s: limit on the wait for the answer, and for each further piece of it
        """
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s
        )
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(
        self, path: str, body: Callable[[], dict[str, Any]]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its answer, of which nothing is read yet; tried twice.

        body: makes the arguments of the request; called again for the second try

        Raises:
            EngineError: no answer in time, or another status than 2xx.
        """
        url = f"{self._base_url}{path}"
        try:
            response = await self._open(url, body)
            try:
                await _check_status(response)
                yield response
            finally:
                # Not released for another request: what was not read must not be waited for.
                response.close()
        except TimeoutError as error:
            raise EngineError(f"{url} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineError(f"{url}: {type(error).__name__}") from error

    async def _open(self, url: str, body: Callable[[], dict[str, Any]]) -> aiohttp.ClientResponse:
        try:
            response = await self._request(url, body())
            if response.status not in _RETRIED_STATUS:
                return response
            _log.info("%s answered with status %d: tried again", url, response.status)
            response.close()
        except aiohttp.ServerTimeoutError:
            raise
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            _log.info("%s: %s: tried again", url, type(error).__name__)
        await asyncio.sleep(RETRY_AFTER_S)
        return await self._request(url, body())

    async def _request(self, url: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        if self._http is None:
            connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
            self._http = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        headers = {}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.get_secret_value()}"
        return await self._http.post(
            url, headers=headers, proxy=outbound_proxy(url), allow_redirects=False, **body
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None


async def _check_status(response: aiohttp.ClientResponse) -> None:
    """Raises: EngineError: another status than 2xx, with what the server says of it."""
    if response.ok and response.status < 300:
        return
    content = (await response.content.read(_MAX_ERROR_BYTES)).decode("utf-8", errors="replace")
    said = " ".join(content.split())[:200]
    raise EngineError(f"{response.url.with_query(None)} answered {response.status}: {said}")


async def read_limited(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the whole answer.

    Raises:
        EngineError: it is longer than `limit` bytes.
    """
    try:
        return await read_bounded(response.content, limit)
    except AnswerTooLargeError as error:
        raise EngineError(f"{response.url.with_query(None)} answered with too much") from error
