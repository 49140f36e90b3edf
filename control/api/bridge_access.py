"""Access to the bridge: API keys, room tokens, and secrets of sessions."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import hdrs, web

from bridge.handshake import Offer
from control.http.auth import ApiKeys
from control.http.errors import ApiError
from control.keys.access import EVERYTHING, Access, Scope
from rtc.room_server.tokens import RoomClaims, RoomTokens, TokenError

START_FIELDS_OF_TOKENS: Final = frozenset({"agent", "language", "voice"})
"""Fields of a start that a token allows: all else costs or reveals what the owner decides."""
# Uids that the server chooses are of the upper half: people's own are seldom.
_LOWEST_OWN_UID: Final = 2**31
_GUEST: Final = frozenset({Scope.START})


@dataclass(frozen=True)
class Rights:
    """Rights of a connection. claims: of its token, if it needed one.

    is_owner: all that the control API may
    may_start: start an agent for its channel, with `START_FIELDS_OF_TOKENS` unless `is_owner`
    access: whose calls it sees, and for whom it starts them
    """

    is_owner: bool
    may_start: bool
    claims: RoomClaims | None = None
    access: Access = EVERYTHING

    def channel(self, named: str | None) -> str | None:
        """Return the channel: the one `named` by address or first message, else the token's.

        Raises:
            ApiError: 403, the token is for another one.
        """
        if self.claims is None:
            return named
        if named not in (None, self.claims.channel):
            raise ApiError(403, "forbidden", "the room token is for another channel")
        return self.claims.channel

    def uid(self, wanted: int | None) -> tuple[int, bool]:
        """Return the participant's uid, and whether it is proven to be theirs.

        Raises:
            ApiError: 403, the token is for another one.
        """
        own = 0 if self.claims is None else self.claims.uid
        if own and wanted not in (None, own):
            raise ApiError(403, "forbidden", "the room token is for another uid")
        if own or (wanted is not None and (self.is_owner or self.claims is None)):
            return own or wanted or 0, self.is_owner or bool(own)
        return _LOWEST_OWN_UID + secrets.randbelow(_LOWEST_OWN_UID - 1), False


class BridgeAccess:
    """Reads the credentials of connections."""

    def __init__(self, keys: ApiKeys, tokens: RoomTokens) -> None:
        self._keys = keys
        self._tokens = tokens

    def of(self, request: web.Request, offer: Offer) -> Rights:
        """Return what the connection may do. A room token may come as a bearer, a subprotocol or
        `?token=`; an API key as a bearer only, for addresses end up in logs.

        Raises:
            ApiError: 401 or 403.
        """
        if not self._keys.is_shown(request.headers):
            # Then the server serves this machine alone, tokens or not.
            return Rights(is_owner=True, may_start=True, claims=self._claims(request, offer))
        if (access := self._access_of_key(request)) is not None:
            require_start(access)
            return Rights(is_owner=True, may_start=True, access=access)
        claims = self._claims(request, offer)
        access = self._access_of_token(claims)
        # A revoked key's tokens start nothing more.
        may_start = access is not None and claims is not None and claims.may_start
        return Rights(
            is_owner=False, may_start=may_start, claims=claims, access=access or _guest(claims)
        )

    def _access_of_token(self, claims: RoomClaims | None) -> Access | None:
        """Return the rights of a token: of the key that it was minted with, within its limits; None: that
        is revoked.
        """
        if claims is None:
            return EVERYTHING  # where people need no token
        if not self._keys.is_named(claims.key):
            # Made by who has the secret, or with a key of the settings.
            return replace(EVERYTHING, key=claims.key) if claims.team is None else _guest(claims)
        access = self._keys.access_of_name(claims.key)
        if access is None or access.only_team != claims.team:
            return None
        return access if claims.team is None else replace(access, scopes=_GUEST)

    def _access_of_key(self, request: web.Request) -> Access | None:
        if hdrs.AUTHORIZATION not in request.headers:
            return None
        try:
            return self._keys.require(request.headers)
        except ApiError:
            return None

    def _claims(self, request: web.Request, offer: Offer) -> RoomClaims | None:
        scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else None
        token = token or offer.token or request.query.get("token")
        try:
            return self._tokens.read(token, channel=None, role="user")
        except TokenError as error:
            status = 401 if error.code == "unauthorized" else 403
            raise ApiError(status, error.code, error.message) from error


def require_start(access: Access) -> None:
    """Require the scope for talking to agents, as on other routes.

    Raises:
        ApiError: 403 missing_scope.
    """
    if not access.may({Scope.START}):
        text = f"the key {access.key} needs the scope {Scope.START}"
        raise ApiError(403, "missing_scope", text)


def _guest(claims: RoomClaims | None) -> Access:
    team = "" if claims is None else claims.team or ""
    return Access(key="" if claims is None else claims.key, team=team, scopes=_GUEST)


class SessionSecrets:
    """Secrets with which clients resume their sessions, of this run of the server alone: calls end
    with it.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, call_id: str, session_id: str, uid: int) -> str:
        """Return the secret of a session."""
        return f"{uid}-{self._seal(call_id, session_id, uid)}"

    def uid_of(self, secret: str, call_id: str, session_id: str) -> int | None:
        """Return the uid of the session that has this secret; None if it has another one."""
        text, _, seal = secret.partition("-")
        if not (text.isascii() and text.isdecimal() and len(text) <= 10):
            return None
        wanted = self._seal(call_id, session_id, int(text))
        return int(text) if hmac.compare_digest(seal.encode(), wanted.encode()) else None

    def _seal(self, call_id: str, session_id: str, uid: int) -> str:
        parts = (str(len(session_id)), session_id, call_id, str(uid))
        digest = hmac.digest(self._key, "/".join(parts).encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
