"""The embedded language model as a child process: a real, small, streaming model for tests."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ("-m", "main", "llm", "--fd")


@contextlib.contextmanager
def embedded_llm(command: Sequence[str] = COMMAND) -> Iterator[str]:
    """Yield its base URL, `http://127.0.0.1:PORT/v1`, once the model is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, *command, str(sock.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[sock.fileno()],
        ) as process:
            try:
                _wait_ready(process, uri)
                yield f"{uri}/v1"
            finally:
                process.terminate()
                process.wait(DEADLINE_S)


def _wait_ready(process: subprocess.Popen[bytes], uri: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        assert process.poll() is None, "the embedded model ended: see its log"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/healthz", timeout=10):
            return
        time.sleep(0.05)
    raise TimeoutError("the embedded model did not load")
