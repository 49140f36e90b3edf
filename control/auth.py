"""Who may use the control API: holders of an API key; without configured keys, this machine only."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from control.errors import ApiError

_LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SCHEME: Final = "bearer "


def is_known_key(given: str, keys: Sequence[str]) -> bool:
    """Whether `given` is one of `keys`, in a time that does not depend on how much of it is right."""
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    return any(matches)


def require_key(headers: Mapping[str, str], keys: Sequence[str]) -> None:
    """Let holders of a key pass.

    Raises:
        ApiError: 401, no key or an unknown one.
    """
    header = headers.get("Authorization", "")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise ApiError(401, "unauthorized", "an API key is needed: Authorization: Bearer KEY")
    if not is_known_key(header[len(_SCHEME) :].strip(), keys):
        raise ApiError(401, "unauthorized", "this API key is unknown")


def require_local(headers: Mapping[str, str]) -> None:
    """For a server without credentials: let requests of this machine's own programs and pages pass.

    The socket is bound to loopback, but a foreign page in a local browser reaches it too: by a name
    that it lets point here (DNS rebinding: then `Host` is that name), or by plain cross-site
    requests (then `Origin` is the page's).

    Raises:
        ApiError: 403, foreign Host or Origin.
    """
    host = headers.get("Host", "")
    if _name_of(f"//{host}") not in _LOOPBACK_NAMES:
        raise ApiError(403, "foreign_host", "without API keys only loopback names are served")
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise ApiError(403, "foreign_origin", "requests of other sites' pages are refused")


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
