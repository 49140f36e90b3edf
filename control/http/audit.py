"""Records audited requests: by which key, to which channel or call, and how they were answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from control.http.auth import ACCESS
from control.keys.access import Access
from control.keys.audit_log import AuditLog
from control.keys.records import AuditEntry
from rtc.identifiers import is_channel_name
from utils import wall_clock_ms

_NOT_RECORDED: Final = frozenset({429, 503})
"""Refusals of floods and of a server that is not well: nothing was done, and there may be many."""

_MAX_ID_CHARACTERS: Final = 64


@dataclass
class Audited:
    """Facts that a handler knows of the request that it answers. Entries have neither words nor secrets."""

    log: AuditLog
    action: str
    access: Access | None = None
    channel_name: str = ""
    call_id: str = ""
    subject: str = ""
    is_recorded: bool = False

    def record(self, status: int) -> None:
        """Add the entry. Repeated: once; handlers of lasting answers do so when these begin."""
        if self.is_recorded or self.access is None or status in _NOT_RECORDED:
            return
        self.is_recorded = True
        entry = AuditEntry(
            at_ms=wall_clock_ms(),
            key=self.access.key,
            team=self.access.team,
            action=self.action,
            channel_name=self.channel_name,
            call_id=self.call_id,
            subject=self.subject,
            status=status,
        )
        self.log.add(entry)


AUDITED: Final = web.RequestKey("audited", Audited)
"""Set on requests to audited operations."""


def note(request: web.Request, **known: str) -> None:
    """Note `channel_name`, `call_id` or `subject` of a request for its entry, if it has one."""
    if (audited := request.get(AUDITED)) is not None:
        for name, value in known.items():
            setattr(audited, name, value)


def audit_requests(log: AuditLog, action_of: Callable[[web.Request], str | None]) -> Middleware:
    """Return a middleware for around that which answers errors. action_of: None: not audited"""

    @web.middleware
    async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (action := action_of(request)) is None:
            return await handler(request)
        audited = request[AUDITED] = Audited(log, action)
        _note_path(request, audited)
        response = await handler(request)
        audited.access = request.get(ACCESS)
        audited.record(response.status)
        return response

    return audit


def _note_path(request: web.Request, audited: Audited) -> None:
    """Note what the path names; it may be anything."""
    channel_name = request.match_info.get("channel", "")
    if is_channel_name(channel_name):
        audited.channel_name = channel_name
    call_id = request.match_info.get("id", "")
    if len(call_id) <= _MAX_ID_CHARACTERS and call_id.isascii() and call_id.isprintable():
        audited.call_id = call_id
