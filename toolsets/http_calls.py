"""Requests of HTTP tools, within the allow-list of hosts and within bounds."""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Mapping
from typing import Any, Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from proxies import outbound_proxy
from tools import ToolError
from toolsets.http_hosts import HttpHosts
from untrusted.http_answer import AnswerTooLargeError, read_bounded
from untrusted.json_reader import InvalidJsonError, read_json

MAX_ERROR_CHARACTERS: Final = 500
"""Of an answer that reports an error."""

MAX_CONNECTIONS: Final = 8
MIN_MASKED_CHARACTERS: Final = 6
_MASK: Final = "[secret]"
_TEXTS: Final = ("application/xml", "application/x-www-form-urlencoded")

_log = logging.getLogger("tools.http")


class AddressNotAllowedError(OSError):
    """A name leads to addresses that the allow-list does not have."""


class _CheckedResolver(AbstractResolver):
    """Resolves names to addresses that the allow-list permits: a name of ours may be rebound."""

    def __init__(self, hosts: HttpHosts) -> None:
        self._hosts = hosts
        self._resolver: AbstractResolver = aiohttp.ThreadedResolver()
        # They resolve by themselves what they are asked for.
        self.proxies: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve `host`.

        Raises:
            OSError: it has no address that may be called.
        """
        found = await self._resolver.resolve(host, port, family)
        if host in self.proxies:
            return found
        allowed = [one for one in found if self._hosts.allows_address(host, one["host"])]
        if not allowed:
            raise AddressNotAllowedError("its address is not in HTTP_TOOL_HOSTS")
        return allowed

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class HttpCalls:
    """Makes the requests of one agent's HTTP tools. Redirects are not followed, cookies not kept."""

    def __init__(self, hosts: HttpHosts) -> None:
        self._hosts = hosts
        self._http: aiohttp.ClientSession | None = None
        self._resolver: _CheckedResolver | None = None

    def allows(self, url: yarl.URL) -> bool:
        """Return true if the host of `url` may be called."""
        return self._hosts.allows(url)

    async def request(
        self,
        method: str,
        url: yarl.URL,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None,
        secrets: Collection[str],
        max_bytes: int,
    ) -> Any:
        """Make a request; return the JSON value or the text of the answer.

        secrets: texts that are masked in the answer

        Raises:
            ToolError: there is no good answer, in words for the model.
        """
        if not self.allows(url):
            raise ToolError(f"{url.host} is not in HTTP_TOOL_HOSTS")
        proxy = outbound_proxy(url)
        http = self._session(proxy)
        try:
            async with http.request(
                method, url, headers=headers, json=body, allow_redirects=False, proxy=proxy
            ) as response:
                data = _masked(await read_bounded(response.content, max_bytes), secrets)
                return read_http_answer(
                    response.status, response.content_type, response.charset, data
                )
        except AnswerTooLargeError as error:
            raise ToolError(str(error)) from error
        except AddressNotAllowedError as error:
            raise ToolError(f"{url.host} cannot be called: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, AddressNotAllowedError) else None
            _log.warning("%s cannot be reached: %s", url.host, type(cause or error).__name__)
            reason = str(cause) if cause is not None else type(error).__name__
            raise ToolError(f"the service cannot be reached ({reason})") from error

    async def close(self) -> None:
        """Close all connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    def _session(self, proxy: yarl.URL | None) -> aiohttp.ClientSession:
        if self._http is None:
            self._resolver = _CheckedResolver(self._hosts)
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._resolver, limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The tool's own deadline is around each call.
                timeout=aiohttp.ClientTimeout(total=None),
            )
        if proxy is not None and proxy.host is not None and self._resolver is not None:
            self._resolver.proxies.add(proxy.host)
        return self._http


def read_http_answer(status: int, kind: str, charset: str | None, data: bytes) -> Any:
    """Return what an answer says: its JSON value or text.

    kind: MIME type without parameters

    Raises:
        ToolError: it reports an error, or cannot be read; in words for the model.
    """
    text = _decoded(data, charset).strip()
    if 300 <= status < 400:
        raise ToolError(f"the service answered {status}; redirects are not followed")
    if status >= 400:
        raise ToolError(f"the service answered {status}: {text[:MAX_ERROR_CHARACTERS]}")
    if not data:
        return {"status": status}
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return read_json(data)
        except InvalidJsonError as error:
            raise ToolError(f"the answer is {error}") from error
    if kind.startswith("text/") or kind in _TEXTS:
        return text
    return f"[{kind}, {len(data)} bytes]"


def _decoded(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return data.decode(errors="replace")


def _masked(data: bytes, secrets: Collection[str]) -> bytes:
    """Return the answer without our secrets, which some services echo."""
    for secret in secrets:
        if len(secret) >= MIN_MASKED_CHARACTERS:
            data = data.replace(secret.encode(), _MASK.encode())
    return data
