"""Requests of commands to a running server."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from cli.running import CommandError
from config.settings import Settings
from proxies import outbound_proxy
from untrusted.json_reader import read_object

_TOKEN_TTL_S: Final = 24 * 3600
"""Lifetime of minted room tokens; each reconnect to the room presents the token again."""


class RefusedError(CommandError):
    """The server refused a request. retry_after_s: when it may be repeated, if the server says so"""

    def __init__(self, message: str, status: int, retry_after_s: int | None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


def server_url(options: argparse.Namespace, settings: Settings) -> str:
    return options.server or f"http://127.0.0.1:{settings.server_port}"


def room_token(settings: Settings, channel_name: str, uid: int, role: str) -> SecretStr | None:
    from rtc.room_server.tokens import mint_token

    if settings.room_token_secret is None:
        return None
    secret = settings.room_token_secret.get_secret_value()
    return SecretStr(
        mint_token(secret, channel=channel_name, uid=uid, role=role, ttl_s=_TOKEN_TTL_S)
    )


def agent_token(
    server_url: str, settings: Settings, channel_name: str, uid: int
) -> SecretStr | None:
    """Return the agent's room token: minted with ROOM_TOKEN_SECRET, else by the server.

    Raises:
        CommandError: The server refuses one.
    """
    own = room_token(settings, channel_name, uid, "agent")
    if own is not None:
        return own
    wanted = {"channel_name": channel_name, "uid": uid, "role": "agent", "ttl_s": _TOKEN_TTL_S}
    token = ask_server(f"{server_url}/token", settings, wanted).get("token")
    return None if token is None else SecretStr(str(token))


def ask_server(
    url: str,
    settings: Settings,
    body: dict[str, object] | None = None,
    *,
    method: str | None = None,
) -> dict[str, Any]:
    """Return the answer of a server's API to GET, or to POST with a `body`; sends the first key.

    method: another one

    Raises:
        CommandError: No answer; a `RefusedError` if the request is refused.
    """

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """Refuses redirects: the key is for the named server only."""

        def redirect_request(self, *_: object) -> None:
            return None

    # Through the configured proxy, unless the address is on this machine.
    proxy = outbound_proxy(url)
    proxies = {} if proxy is None else {urlsplit(url).scheme: str(proxy)}
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler(proxies))
    content_sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content_sent, method=method)
    request.add_header("Content-Type", "application/json")
    if settings.api_keys:
        key = settings.api_keys[0].get_secret_value()
        request.add_header("Authorization", f"Bearer {key}")
    try:
        try:
            answer = opener.open(request, timeout=5)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            content = read_object(answer.read())
    except (OSError, ValueError) as error:
        raise CommandError(f"no server answers at {url}: {error}") from error
    if answer.status >= 400 and "error" in content:
        raise RefusedError(f"{url}: {content['error']}", answer.status, _retry_after_s(answer))
    return content


def _retry_after_s(answer: Any) -> int | None:
    text = answer.headers.get("Retry-After", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else None
