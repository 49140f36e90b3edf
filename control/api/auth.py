"""Who may use the control API: holders of an API key; without configured keys, this machine only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import hdrs, web

from control.access.origins import Origins
from control.api.errors import ApiError
from utils import is_loopback

IS_OWNER: Final = web.RequestKey("is_owner", bool)
"""On requests to routes that are open to all: whether the asker might use the others too."""

_SCHEME: Final = "bearer "


class ApiKeys:
    """The keys that are valid now: several, so that they can be changed one by one.

    Only their hashes are kept; all are compared, in a time that tells neither how much of a key is
    right nor how long it is.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def require(self, headers: Mapping[str, str]) -> str:
        """Let holders of a key pass; a name for the key, by which it can be counted.

        Raises:
            ApiError: 401, no key or an unknown one.
        """
        header = headers.get(hdrs.AUTHORIZATION, "")
        if header[: len(_SCHEME)].lower() != _SCHEME:
            raise ApiError(401, "unauthorized", "an API key is needed: Authorization: Bearer KEY")
        given = _digest(header[len(_SCHEME) :].strip())
        found = [hmac.compare_digest(given, known) for known in self._digests]
        if not any(found):
            raise ApiError(401, "unauthorized", "this API key is unknown")
        return f"key {found.index(True)}"


def _digest(key: str) -> bytes:
    # A header may hold any bytes; what is no text comes as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def require_local(headers: Mapping[str, str], origins: Origins) -> None:
    """For a server without credentials: let requests of this machine's own programs and pages pass,
    and those of pages of listed origins.

    The socket is bound to loopback, but a foreign page in a local browser reaches it too: by a name
    that it lets point here (DNS rebinding: then `Host` is that name), or by plain cross-site
    requests (then `Origin` is the page's).

    Raises:
        ApiError: 403, foreign Host or Origin.
    """
    host = headers.get("Host", "")
    if not is_loopback(host):
        raise ApiError(403, "foreign_host", "without API keys only loopback names are served")
    if (refusal := origins.refusal(headers.get("Origin"), host)) is not None:
        raise ApiError(403, "foreign_origin", refusal)


def is_local(headers: Mapping[str, str], origins: Origins) -> bool:
    """Whether `require_local` lets it pass."""
    try:
        require_local(headers, origins)
    except ApiError:
        return False
    return True
