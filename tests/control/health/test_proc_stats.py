from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from control.health.proc_stats import SUDDEN_BYTES, read_proc_stats
from control.health.rules import ProcStats

HOG_BYTES = 2 * SUDDEN_BYTES
# Each line that it is given is run, and answered when that is done.
SCRIPT = "import os, sys\nfor line in sys.stdin: exec(line); print('done', flush=True)"


class Subject:
    """A process that does only what the test asks for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.run("pass")

    def run(self, line: str) -> None:
        """Returns when it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def stats(self, known: ProcStats | None = None) -> ProcStats:
        stats = read_proc_stats(self._process.pid, known)
        assert stats is not None
        return stats


@contextmanager
def subject() -> Iterator[Subject]:
    command = [sys.executable, "-S", "-c", SCRIPT]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Subject(process)


def test_what_a_process_takes() -> None:
    with subject() as one:
        before = one.stats()
        one.run(f"hog = os.urandom({HOG_BYTES})")
        after = one.stats()
    assert after.private_bytes - before.private_bytes >= 0.9 * HOG_BYTES
    assert after.pss_bytes - before.pss_bytes >= 0.9 * HOG_BYTES
    assert 0 < before.descriptors < before.max_descriptors


def test_memory_is_read_again_only_when_there_is_suddenly_more_and_descriptors_always() -> None:
    with subject() as one:
        known = one.stats()
        one.run(f"more = os.urandom({SUDDEN_BYTES // 4}); file = os.open(os.devnull, os.O_RDONLY)")
        same = one.stats(known)
        one.run(f"hog = os.urandom({HOG_BYTES})")
        hog = one.stats(known)
    assert same.descriptors == known.descriptors + 1
    assert (same.private_bytes, same.pss_bytes) == (known.private_bytes, known.pss_bytes)
    assert hog.private_bytes - known.private_bytes >= 0.9 * HOG_BYTES


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert read_proc_stats(gone.pid) is None


def test_processor_time_is_read_each_time() -> None:
    with subject() as one:
        before = one.stats()
        one.run("while sum(os.times()[:2]) < 0.5: pass")
        after = one.stats(before)
    assert before.cpu_s < 0.5 <= after.cpu_s < 1
