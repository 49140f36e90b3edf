"""Control groups of this process, in folders like those of v1 and v2."""

from __future__ import annotations

from pathlib import Path

from control.machine.cgroups import own_groups, read_number, read_statistic


def groups(folder: Path, text: str) -> list[str]:
    """Paths of the memory groups, below `folder/cgroups`."""
    own = folder / "proc" / "self" / "cgroup"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(text)
    root = folder / "cgroups"
    return [str(one.relative_to(root)) for one in own_groups("memory", folder / "proc", root)]


def test_a_group_comes_with_all_of_its_parents(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/a/b\n") == ["a/b", "a", "."]
    assert groups(tmp_path, "4:cpu,memory:/a\n2:pids:/other\n") == ["memory/a", "memory"]
    assert groups(tmp_path, "2:pids:/other\n") == []


def test_without_control_groups_there_are_none(tmp_path: Path) -> None:
    assert own_groups("memory", tmp_path / "proc", tmp_path) == []


def test_a_number_is_read_and_no_limit_is_none(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("4096\n")
    (tmp_path / "unlimited").write_text("max\n")
    assert read_number(tmp_path / "limit") == 4096
    assert read_number(tmp_path / "unlimited") is None
    assert read_number(tmp_path / "missing") is None


def test_a_statistic_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 2\n")
    assert read_statistic(tmp_path / "memory.stat", "inactive_file") == 2
    assert read_statistic(tmp_path / "memory.stat", "file") == 0
    assert read_statistic(tmp_path / "missing", "file") == 0
