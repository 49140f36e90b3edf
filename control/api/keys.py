"""Named API keys and the audit log: `/keys`, `/audit`."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from control.api.calls_query import MAX_PAGE, Moment
from control.http.audit import note
from control.http.auth import access_of
from control.http.bodies import parse_body, parse_query, respond
from control.keys.access import NO_LIMITS, KeyLimits, Scope, TeamName
from control.keys.audit_log import AuditLog
from control.keys.named_keys import NamedKeys, UnknownKeyError
from control.keys.records import AuditPage, KeyInfo
from control.keys.usage import KeyUsage
from control.store.audit_table import AuditFilter
from rtc.identifiers import ChannelName

DEFAULT_OVERLAP_S: Final = 24 * 3600
MAX_OVERLAP_S: Final = 90 * 24 * 3600

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


class KeyRequest(BaseModel):
    """A key to create."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: TeamName = Field(description="unique, also among keys that were revoked lately")
    team: TeamName | Literal[""] = Field(
        default="", description="absent: of no team; an admin of no team sees all teams"
    )
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))]
    limits: KeyLimits = NO_LIMITS


class KeyChange(BaseModel):
    """What to change of a key; what is absent stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))] | None = Field(
        default=None, description="all that it has from now on"
    )
    limits: KeyLimits = Field(
        default=NO_LIMITS, description="those to change; null takes a limit away"
    )

    @model_validator(mode="after")
    def _require_change(self) -> Self:
        if self.scopes is None and not self.limits.model_fields_set:
            raise ValueError("name scopes or limits to change")
        return self


class RotateRequest(BaseModel):
    """Overlap of the old and the new secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap_s: float = Field(
        default=DEFAULT_OVERLAP_S,
        ge=0,
        le=MAX_OVERLAP_S,
        allow_inf_nan=False,
        description="for so long the secret before goes on working",
    )


class KeyUseShown(BaseModel):
    """Use of a key on this server. Days are of UTC."""

    agents: int = Field(description="live now")
    starts: int = Field(description="since the server's start")
    refused: int = Field(description="starts refused by a limit since the server's start")
    minutes_today: float
    cost_today: float


class KeyShown(KeyInfo):
    """A key and its use."""

    use: KeyUseShown


class KeyList(BaseModel):
    """All keys, by name, those revoked in the last 90 days included."""

    keys: list[KeyShown]


class KeySecret(BaseModel):
    """A new secret. It is shown this once: the store has its hash alone."""

    key: KeyInfo
    secret: str


class KeyChanged(BaseModel):
    """The key as it is from now on."""

    key: KeyInfo


class KeyRevoked(BaseModel):
    """The key is refused from now on; calls that it started go on."""

    status: Literal["Key revoked"] = "Key revoked"
    key: KeyInfo


class AuditQuery(BaseModel):
    """Which entries are wanted: those for which all that is given holds; and the page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = Field(default=None, max_length=64)
    team: TeamName | Literal[""] | None = None
    action: str | None = Field(default=None, pattern=r"^[a-z_]{1,64}$")
    channel: ChannelName | None = None
    call: str | None = Field(default=None, max_length=64)
    since: Moment | None = None
    until: Moment | None = None
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    after: int | None = Field(default=None, ge=0, description="`next` of the page before")


class KeysApi:
    """Handlers of keys and of the audit log."""

    def __init__(self, keys: NamedKeys, usage: KeyUsage, audit: AuditLog) -> None:
        self._keys = keys
        self._usage = usage
        self._audit = audit

    async def list_keys(self, request: web.Request) -> web.Response:
        """GET /keys"""
        access = access_of(request)
        self._keys.require_known()
        shown = [self._shown(one) for one in self._keys.list() if access.sees(one.team)]
        return respond(KeyList(keys=shown))

    def _shown(self, info: KeyInfo) -> KeyShown:
        use, now_ms = self._usage.of(info.name), self._usage.now_ms
        shown = KeyUseShown(
            agents=len(use.live),
            starts=use.started,
            refused=use.refused,
            minutes_today=round(use.minutes(now_ms), 3),
            cost_today=use.cost(now_ms),
        )
        return KeyShown(**info.model_dump(), use=shown)

    async def create_key(self, request: web.Request) -> web.Response:
        """POST /keys"""
        wanted = await parse_body(request, KeyRequest)
        note(request, subject=wanted.name)
        scopes = tuple(dict.fromkeys(wanted.scopes))
        info, secret = await self._keys.add(wanted.name, wanted.team, scopes, wanted.limits)
        return _once(KeySecret(key=info, secret=secret), status=201)

    async def change_key(self, request: web.Request) -> web.Response:
        """PATCH /keys/{name}"""
        name = _name_of(request)
        wanted = await parse_body(request, KeyChange)
        scopes = None if wanted.scopes is None else tuple(dict.fromkeys(wanted.scopes))
        limits = wanted.limits.model_dump(exclude_unset=True)
        return respond(KeyChanged(key=await self._keys.change(name, scopes, limits)))

    async def rotate_key(self, request: web.Request) -> web.Response:
        """POST /keys/{name}/rotate"""
        name = _name_of(request)
        wanted = RotateRequest()
        if request.can_read_body:
            wanted = await parse_body(request, RotateRequest)
        info, secret = await self._keys.rotate(name, wanted.overlap_s)
        return _once(KeySecret(key=info, secret=secret), status=200)

    async def revoke_key(self, request: web.Request) -> web.Response:
        """DELETE /keys/{name}"""
        return respond(KeyRevoked(key=await self._keys.revoke(_name_of(request))))

    async def show_audit(self, request: web.Request) -> web.Response:
        """GET /audit"""
        query = parse_query(request, AuditQuery)
        only_team = access_of(request).only_team
        wanted = AuditFilter(
            team=query.team if only_team is None else only_team,
            key=query.key,
            action=query.action,
            channel_name=query.channel,
            call_id=query.call,
            since_ms=query.since,
            until_ms=query.until,
        )
        page: AuditPage = await self._audit.page(wanted, limit=query.limit, after=query.after)
        return respond(page)


def _once(answer: KeySecret, *, status: int) -> web.Response:
    response = respond(answer, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _name_of(request: web.Request) -> str:
    """Return the name of the key in the path, noted for the audit log.

    Raises:
        UnknownKeyError: this can be no key's name.
    """
    name = request.match_info["name"]
    if _NAME.fullmatch(name) is None:
        raise UnknownKeyError
    note(request, subject=name)
    return name
