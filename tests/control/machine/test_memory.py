from __future__ import annotations

from pathlib import Path

from control.machine.memory import Memory, read_memory

MIB = 1024 * 1024


def machine(tmp_path: Path, cgroup: str, files: dict[str, str]) -> Memory:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 4194304 kB\nMemFree: 1 kB\nMemAvailable: 1048576 kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_memory(proc, cgroups)


def test_without_a_group_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert machine(tmp_path, "0::/\n", {}) == Memory(4096 * MIB, 1024 * MIB)


def test_a_group_counts_with_its_parents_and_its_droppable_cache(tmp_path: Path) -> None:
    files = {
        "a/b/memory.max": "max\n",
        "a/b/memory.current": f"{100 * MIB}\n",
        "a/memory.max": f"{512 * MIB}\n",
        "a/memory.current": f"{400 * MIB}\n",
        "a/memory.stat": f"anon 1\ninactive_file {50 * MIB}\n",
    }
    assert machine(tmp_path, "0::/a/b\n", files) == Memory(512 * MIB, 162 * MIB)


def test_the_old_kind_of_group_counts_too(tmp_path: Path) -> None:
    files = {
        "memory/c/memory.limit_in_bytes": f"{256 * MIB}\n",
        "memory/c/memory.usage_in_bytes": f"{250 * MIB}\n",
        "memory/c/memory.stat": "total_inactive_file 0\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": "1\n",
    }
    lines = "5:devices:/\n4:cpu,memory:/c\n"
    assert machine(tmp_path, lines, files) == Memory(256 * MIB, 6 * MIB)


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    files = {"memory.max": "10", "memory.current": "20"}
    memory = machine(tmp_path, "0::/of/the/host\n", files)
    assert memory.available_share == 0
