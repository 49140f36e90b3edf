"""Keys and entries of the audit log as they are stored, and as the API shows them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from control.keys.access import NO_LIMITS, Access, KeyLimits, Scope, TeamName


class KeyInfo(BaseModel):
    """A named key without its secret. Times are Unix milliseconds."""

    model_config = ConfigDict(frozen=True)

    name: TeamName
    team: str = Field(description="whose calls it starts and sees; empty: of no team")
    scopes: tuple[Scope, ...]
    limits: KeyLimits = NO_LIMITS
    created_at_ms: int
    rotated_at_ms: int | None = None
    old_works_until_ms: int | None = Field(
        default=None, description="until when the secret before the last rotation is accepted"
    )
    last_used_at_ms: int | None = Field(
        default=None, description="written every 10 s; null: never used"
    )
    revoked_at_ms: int | None = None

    @property
    def access(self) -> Access:
        """The rights of requests with this key."""
        return Access(self.name, self.team, frozenset(self.scopes), self.limits)


@dataclass(frozen=True)
class StoredKey:
    """A key with the hashes of its secrets (SHA-256, hex). key_id: the public part of the secrets"""

    info: KeyInfo
    key_id: str
    digest: str
    old_digest: str | None = None

    def changed(self, **changes: object) -> StoredKey:
        """Return it with these fields of `info` changed."""
        return replace(self, info=self.info.model_copy(update=changes))


class AuditEntry(BaseModel):
    """One thing done through the API: by which key, when, to which channel or call.

    Neither words of people nor secrets. Empty where it does not apply.
    """

    model_config = ConfigDict(frozen=True)

    number: int = Field(default=0, description="grows with each entry of the store")
    at_ms: int = Field(description="Unix time in milliseconds")
    key: str = Field(description="name of the API key; empty: of this machine, without a key")
    team: str
    action: str = Field(description="`operationId` of the request")
    channel_name: str = ""
    call_id: str = ""
    subject: str = Field(default="", description="name of the key that was managed")
    status: int = Field(description="HTTP status of the answer")


class AuditPage(BaseModel):
    """Entries, latest first. next: cursor of the next page; null on the last page."""

    model_config = ConfigDict(frozen=True)

    entries: list[AuditEntry]
    next: int | None
