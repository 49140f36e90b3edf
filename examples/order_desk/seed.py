"""Create the database of the order desk: `python -m examples.order_desk.seed [FILE]`."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from .database import DATABASE

SCHEMA = """
CREATE TABLE orders (
    number INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    article TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    state TEXT NOT NULL CHECK (state IN ('open', 'shipped', 'delivered', 'cancelled'))
);
CREATE TABLE complaints (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL REFERENCES orders (number),
    problem TEXT NOT NULL
);
CREATE TABLE calls (
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    numbers TEXT NOT NULL
);
"""

ORDERS = [
    (1001, "Ada Marsh", "garden chair", 4, "open"),
    (1002, "Ben Osei", "lamp", 1, "shipped"),
    (1003, "Ada Marsh", "rug", 1, "delivered"),
]


def create(path: Path) -> None:
    """Write a new database in place of an old one; a reader sees the one or the other."""
    handle, new = tempfile.mkstemp(dir=path.parent, suffix=".new")
    os.close(handle)
    with closing(sqlite3.connect(new)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", ORDERS)
    Path(new).replace(path)


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else DATABASE
    create(place)
    print(f"{place}: {len(ORDERS)} orders")
