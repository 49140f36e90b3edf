"""A folder is one server's at a time, and knows it again."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import ConfigError, Settings
from control.store.data_folder import DataFolder, DataFolderTakenError
from control.store.opening import create_archive
from control.store.recordings import Recordings


def test_a_folder_keeps_its_servers_id(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "a" / "b")
    first.close()
    first.close()
    again, other = DataFolder(tmp_path / "a" / "b"), DataFolder(tmp_path / "c")
    assert again.server_id == first.server_id
    assert again.server_id != other.server_id
    again.close()
    other.close()
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "a" / "b" / "server-id").write_text("rubbish")
    mended = DataFolder(tmp_path / "a" / "b")
    assert len(mended.server_id) == len(first.server_id)
    mended.close()


def test_a_folder_is_of_one_server_at_a_time(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    with pytest.raises(DataFolderTakenError, match=str(tmp_path)):
        DataFolder(tmp_path)
    with pytest.raises(ConfigError, match=r"DATA_DIR: .* is used by another running server"):
        create_archive(Settings(data_dir=tmp_path), Recordings(None))
    first.close()


def test_what_cannot_be_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"DATA_DIR: .*file"):
        create_archive(Settings(data_dir=tmp_path / "file"), Recordings(None))
    url = SecretStr("mysql://me:secret@host/db")
    with pytest.raises(ConfigError, match="STORE_URL: mysql:// is unknown") as raised:
        create_archive(Settings(data_dir=tmp_path / "data", store_url=url), Recordings(None))
    assert "secret" not in str(raised.value)
