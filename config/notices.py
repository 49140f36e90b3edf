"""Kinds of webhook notices, and which of them `WEBHOOK_EVENTS` asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

LifecycleKind = Literal[
    "agent.started",
    "agent.ready",
    "agent.in_call",
    "agent.transfer_requested",
    "agent.transferred",
    "agent.restarting",
    "agent.exited",
]
ContentKind = Literal[
    "call.tool_call",
    "call.transcript",
    "call.usage",
    "call.recording",
    "call.summary",
    "call.extraction",
]
NoticeKind = LifecycleKind | ContentKind

LIFECYCLE_KINDS: Final[tuple[NoticeKind, ...]] = get_args(LifecycleKind)
"""Sent unless the setting says otherwise: they hold no words of a call, but the summary of a transfer."""

CONTENT_KINDS: Final[tuple[NoticeKind, ...]] = get_args(ContentKind)
_GROUPS: Final = {"agent.*": LIFECYCLE_KINDS, "call.*": CONTENT_KINDS}


def parse_kinds(names: Iterable[str]) -> tuple[NoticeKind, ...]:
    """Return the kinds that these names mean; `agent.*` and `call.*` stand for all of them.

    Raises:
        ValueError: a name is unknown.
    """
    known: dict[str, tuple[NoticeKind, ...]] = {
        kind: (kind,) for kind in (*LIFECYCLE_KINDS, *CONTENT_KINDS)
    } | _GROUPS
    wanted: list[NoticeKind] = []
    for name in names:
        if name not in known:
            raise ValueError(f"unknown kind, known are: {', '.join(known)}")
        wanted += known[name]
    return tuple(dict.fromkeys(wanted))
