"""What other processes of the same user can learn of a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes.conftest import DEADLINE_S, ROOT

_HARDENED = """
import os, sys
from control.processes.hardening import forbid_peeking
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
forbid_peeking()
print("ready", flush=True)
sys.stdin.read()
"""


def test_nobody_of_the_same_user_reads_the_first_environment() -> None:
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
