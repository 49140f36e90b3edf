"""Access of other processes of the same user to a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ROOT

_HARDENED = """
import os, sys
from control.machine.prctl import make_undumpable
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
make_undumpable()
print("ready", flush=True)
sys.stdin.read()
"""


def test_no_process_of_the_same_user_reads_the_first_environment() -> None:
    command = [sys.executable, "-c", _HARDENED]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as hardened:
        assert hardened.stdin is not None
        assert hardened.stdout is not None
        assert hardened.stdout.readline() == "ready\n"
        path = Path(f"/proc/{hardened.pid}/environ")
        # What the kernel gives to root is not for the user that the process runs as.
        assert path.stat().st_uid == 0
        hardened.stdin.close()
        assert hardened.wait(DEADLINE_S) == 0
