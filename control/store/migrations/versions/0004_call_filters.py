"""Columns by which calls are found, and an index for each way of asking."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BATCH = 500
_KEYED = ("channel_name", "thread_id", "person_id", "agent", "provider", "exit_reason")
_CALLS = sa.table(
    "calls",
    *(sa.column(name) for name in ("call_id", "record", *_KEYED, "cost", "search")),
)


def upgrade() -> None:
    for name, length in (("person_id", 128), ("agent", 300), ("provider", 64)):
        op.add_column(
            "calls", sa.Column(name, sa.String(length), nullable=False, server_default="")
        )
    op.add_column("calls", sa.Column("exit_reason", sa.String(32)))
    op.add_column("calls", sa.Column("cost", sa.Float, nullable=False, server_default="0"))
    op.add_column("calls", sa.Column("search", sa.Text, nullable=False, server_default=""))
    _fill()
    for name in ("calls_by_start", "calls_by_thread", "calls_by_channel"):
        op.drop_index(name, "calls")
    # With all that is compared in no index of its own: those are found without reading the rows.
    of_start = ["started_at_ms", "call_id", "ended_at_ms", "cost", "search"]
    op.create_index("calls_by_start", "calls", of_start)
    for name in _KEYED:
        short = name.removesuffix("_id").removesuffix("_name").removesuffix("_reason")
        op.create_index(f"calls_by_{short}", "calls", [name, "started_at_ms", "call_id"])
    is_live = sa.text("ended_at_ms IS NULL")
    op.create_index(
        "calls_live",
        "calls",
        ["started_at_ms", "call_id"],
        sqlite_where=is_live,
        postgresql_where=is_live,
    )


def _fill() -> None:
    """Fill the columns of calls that are stored already from their records."""
    connection = op.get_bind()
    after = ""
    while True:
        rows = connection.execute(
            sa.select(_CALLS.c.call_id, _CALLS.c.record)
            .where(_CALLS.c.call_id > after)
            .order_by(_CALLS.c.call_id)
            .limit(_BATCH)
        ).all()
        if not rows:
            return
        after = rows[-1][0]
        connection.execute(
            sa.update(_CALLS).where(_CALLS.c.call_id == sa.bindparam("of_call")),
            [{"of_call": call_id, **_values(json.loads(record))} for call_id, record in rows],
        )


def _values(record: dict[str, Any]) -> dict[str, Any]:
    names = [record.get(name) or "" for name in ("channel_name", "thread_id", "person_id", "agent")]
    return {
        "person_id": names[2],
        "agent": names[3],
        "provider": record.get("provider") or "",
        "exit_reason": record.get("exit_reason"),
        "cost": float((record.get("usage") or {}).get("cost") or 0.0),
        "search": "\n".join(names).lower(),
    }


def downgrade() -> None:
    op.drop_index("calls_live", "calls")
    for name in ("start", "channel", "thread", "person", "agent", "provider", "exit"):
        op.drop_index(f"calls_by_{name}", "calls")
    for name in ("person_id", "agent", "provider", "exit_reason", "cost", "search"):
        op.drop_column("calls", name)
    op.create_index("calls_by_start", "calls", ["started_at_ms", "call_id"])
    op.create_index("calls_by_thread", "calls", ["thread_id"])
    op.create_index("calls_by_channel", "calls", ["channel_name"])
