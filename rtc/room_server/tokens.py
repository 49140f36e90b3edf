"""Room tokens: who may join which channel as what, as a JWT signed with a shared secret (HS256)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, cast, get_args

import jwt

from line.participants import Role
from rtc.identifiers import MAX_UID, is_channel_name

_ALGORITHM = "HS256"
_ROLES = get_args(Role)
_MAX_NAME_CHARACTERS = 64
ANY_UID = 0


class TokenError(Exception):
    """A token is missing, wrong or for something else."""

    def __init__(self, code: Literal["unauthorized", "forbidden"], message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UidClaim(StrEnum):
    """The right that a credential gives to a uid in a room.

    OWN: the holder's, even if it is in use. FREE: the holder's if it is not in use. NONE: no right; the
    room picks an unused one.
    """

    OWN = "own"
    FREE = "free"
    NONE = "none"


@dataclass(frozen=True)
class Permit:
    """Permission to join as `uid` (None: the room picks one), as far as `claim` reaches.

    team: whose rooms; None: any
    """

    uid: int | None
    claim: UidClaim
    team: str | None = None


@dataclass(frozen=True)
class RoomClaims:
    """Claims of a token; `uid` 0: it names none. may_start: an agent, if the channel has none.

    team: of the calls that it is for, "" for those of no team; None: of any, as of tokens that name
        none, which only who has the secret can make
    key: name of the API key that it was minted with; "" for none
    """

    channel: str
    uid: int
    role: Role
    may_start: bool = False
    team: str | None = None
    key: str = ""


def mint_token(
    secret: str,
    *,
    channel: str,
    uid: int = ANY_UID,
    role: str,
    ttl_s: float,
    may_start: bool = False,
    team: str | None = None,
    key: str = "",
) -> str:
    """A room token that is valid from now for `ttl_s`.

    Raises:
        ValueError: a claim is out of range.
    """
    is_sound = is_channel_name(channel) and 0 <= uid <= MAX_UID and role in _ROLES and ttl_s > 0
    if not is_sound:
        raise ValueError(
            "a room token needs a valid channel, a uid from 0 to 2^32-1, a role (user, agent or listener) "
            "and a ttl_s above 0"
        )
    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ttl_s)
    claims: dict[str, object] = {"channel": channel, "uid": uid, "role": role, "exp": expiry}
    if may_start:
        claims["may_start"] = True
    if team is not None:
        claims["team"] = team
    if key:
        claims["key"] = key
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


class RoomTokens:
    """Mints and verifies with any of several secrets: the first signs, the others still verify."""

    def __init__(
        self,
        secrets: Sequence[str] = (),
        *,
        are_users_free: bool = False,
        is_key_revoked: Callable[[str], bool] | None = None,
    ) -> None:
        """are_users_free: agents need a token, people do not. Without any secret nobody does, and
            every claim to be an agent, or to have a uid, is believed.
        is_key_revoked: of the API key of this name, with which a token was made
        """
        self._secrets = tuple(secrets)
        self._is_key_revoked = is_key_revoked
        self._are_users_free = are_users_free or not secrets

    def is_required(self, role: Role) -> bool:
        """True if joining as `role` needs a token."""
        return bool(self._secrets) and not (self._are_users_free and role != "agent")

    def mint(
        self,
        *,
        channel: str,
        uid: int = ANY_UID,
        role: str,
        ttl_s: float,
        may_start: bool = False,
        team: str | None = None,
        key: str = "",
    ) -> str:
        """A token that is valid from now for `ttl_s`.

        Raises:
            ValueError: no secret is configured, or a claim is out of range.
        """
        if not self._secrets:
            raise ValueError("no room token secret is configured: set ROOM_TOKEN_SECRET")
        return mint_token(
            self._secrets[0],
            channel=channel,
            uid=uid,
            role=role,
            ttl_s=ttl_s,
            may_start=may_start,
            team=team,
            key=key,
        )

    def mint_for_person(
        self, *, channel: str, uid: int, ttl_s: float, team: str | None = None
    ) -> str | None:
        """A token with which one person joins; None where there is no secret, and none is needed."""
        if not self._secrets:
            return None
        return self.mint(channel=channel, uid=uid, role="user", ttl_s=ttl_s, team=team)

    def read(
        self, token: str | None, *, channel: str | None, role: Role, is_inside: bool = False
    ) -> RoomClaims | None:
        """Return the claims of a token that is valid for `channel` (None: any) and `role`; None: none
        is needed.

        is_inside: its holder is in the room already, and stays there when the token's key is revoked

        Raises:
            TokenError: unauthorized (missing, forged, expired, or its key is revoked) or forbidden (for
                something else).
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
        if channel not in (None, claims.channel):
            raise TokenError("forbidden", "the room token is for another channel")
        if claims.role != role:
            raise TokenError("forbidden", f"the room token does not allow the role {role}")
        is_revoked = self._is_key_revoked is not None and self._is_key_revoked(claims.key)
        if is_revoked and not is_inside:
            raise TokenError("unauthorized", "the API key that made the room token is revoked")
        return claims

    def verify(
        self,
        token: str | None,
        *,
        channel: str,
        uid: int | None,
        role: Role,
        is_inside: bool = False,
    ) -> Permit:
        """Check `token` for this join; the uid of the permit is the wanted one, or the token's.

        is_inside: as in `read`

        Raises:
            TokenError: as in `read`.
        """
        claims = self.read(token, channel=channel, role=role, is_inside=is_inside)
        if claims is None:
            # Without any secret nothing can be proven, and the last one to join is believed.
            return Permit(uid, UidClaim.FREE if self._secrets else UidClaim.OWN)
        if claims.uid == ANY_UID:
            claim = UidClaim.FREE if role == "agent" else UidClaim.NONE
            return Permit(uid, claim, claims.team)
        if uid is not None and uid != claims.uid:
            raise TokenError("forbidden", "the room token is for another uid")
        return Permit(claims.uid, UidClaim.OWN, claims.team)

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
    team, key = data.get("team"), data.get("key", "")
    are_names = isinstance(team, str | None) and isinstance(key, str)
    if not is_sound or not are_names or len(f"{team}") > _MAX_NAME_CHARACTERS:
        raise TokenError("unauthorized", "the room token's channel, uid, role or team is malformed")
    may_start = data.get("may_start") is True
    return RoomClaims(
        cast("str", channel),
        cast("int", uid),
        cast("Role", role),
        may_start,
        cast("str | None", team),
        cast("str", key)[:_MAX_NAME_CHARACTERS],
    )
