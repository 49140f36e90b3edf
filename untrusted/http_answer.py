"""Answers of servers that are not trusted: bounded in size, and of one request in time too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from proxies import outbound_proxy

MAX_BYTES: Final = 32 * 1024 * 1024


class AnswerTooLargeError(ValueError):
    """An answer is longer than its reader takes."""


class NoAnswerError(Exception):
    """No answer came, or too large a one; the text is one line and names the address."""


async def read_bounded(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """Return the whole body of an answer.

    Raises:
        AnswerTooLargeError: it is longer than `max_bytes`; the rest is not read.
    """
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > max_bytes:
            raise AnswerTooLargeError(f"the answer is longer than {max_bytes} bytes")
    return bytes(body)


async def fetch(
    http: aiohttp.ClientSession,
    url: str,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
) -> tuple[int, bytes]:
    """Return status and content of the answer to GET, or to POST with a JSON `body`.

    A redirect is an answer like any other: headers, with a key among them, go to `url` alone.

    Raises:
        NoAnswerError: nothing answers within `timeout_s`, or with more than `MAX_BYTES`.
    """
    try:
        async with http.request(
            "GET" if body is None else "POST",
            url,
            json=body,
            headers=headers,
            allow_redirects=False,
            proxy=outbound_proxy(url),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            return response.status, await read_bounded(response.content, MAX_BYTES)
    except AnswerTooLargeError as error:
        raise NoAnswerError(f"{url} answers more than {MAX_BYTES} bytes") from error
    except TimeoutError as error:
        raise NoAnswerError(f"no answer of {url} in {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswerError(f"no server answers at {url}: {error}") from error
