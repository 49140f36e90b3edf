"""Which files of an app are watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.app_watcher import MAX_FILES, signature


def names(app: Path | str, loaded: tuple[str, ...] = ()) -> set[str]:
    return {Path(path).name for path in signature(str(app), loaded)}


def tree(folder: Path, *paths: str) -> Path:
    for name in paths:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")
    return folder


def test_a_files_neighbours_and_what_was_loaded_are_watched(tmp_path: Path) -> None:
    tree(tmp_path, "orders.py", "db.py", "notes.txt", "sub/deep.py", "sub/other.py")
    assert names(tmp_path / "orders.py") == {"orders.py", "db.py"}
    loaded = (str(tmp_path / "sub" / "deep.py"), str(tmp_path / "gone.py"))
    assert names(tmp_path / "orders.py", loaded) == {"orders.py", "db.py", "deep.py"}


def test_a_folder_is_watched_whole_without_what_tools_put_there(tmp_path: Path) -> None:
    tree(tmp_path, "app.py", "sub/deep.py", ".venv/a.py", "__pycache__/b.py", "node_modules/c.py")
    assert names(tmp_path) == {"app.py", "deep.py"}


def test_a_module_is_watched_by_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "oak_company/__init__.py", "oak_company/desk.py", "other.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert names("oak_company.desk") == {"__init__.py", "desk.py"}
    assert names("no_such_company.desk") == set()


def test_a_change_shows_and_files_are_bounded(tmp_path: Path) -> None:
    path = tree(tmp_path, "app.py") / "app.py"
    before = signature(str(path), ())
    assert signature(str(path), ()) == before
    path.write_text("x = 22")
    assert signature(str(path), ()) != before
    for number in range(MAX_FILES + 10):
        (tmp_path / f"m{number}.py").touch()
    assert len(signature(str(tmp_path), ())) == MAX_FILES
