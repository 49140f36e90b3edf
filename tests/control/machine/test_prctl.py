"""Process attributes, set in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from control.machine import prctl
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ROOT


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, cwd=ROOT, text=True, timeout=DEADLINE_S, check=False
    )


def test_a_process_whose_parent_is_gone_does_not_go_on() -> None:
    code = "import sys\nfrom control.machine.prctl import die_with_parent\n"
    code += "die_with_parent(int(sys.argv[1]))\nprint('goes on')"
    assert run(code, str(os.getpid())).stdout == "goes on\n"
    orphaned = run(code, "1")
    assert orphaned.stdout == ""
    assert "ParentGoneError" in orphaned.stderr


def test_the_death_signal_survives_exec() -> None:
    read_it = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n))"
    command = [sys.executable, "-m", "control.machine.prctl", str(os.getpid())]
    command += [sys.executable, "-c", f"{read_it}; print(n.value)"]
    assert subprocess.run(command, capture_output=True, cwd=ROOT, check=True).stdout == b"9\n"


def test_the_command_is_not_run_without_a_parent() -> None:
    command = [sys.executable, "-m", "control.machine.prctl", "1", sys.executable, "-c", "print(1)"]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_refusal_of_the_kernel_names_the_option() -> None:
    with pytest.raises(OSError, match=r"prctl\(PR_UNKNOWN\): Invalid argument"):
        prctl._prctl("PR_UNKNOWN", 999_999, 0)
