"""State that owners' code keeps with a conversation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "thread_states",
        sa.Column("thread_id", sa.String(128), primary_key=True),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_index("thread_states_by_call", "thread_states", ["call_id"])


def downgrade() -> None:
    op.drop_table("thread_states")
