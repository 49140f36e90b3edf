"""Both databases for every test that wants a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.engine import URL

from control.store.database import database_url
from control.store.store import Store
from tests.control.store.postgres import Postgres, running_postgres

SERVER = "this-server"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> URL:
    """An empty database."""
    if request.param == "sqlite":
        return database_url(tmp_path, None)
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return database_url(tmp_path, postgres.url)


@pytest_asyncio.fixture
async def store(url: URL) -> AsyncIterator[Store]:
    store = Store(url, SERVER)
    await store.open()
    yield store
    await store.close()
