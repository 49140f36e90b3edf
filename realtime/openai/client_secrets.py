"""Ephemeral keys: an `ek_...` that opens sessions for some minutes, in place of the real key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import yarl

from proxies import outbound_proxy
from realtime.connect_errors import explain
from realtime.model import ModelConnectError
from realtime.openai.endpoint import below
from realtime.provider_socket import host_of
from untrusted.http_answer import read_bounded
from untrusted.json_reader import read_object

MIN_TTL_S: Final = 10
MAX_TTL_S: Final = 7200
_PATH: Final = "v1/realtime/client_secrets"
_MAX_ANSWER_BYTES: Final = 1024 * 1024
_PLAIN_SCHEMES: Final = {"wss": "https", "ws": "http"}


async def create_client_secret(
    base_uri: str,
    api_key: str,
    *,
    ttl_s: int = 600,
    session: Mapping[str, Any] | None = None,
    timeout_s: float = 10.0,
) -> str:
    """Ask the provider for a key that is safe to hand on; sessions opened with it outlive it.

    base_uri: scheme, host and port, as in `RealtimeModelConfig`
    session: the settings that a session opened with the key begins with, as the wire has them

    Raises:
        ValueError: `ttl_s` is out of the provider's bounds.
        ModelConnectError: the provider refused or did not answer; the key is not in the text.
    """
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise ValueError(f"ttl_s must be {MIN_TTL_S} to {MAX_TTL_S}, not {ttl_s}")
    body: dict[str, Any] = {"expires_after": {"anchor": "created_at", "seconds": ttl_s}}
    if session is not None:
        body["session"] = dict(session)
    try:
        async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as http:
            return await _ask(http, _url(base_uri), api_key, body)
    except TimeoutError:
        text = f"no client secret came in {timeout_s:g} s"
        raise ModelConnectError(text, code="timeout", is_retryable=True) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        explained = explain(error, where=host_of(base_uri), proxy=None, phase="asking for a key")
        text = f"no client secret could be had: {explained}"
        raise ModelConnectError(
            text, code=explained.code, is_retryable=explained.is_retryable
        ) from None


def client_secret_key(base_uri: str, api_key: str, **options: Any) -> Callable[[], Awaitable[str]]:
    """A key function for `RealtimeModelConfig.api_key`: each session gets a fresh ephemeral key.

    options: as of `create_client_secret`
    """

    async def fresh_key() -> str:
        return await create_client_secret(base_uri, api_key, **options)

    return fresh_key


def _url(base_uri: str) -> yarl.URL:
    url = below(base_uri, _PATH)
    return url.with_scheme(_PLAIN_SCHEMES.get(url.scheme, url.scheme))


async def _ask(
    http: aiohttp.ClientSession, url: yarl.URL, api_key: str, body: Mapping[str, Any]
) -> str:
    headers = {"Authorization": f"Bearer {api_key}"}
    async with http.post(
        url, json=body, headers=headers, allow_redirects=False, proxy=outbound_proxy(url)
    ) as answer:
        if answer.status != 200:
            is_key_wrong = answer.status in (401, 403)
            raise ModelConnectError(
                f"the provider refused a client secret with HTTP status {answer.status}",
                code="invalid_api_key" if is_key_wrong else "client_secret_refused",
                is_retryable=answer.status == 429 or answer.status >= 500,
            )
        secret = read_object(await read_bounded(answer.content, _MAX_ANSWER_BYTES)).get("value")
    if not isinstance(secret, str) or not secret:
        raise ValueError("the answer holds no key")
    return secret
