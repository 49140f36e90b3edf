"""Access to the control API: by API key; without configured keys, only from this machine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from control.http.errors import ApiError
from control.http.origins import Origins
from control.keys.access import Access
from control.keys.named_keys import KeysUnavailableError, NamedKeys
from control.keys.records import KeyInfo
from control.keys.secrets import is_named_key
from utils import is_loopback

ACCESS: Final = web.RequestKey("access", Access)
"""Rights of a request. On open routes: those that it would have on guarded ones, if any."""

_SCHEME: Final = "bearer "
# No named key has a blank in its name.
_OF_SETTINGS: Final = "key "


class ApiKeys:
    """The valid API keys: several, so that they can be rotated one by one.

    Those of the settings are admins of all teams; those of the store are named ones. Only hashes are
    kept. All are compared, in a time that reveals neither how much of a key matches nor its length.
    """

    def __init__(self, keys: Sequence[str], named: NamedKeys | None = None) -> None:
        """keys: of the settings; named: None: there are none"""
        self._digests = [_digest(key) for key in keys]
        self._named = named

    def __bool__(self) -> bool:
        """True if the settings have keys: then requests need one."""
        return bool(self._digests)

    def is_shown(self, headers: Mapping[str, str]) -> bool:
        """Return true if the request is to be judged by its key: one is needed, or it has the form of
        a named one.
        """
        has_named = self._named is not None and is_named_key(_bearer(headers) or "")
        return bool(self._digests) or has_named

    def require(self, headers: Mapping[str, str]) -> Access:
        """Require a valid key and return its rights; its name is `key` and its place in the settings.

        Raises:
            ApiError: 401, the key is missing or unknown; 503, named keys are not known now.
        """
        if (secret := _bearer(headers)) is None:
            raise ApiError(401, "unauthorized", "an API key is needed: Authorization: Bearer KEY")
        given = _digest(secret)
        found = [hmac.compare_digest(given, known) for known in self._digests]
        if any(found):
            return Access(key=f"{_OF_SETTINGS}{found.index(True)}")
        if (info := self._find_named(secret)) is None:
            raise ApiError(401, "unauthorized", "this API key is unknown")
        return info.access

    def still_grants(self, headers: Mapping[str, str], access: Access) -> bool:
        """Return false if a request with these headers, which had this access, has less of it now: its
        key was revoked, rotated and the overlap has passed, or lost a scope.
        """
        if not self.is_shown(headers):
            return True
        try:
            now = self.require(headers)
            return all(now.may({scope}) for scope in access.scopes)
        except ApiError as error:
            return error.status != HTTPStatus.UNAUTHORIZED

    def _find_named(self, secret: str) -> KeyInfo | None:
        if self._named is None or not is_named_key(secret):
            return None
        try:
            return self._named.find(secret)
        except KeysUnavailableError as error:
            raise ApiError(error.status, error.code, str(error), retry_after_s=2) from error

    def is_named(self, name: str) -> bool:
        """Return true if a key of this name is or was a named one, not one of the settings."""
        return bool(name) and not name.startswith(_OF_SETTINGS)

    def access_of_name(self, name: str) -> Access | None:
        """Return the rights of the key of this name; None: there is no such key any more."""
        if self._named is None or (info := self._named.named(name)) is None:
            return None
        return info.access


def _bearer(headers: Mapping[str, str]) -> str | None:
    header = headers.get(hdrs.AUTHORIZATION, "")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return header[len(_SCHEME) :].strip()


def access_of(request: web.Request) -> Access:
    """Return the rights of a request that has passed the guard."""
    return request[ACCESS]


def _digest(key: str) -> bytes:
    # A header may hold any bytes; those that are not text arrive as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def require_local(headers: Mapping[str, str], origins: Origins) -> None:
    """Require a request of this machine's programs or pages, or of a listed origin's page.

    For a server without credentials. Its socket is bound to loopback, but a foreign page in a local
    browser reaches it too: through a DNS name that resolves to loopback (DNS rebinding; `Host` is
    then that name), or by cross-site requests (`Origin` is then the page's).

    Raises:
        ApiError: 403, foreign Host or Origin.
    """
    host = headers.get("Host", "")
    if not is_loopback(host):
        raise ApiError(403, "foreign_host", "without API keys only loopback names are served")
    if (refusal := origins.refusal(headers.get("Origin"), host)) is not None:
        raise ApiError(403, "foreign_origin", refusal)


def is_local(headers: Mapping[str, str], origins: Origins) -> bool:
    """Return true if `require_local` accepts the request."""
    try:
        require_local(headers, origins)
    except ApiError:
        return False
    return True
