"""Teams: each has conversations and memories of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAMES = (
    ("entries", "thread_id"),
    ("thread_states", "thread_id"),
    ("memories", "memory_key"),
)


def upgrade() -> None:
    column = sa.Column("team", sa.String(64), nullable=False, server_default="")
    op.add_column("calls", column)
    op.create_index("calls_by_team", "calls", ["team", "started_at_ms", "call_id"])
    _resize(256)


def downgrade() -> None:
    op.drop_index("calls_by_team", "calls")
    op.drop_column("calls", "team")
    _resize(128)


def _resize(characters: int) -> None:
    # SQLite has texts of any length.
    if op.get_bind().dialect.name == "postgresql":
        for table, name in _NAMES:
            op.alter_column(table, name, type_=sa.String(characters))
