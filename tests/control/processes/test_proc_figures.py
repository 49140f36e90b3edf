from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from control.processes.proc_figures import SUDDEN_BYTES, read_figures
from control.processes.watch import ProcessFigures

HOG_BYTES = 2 * SUDDEN_BYTES
# Each line that it is given is run, and answered when that is done.
SCRIPT = "import os, sys\nfor line in sys.stdin: exec(line); print('done', flush=True)"


class Subject:
    """A process that does nothing but what it is told."""

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

    def figures(self, known: ProcessFigures | None = None) -> ProcessFigures:
        figures = read_figures(self._process.pid, known)
        assert figures is not None
        return figures


@contextmanager
def subject() -> Iterator[Subject]:
    command = [sys.executable, "-S", "-c", SCRIPT]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Subject(process)


def test_what_a_process_takes() -> None:
    with subject() as one:
        before = one.figures()
        one.run(f"hog = os.urandom({HOG_BYTES})")
        after = one.figures()
    assert after.private_bytes - before.private_bytes >= 0.9 * HOG_BYTES
    assert after.pss_bytes - before.pss_bytes >= 0.9 * HOG_BYTES
    assert 0 < before.descriptors < before.max_descriptors


def test_memory_is_read_again_only_when_there_is_suddenly_more_and_descriptors_always() -> None:
    with subject() as one:
        known = one.figures()
        one.run(f"more = os.urandom({SUDDEN_BYTES // 4}); file = os.open(os.devnull, os.O_RDONLY)")
        same = one.figures(known)
        one.run(f"hog = os.urandom({HOG_BYTES})")
        hog = one.figures(known)
    assert same.descriptors == known.descriptors + 1
    assert (same.private_bytes, same.pss_bytes) == (known.private_bytes, known.pss_bytes)
    assert hog.private_bytes - known.private_bytes >= 0.9 * HOG_BYTES


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert read_figures(gone.pid) is None
