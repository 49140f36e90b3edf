"""Creates the archive from the server's settings."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL

from config.settings import ConfigError, Settings
from control.store.archive import Archive
from control.store.data_folder import DataFolder, DataFolderTakenError
from control.store.database import StoreUrlError, database_url
from control.store.recordings import Recordings
from control.store.retention import Retention


def checked_url(data_dir: Path, store_url: str | None) -> URL:
    """Return the database's URL.

    Raises:
        ConfigError: `STORE_URL` is invalid.
    """
    try:
        return database_url(data_dir, store_url)
    except StoreUrlError as error:
        raise ConfigError(f"STORE_URL: {error}") from error


def create_archive(settings: Settings, recordings: Recordings) -> Archive:
    """Create an archive, not yet started; it holds its folder until it is closed.

    recordings: deleted with their calls

    Raises:
        ConfigError: the folder or the database cannot be used.
    """
    given = settings.store_url
    url = checked_url(settings.data_dir, given.get_secret_value() if given else None)
    try:
        folder = DataFolder(settings.data_dir)
    except DataFolderTakenError as error:
        text = f"DATA_DIR: {error} is used by another running server: choose another folder"
        raise ConfigError(text) from error
    except OSError as error:
        raise ConfigError(f"DATA_DIR: {settings.data_dir}: {error.strerror or error}") from error
    retention = Retention(settings.retention_days, settings.retention_calls)
    return Archive(
        url,
        folder.server_id,
        retention,
        folder=folder,
        is_shared=given is not None,
        on_deleted=recordings.delete,
    )
