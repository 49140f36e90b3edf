"""Room tokens: who may join which channel as what, as a JWT signed with a shared secret (HS256)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
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


class UidClaim(StrEnum):
    """What a credential says about the uid that somebody wants to have in a room.

    OWN: it is the holder's, whoever has it now. FREE: the holder's if nobody has it. NONE: nothing;
    the room picks one that nobody has.
    """

    OWN = "own"
    FREE = "free"
    NONE = "none"


@dataclass(frozen=True)
class Permit:
    """Somebody may join as `uid` (None: the room picks one), as far as `claim` reaches."""

    uid: int | None
    claim: UidClaim


@dataclass(frozen=True)
class RoomClaims:
    """What a token says; `uid` 0: it names none."""

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

    def __init__(self, secrets: Sequence[str] = (), *, are_users_free: bool = False) -> None:
        """are_users_free: agents need a token, people do not. Without any secret nobody does, and
        whoever says that it is an agent, or has a uid, is believed.
        """
        self._secrets = tuple(secrets)
        self._are_users_free = are_users_free or not secrets

    def is_required(self, role: Role) -> bool:
        """Whether somebody needs a token to join as `role`."""
        return bool(self._secrets) and not (self._are_users_free and role == "user")

    def mint(self, *, channel: str, uid: int = ANY_UID, role: str, ttl_s: float) -> str:
        """A token that is valid from now for `ttl_s`.

        Raises:
            ValueError: no secret is configured, or a claim is out of range.
        """
        if not self._secrets:
            raise ValueError("no room token secret is configured: set ROOM_TOKEN_SECRET")
        return mint_token(self._secrets[0], channel=channel, uid=uid, role=role, ttl_s=ttl_s)

    def read(self, token: str | None, *, channel: str, role: Role) -> RoomClaims | None:
        """What a token says, once it is known to be good for `channel` and `role`; None: none is
        needed.

        Raises:
            TokenError: unauthorized (missing, forged, expired) or forbidden (for something else).
        """
        if not self.is_required(role):
            return None
        if not token:
            whose = (
                "an agent needs the token of its start"
                if self._are_users_free
                else "see POST /token"
            )
            raise TokenError("unauthorized", f"this server needs a room token: {whose}")
        claims = self._decode(token)
        if claims.channel != channel:
            raise TokenError("forbidden", "the room token is for another channel")
        if claims.role != role:
            raise TokenError("forbidden", f"the room token does not allow the role {role}")
        return claims

    def verify(self, token: str | None, *, channel: str, uid: int | None, role: Role) -> Permit:
        """Check `token` for this join; the uid of the permit is the wanted one, or the token's.

        Raises:
            TokenError: unauthorized (missing, forged, expired) or forbidden (for something else).
        """
        claims = self.read(token, channel=channel, role=role)
        if claims is None:
            # Without any secret nobody can prove anything, and who comes last is believed.
            return Permit(uid, UidClaim.FREE if self._secrets else UidClaim.OWN)
        if claims.uid == ANY_UID:
            return Permit(uid, UidClaim.FREE if role == "agent" else UidClaim.NONE)
        if uid is not None and uid != claims.uid:
            raise TokenError("forbidden", "the room token is for another uid")
        return Permit(claims.uid, UidClaim.OWN)

    def _decode(self, token: str) -> RoomClaims:
        if not token.isascii():  # a header may hold any bytes
            raise TokenError("unauthorized", "not a room token: it holds other characters")
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
