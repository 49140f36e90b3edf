"""Nothing of Parley or of what it depends on resolves a name or sends a packet unasked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fakes.quiet_network import run_quietly

TALKATIVE = """
import os, pathlib, socket
try:
    socket.getaddrinfo("telemetry.example", 443)
except OSError:
    pass
socket.socket(type=socket.SOCK_DGRAM).sendto(b"here", ("203.0.113.9", 9))
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
pathlib.Path(os.environ["HOME"], "device").write_text("id")
"""


def test_a_program_that_talks_is_heard(tmp_path: Path) -> None:
    heard = run_quietly(tmp_path, [sys.executable, "-c", TALKATIVE], {})
    assert (heard.exit_code, heard.output) == (0, "")
    assert set(heard.lookups) == {"telemetry.example"}
    assert len(heard.packets) == 1
    assert heard.files == ["device"]


@pytest.mark.speech
@pytest.mark.timeout(300)
def test_a_server_its_model_its_agents_and_all_commands_say_nothing(tmp_path: Path) -> None:
    """Nor is anything written into the home folder."""
    scene = [sys.executable, "-m", "tests.processes.quiet_scene", str(tmp_path)]
    heard = run_quietly(tmp_path, scene, {"PYTHONDONTWRITEBYTECODE": "1"})
    assert heard.exit_code == 0, heard.output[-8_000:]
    assert heard.lookups == []
    assert heard.packets == []
    assert heard.files == []
