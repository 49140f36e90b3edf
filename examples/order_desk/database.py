"""Orders in SQLite. Values reach SQL as parameters only, whatever a model has made of a call."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

DATABASE = Path(os.environ.get("ORDER_DESK_DATABASE") or Path(__file__).with_name("orders.sqlite3"))


@contextmanager
def _open() -> Iterator[sqlite3.Connection]:
    """Open a connection for one transaction: tools run in threads, calls in processes."""
    # mode=rw: a missing database is an error, rather than an empty one.
    uri = f"{DATABASE.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection, connection:
        connection.row_factory = sqlite3.Row
        yield connection


def find_order(number: int) -> dict[str, object] | None:
    """Return an order, or None."""
    with _open() as connection:
        row = connection.execute("SELECT * FROM orders WHERE number = ?", [number]).fetchone()
    return dict(row) if row is not None else None


def change_quantity(number: int, quantity: int) -> bool:
    """Change an order; false: there is none, or it is not open."""
    return _write(
        "UPDATE orders SET quantity = ? WHERE number = ? AND state = 'open'", quantity, number
    )


def cancel_order(number: int) -> bool:
    """Cancel an order; false: there is none, or it is not open."""
    return _write(
        "UPDATE orders SET state = 'cancelled' WHERE number = ? AND state = 'open'", number
    )


def add_complaint(number: int, problem: str) -> bool:
    """Note a complaint; false: there is no such order."""
    return _write(
        "INSERT INTO complaints (number, problem) SELECT number, ? FROM orders WHERE number = ?",
        *(problem, number),
    )


def add_call(channel: str, reason: str, numbers: str) -> None:
    """Note a call that is over."""
    _write("INSERT INTO calls VALUES (?, ?, ?)", channel, reason, numbers)


def _write(statement: str, *values: object) -> bool:
    with _open() as connection:
        return connection.execute(statement, values).rowcount > 0
