"""Conversations and call records on disk: SQLite, or PostgreSQL by URL (docs/store.md)."""
