"""Room tokens: who may join which channel as what, as a JWT signed with a shared secret (HS256)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import jwt

from config import MAX_UID, is_channel_name
from rtc.signals import Role

_ALGORITHM = "HS256"
_ROLES = ("user", "agent")
ANY_UID = 0


class TokenError(Exception):
    """A token is missing, wrong or for something else."""

    def __init__(self, code: Literal["unauthorized", "forbidden"], message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class RoomClaims:
    """What a token allows; `uid` 0 allows any."""

    channel: str
    uid: int
    role: Role


def mint_token(secret: str, *, channel: str, uid: int = ANY_UID, role: str, ttl_s: float) -> str:
    """A room token that is valid from now for `ttl_s`.

    Raises:
        ValueError: a claim is out of range.
    """
    is_sound = is_channel_name(channel) and 0 <= uid <= MAX_UID and role in _ROLES and ttl_s > 0
    if not is_sound:
        raise ValueError(
            "a room token needs a valid channel, a uid from 0 to 2^32-1, a role (user or agent) "
            "and a ttl_s above 0"
        )
    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ttl_s)
    claims = {"channel": channel, "uid": uid, "role": role, "exp": expiry}
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


class RoomTokens:
    """Mints and verifies with any of several secrets: the first signs, the others still verify."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = tuple(secrets)

    @property
    def is_required(self) -> bool:
        """Whether rooms ask for a token: as soon as a secret is configured."""
        return bool(self._secrets)

    def mint(self, *, channel: str, uid: int = ANY_UID, role: str, ttl_s: float) -> str:
        """A token that is valid from now for `ttl_s`.

        Raises:
            ValueError: no secret is configured, or a claim is out of range.
        """
        if not self._secrets:
            raise ValueError("no room token secret is configured: set ROOM_TOKEN_SECRET")
        return mint_token(self._secrets[0], channel=channel, uid=uid, role=role, ttl_s=ttl_s)

    def verify(self, token: str | None, *, channel: str, uid: int | None, role: Role) -> int | None:
        """Check `token` for this join and return the uid to use: the wanted one, or the token's.

        Raises:
            TokenError: unauthorized (missing, forged, expired) or forbidden (for something else).
        """
        if not self._secrets:
            return uid
        if not token:
            raise TokenError("unauthorized", "this server needs a room token: see POST /token")
        claims = self._decode(token)
        if claims.channel != channel:
            raise TokenError("forbidden", "the room token is for another channel")
        if claims.role != role:
            raise TokenError("forbidden", f"the room token does not allow the role {role}")
        if claims.uid == ANY_UID:
            return uid
        if uid is not None and uid != claims.uid:
            raise TokenError("forbidden", "the room token is for another uid")
        return claims.uid

    def _decode(self, token: str) -> RoomClaims:
        for secret in self._secrets:
            try:
                return _read_claims(
                    jwt.decode(
                        token,
                        secret,
                        algorithms=[_ALGORITHM],
                        options={"require": ["exp", "channel", "uid", "role"]},
                    )
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError as error:
                raise TokenError("unauthorized", "the room token has expired") from error
            except jwt.PyJWTError as error:
                raise TokenError("unauthorized", f"not a room token: {error}") from error
        raise TokenError("unauthorized", "the room token was not signed by this server's secret")


def _read_claims(data: dict[str, object]) -> RoomClaims:
    channel, uid, role = data["channel"], data["uid"], data["role"]
    is_sound = (
        isinstance(channel, str) and type(uid) is int and 0 <= uid <= MAX_UID and role in _ROLES
    )
    if not is_sound:
        raise TokenError("unauthorized", "the room token's channel, uid or role is malformed")
    return RoomClaims(cast("str", channel), cast("int", uid), cast("Role", role))
