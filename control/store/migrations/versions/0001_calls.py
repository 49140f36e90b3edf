"""Calls, what was said in them, their turns and black boxes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("server_id", sa.String(64), nullable=False),
        sa.Column("thread_id", sa.String(128), nullable=False),
        sa.Column("channel_name", sa.String(64), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("calls_by_start", "calls", ["started_at_ms", "call_id"])
    op.create_index("calls_by_thread", "calls", ["thread_id"])
    op.create_index("calls_by_channel", "calls", ["channel_name"])
    op.create_index("calls_by_end", "calls", ["server_id", "ended_at_ms"])
    op.create_table(
        "entries",
        sa.Column("thread_id", sa.String(128), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
    )
    op.create_index("entries_by_call", "entries", ["call_id"])
    op.create_table(
        "turns",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("process", sa.Integer, primary_key=True),
        sa.Column("turn", sa.Integer, primary_key=True),
        sa.Column("timings", sa.Text, nullable=False),
    )
    op.create_table(
        "black_boxes",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("black_boxes", "turns", "entries", "calls"):
        op.drop_table(table)
