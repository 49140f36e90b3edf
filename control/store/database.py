"""The store's database: its URL, engine and migrations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

SQLITE_NAME: Final = "parley.sqlite3"

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BUSY_MS: Final = 5_000
# Per connection: pages evicted from it are still in the kernel's cache, and a busy server does not
# grow by the size of the file.
_SQLITE_CACHE_KIB: Final = 256
# Parameters of a failed statement may contain speech, which must not be logged.
_POOL: Final[dict[str, Any]] = {"pool_size": 3, "max_overflow": 0, "hide_parameters": True}
_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
# An arbitrary number, the same for all servers of one database.
_MIGRATION_LOCK: Final = 7_300_451


class StoreUrlError(ValueError):
    """`STORE_URL` is invalid; the text has the reason, without the URL's password."""


def database_url(data_dir: Path, store_url: str | None) -> URL:
    """Return the database's URL: `store_url`, or a SQLite file in `data_dir`.

    Raises:
        StoreUrlError: not a URL, or not of a supported database.
    """
    if store_url is None:
        return URL.create(_DRIVERS["sqlite"], database=str(data_dir / SQLITE_NAME))
    try:
        url = make_url(store_url)
    except (ArgumentError, ValueError):
        raise StoreUrlError("not a URL, such as postgresql://user:password@host/database") from None
    if url.drivername not in _DRIVERS:
        known = "sqlite:///file, postgresql://user:password@host/database"
        raise StoreUrlError(f"{url.drivername}:// is unknown, known are: {known}")
    if not url.database:
        raise StoreUrlError("the name of the database is missing at its end")
    return url.set(drivername=_DRIVERS[url.drivername])


def create_engine(url: URL) -> AsyncEngine:
    """Create an engine, not yet connected."""
    if url.drivername.startswith("postgresql"):
        # Timeouts in seconds: a network that drops everything must not block the server.
        waits: dict[str, Any] = {"timeout": 5, "command_timeout": 10}
        return create_async_engine(url, **_POOL, pool_pre_ping=True, connect_args=waits)
    engine = create_async_engine(url, **_POOL)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        # Readers and the writer do not block each other.
        "journal_mode=WAL",
        # Commits survive a power failure.
        "synchronous=FULL",
        f"busy_timeout={_BUSY_MS}",
        # Deleted content is overwritten.
        "secure_delete=ON",
        # Negative: in KiB.
        f"cache_size=-{_SQLITE_CACHE_KIB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def prepare_file(url: URL) -> None:
    """Create the file of a SQLite database and its folder, readable by this user only.

    Raises:
        OSError: it cannot be created.
    """
    if url.drivername.startswith("sqlite"):
        path = Path(str(url.database))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


async def migrate(engine: AsyncEngine) -> None:
    """Migrate the tables to the current schema.

    Raises:
        CommandError: the database has a newer schema.
        SQLAlchemyError, OSError: it cannot be reached or written.
    """
    async with engine.begin() as connection:
        await take_turn(connection, _MIGRATION_LOCK)
        await connection.run_sync(_upgrade)


async def take_turn(connection: AsyncConnection, number: int) -> None:
    """Take the lock `number` until the end of the current transaction; to be called first in it."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({number:d})"))
    else:
        # SQLite has one writer at a time.
        await connection.execute(text("BEGIN IMMEDIATE"))


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise CommandError(f"the database is of another version of Parley: {error}") from error
