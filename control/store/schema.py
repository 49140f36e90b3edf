"""The tables as the code uses them. How they came to be: `migrations/`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()

CALLS: Final = Table(
    "calls",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    Column("server_id", String(64), nullable=False),
    Column("thread_id", String(128), nullable=False),
    Column("channel_name", String(64), nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    # `records.CallRecord` as JSON; the columns above are what is looked for.
    Column("record", Text, nullable=False),
    Index("calls_by_start", "started_at_ms", "call_id"),
    Index("calls_by_thread", "thread_id"),
    Index("calls_by_channel", "channel_name"),
    Index("calls_by_end", "server_id", "ended_at_ms"),
)

ENTRIES: Final = Table(
    "entries",
    METADATA,
    Column("thread_id", String(128), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("call_id", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # `conversation.remembered.RememberedEntry` as JSON.
    Column("entry", Text, nullable=False),
    Index("entries_by_call", "call_id"),
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

BLACK_BOXES: Final = Table(
    "black_boxes",
    METADATA,
    Column("call_id", String(64), primary_key=True),
    # `control.black_box.models.BlackBox` as JSON.
    Column("content", Text, nullable=False),
)
