"""Counts of processes and descriptors against files as the kernel writes them, and the real ones."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.machine import counts
from control.machine.counts import Count, raise_descriptor_limit, read_descriptors, read_tasks


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine of 300 threads, of which this user has 7 in two processes."""
    folder = tmp_path / "proc"
    write(folder / "loadavg", "0.10 0.20 0.30 2/300 4711\n")
    write(folder / "sys/kernel/threads-max", "10000\n")
    write(folder / "sys/kernel/pid_max", "32768\n")
    write(folder / "self/cgroup", "0::/box/inner\n")
    write(folder / "self/status", "Name:\tx\nCapEff:\t0000000000000000\n")
    for pid, uid, threads in ((1, 0, 9), (20, os.getuid(), 5), (21, os.getuid(), 2)):
        write(folder / f"{pid}/status", f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nThreads:\t{threads}\n")
    (folder / "22").mkdir()  # It ended meanwhile.
    return folder


def test_the_machine_has_limits_of_its_own(proc: Path, tmp_path: Path) -> None:
    assert read_tasks(proc, tmp_path) == Count("kernel.threads-max", 300, 10_000)
    write(proc / "sys/kernel/pid_max", "400\n")
    found = read_tasks(proc, tmp_path)
    assert found is not None
    assert (found.name, found.left) == ("kernel.pid_max", 100)


@pytest.mark.parametrize("where", ["box", "box/inner", "."])
def test_a_control_group_above_us_counts_too(proc: Path, tmp_path: Path, where: str) -> None:
    write(tmp_path / where / "pids.current", "30\n")
    write(tmp_path / where / "pids.max", "32\n")
    write(tmp_path / "box/inner/pids.max", "max\n" if where != "box/inner" else "32\n")
    assert read_tasks(proc, tmp_path) == Count("pids.max", 30, 32)


@pytest.mark.parametrize(
    ("limit", "is_root", "rights", "expected"),
    [
        (40, False, "0", Count("RLIMIT_NPROC", 7, 40)),
        (
            300 + counts.USER_COUNT_MARGIN + 1,
            False,
            "0",
            Count("RLIMIT_NPROC", 300, 300 + counts.USER_COUNT_MARGIN + 1),
        ),
        (40, True, "0", Count("kernel.threads-max", 300, 10_000)),
        (40, False, f"{1 << 24:016x}", Count("kernel.threads-max", 300, 10_000)),
        (40, False, f"{1 << 21:016x}", Count("kernel.threads-max", 300, 10_000)),
        (resource.RLIM_INFINITY, False, "0", Count("kernel.threads-max", 300, 10_000)),
    ],
)
def test_a_user_has_a_limit_unless_the_kernel_exempts_it(
    proc: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    is_root: bool,
    rights: str,
    expected: Count,
) -> None:
    uid = 0 if is_root else 41_234
    for pid in (20, 21):
        status = (proc / f"{pid}/status").read_text().replace(f"\t{os.getuid()}", f"\t{uid}")
        write(proc / f"{pid}/status", status)
    write(proc / "self/status", f"CapEff:\t{rights}\n")
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert read_tasks(proc, tmp_path) == expected


def test_without_readable_counts_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert read_tasks(tmp_path / "nothing", tmp_path) is None


@pytest.fixture
def own_limit() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_descriptors_of_this_process(own_limit: tuple[int, int]) -> None:
    before = read_descriptors()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    assert read_descriptors().used == before.used + 5
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 1, own_limit[1]))
    # None is left to count them with.
    full = read_descriptors()
    assert (full.left, full.limit) == (0, max(opened) + 1)
    for descriptor in opened:
        os.close(descriptor)


def test_the_limit_is_raised_to_what_is_needed_and_no_further(own_limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, own_limit[1]))
    assert raise_descriptor_limit(100) == 256
    assert raise_descriptor_limit(500) == 500
    assert raise_descriptor_limit(300) == 500
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500, own_limit[1])
