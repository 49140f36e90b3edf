"""Alembic environment: runs the migrations on the connection of `control.store.database`."""

from __future__ import annotations

from alembic import context

from control.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
