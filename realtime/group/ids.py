"""Ids of a group: those of each member's provider, with the member's name in front. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final, TypeVar

SEPARATOR: Final = ":"
"""Names of agents cannot hold it."""

_ID_FIELDS: Final = ("response_id", "item_id", "call_id", "request_id", "previous_item_id")

T = TypeVar("T")


def with_owner(event: T, owner: str) -> T:
    """Return the event with `owner` in front of each of its ids that is not empty."""
    changes: dict[str, Any] = {}
    for each in fields(event):  # type: ignore[arg-type]
        value = getattr(event, each.name)
        if each.name in _ID_FIELDS and value:
            changes[each.name] = join(owner, value)
        elif each.name == "call_ids":
            changes[each.name] = tuple(join(owner, one) for one in value)
    return replace(event, **changes) if changes else event  # type: ignore[type-var]


def join(owner: str, own_id: str) -> str:
    """Return the group's id of a member's own id."""
    return f"{owner}{SEPARATOR}{own_id}"


def split(group_id: str | None) -> tuple[str | None, str]:
    """Return owner and own id; the owner is None for an id that the group itself was given."""
    owner, separator, own_id = (group_id or "").partition(SEPARATOR)
    return (owner, own_id) if separator else (None, group_id or "")
