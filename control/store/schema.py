"""The current tables; their history is in `migrations/`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

METADATA: Final = MetaData()

_IS_LIVE: Final = text("ended_at_ms IS NULL")
_OF_START: Final = ("started_at_ms", "call_id")
# With the name of a team before it; SQLite has texts of any length.
_NAME: Final = String(128).with_variant(String(256), "postgresql")

CALLS: Final = Table(
    "calls",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    Column("server_id", String(64), nullable=False),
    Column("thread_id", String(128), nullable=False),
    Column("team", String(64), nullable=False, server_default=""),
    Column("channel_name", String(64), nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("person_id", String(128), nullable=False, server_default=""),
    Column("agent", String(300), nullable=False, server_default=""),
    Column("provider", String(64), nullable=False, server_default=""),
    Column("exit_reason", String(32)),
    Column("cost", Float, nullable=False, server_default="0"),
    # Channel, thread, person and agent in small letters.
    Column("search", Text, nullable=False, server_default=""),
    # `records.CallRecord` as JSON; the columns above are for queries.
    Column("record", Text, nullable=False),
    # With all that is compared in no index of its own: those are found without reading the rows.
    Index("calls_by_start", *_OF_START, "ended_at_ms", "cost", "search"),
    Index("calls_by_team", "team", *_OF_START),
    Index("calls_by_channel", "channel_name", *_OF_START),
    Index("calls_by_thread", "thread_id", *_OF_START),
    Index("calls_by_person", "person_id", *_OF_START),
    Index("calls_by_agent", "agent", *_OF_START),
    Index("calls_by_provider", "provider", *_OF_START),
    Index("calls_by_exit", "exit_reason", *_OF_START),
    Index("calls_live", *_OF_START, sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE),
    Index("calls_by_end", "server_id", "ended_at_ms"),
)

ENTRIES: Final = Table(
    "entries",
    METADATA,
    # `records.CallRecord.thread_key`, as in the next table.
    Column("thread_id", _NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("call_id", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # `conversation.snapshot.SnapshotEntry` as JSON.
    Column("entry", Text, nullable=False),
    Index("entries_by_call", "call_id"),
)

STATES: Final = Table(
    "thread_states",
    METADATA,
    Column("thread_id", _NAME, primary_key=True),
    # The call that wrote it last; it is deleted with that one.
    Column("call_id", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # `parley.Call.state` as JSON.
    Column("state", Text, nullable=False),
    Index("thread_states_by_call", "call_id"),
)

MEMORIES: Final = Table(
    "memories",
    METADATA,
    # `config.agent.team_key`.
    Column("memory_key", _NAME, primary_key=True),
    Column("memory_id", String(16), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    # Words of the model.
    Column("text", Text, nullable=False),
)

TURNS: Final = Table(
    "turns",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    Column("process", Integer, primary_key=True),
    Column("turn", Integer, primary_key=True),
    # `records.CallTurn` as JSON.
    Column("timings", Text, nullable=False),
)

MARKS: Final = Table(
    "marks",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    # `records.CallMark` as JSON.
    Column("mark", Text, nullable=False),
)

BLACK_BOXES: Final = Table(
    "black_boxes",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    # `control.black_box.models.BlackBox` as JSON.
    Column("content", Text, nullable=False),
)

ANALYSES: Final = Table(
    "analyses",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    # `summary` or `extraction`.
    Column("kind", String(16), primary_key=True),
    # Of `content`, for queries.
    Column("state", String(16), nullable=False),
    # JSON schema of an extraction; empty for a summary.
    Column("wanted", Text, nullable=False),
    # `records.Summary` or `records.Extraction` as JSON.
    Column("content", Text, nullable=False),
    Index("analyses_by_state", "state"),
)

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("key_id", String(16), nullable=False, unique=True),
    Column("team", String(64), nullable=False),
    # SHA-256 of the secret, and until `old_works_until_ms` of the one before, in hex.
    Column("digest", String(64), nullable=False),
    Column("old_digest", String(64)),
    Column("old_works_until_ms", BigInteger),
    # Separated by commas.
    Column("scopes", String(128), nullable=False),
    # `control.keys.access.KeyLimits` as JSON.
    Column("limits", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("rotated_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    # SQLite counts by itself only what is called an integer.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("key", String(64), nullable=False),
    Column("team", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("channel_name", String(64), nullable=False),
    Column("call_id", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Index("audit_by_time", "at_ms"),
    Index("audit_by_team", "team", "number"),
    Index("audit_by_key", "key", "number"),
    Index("audit_by_channel", "channel_name", "number"),
    Index("audit_by_call", "call_id", "number"),
)
