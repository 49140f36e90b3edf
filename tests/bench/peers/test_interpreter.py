from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.peers.interpreter import (
    INSTALL,
    installed_versions,
    missing_message,
    parse_versions,
    peers_python,
)
from bench.stand import ROOT

PYTHON = Path("/somewhere/bin/python")


def test_the_interpreter_is_the_variables_or_the_one_of_the_projects_folder() -> None:
    assert peers_python({}) == ROOT / ".venv-peers/bin/python"
    assert peers_python({"PEERS_PYTHON": ""}) == ROOT / ".venv-peers/bin/python"
    assert peers_python({"PEERS_PYTHON": str(PYTHON)}) == PYTHON


def test_versions_are_kept_by_the_names_of_the_peers() -> None:
    output = b'{"pipecat-ai": "1.14.0", "fastrtc": "0.0.34"}\n'
    assert parse_versions(output) == {"FastRTC": "0.0.34", "Pipecat": "1.14.0"}
    assert parse_versions(b"{}") == {}


@pytest.mark.parametrize(
    ("versions", "named"),
    [
        ({}, "FastRTC, Pipecat"),
        ({"FastRTC": "0.0.34"}, ": Pipecat"),
        ({"Pipecat": "1.14.0"}, ": FastRTC."),
    ],
)
def test_missing_peers_are_named_with_the_interpreter_and_the_remedy(
    versions: dict[str, str], named: str
) -> None:
    message = missing_message(versions, PYTHON)
    assert message is not None
    assert named in message
    assert str(PYTHON) in message
    assert INSTALL in message


def test_nothing_is_said_when_all_peers_are_there() -> None:
    assert missing_message({"FastRTC": "0.0.34", "Pipecat": "1.14.0"}, PYTHON) is None


@pytest.mark.asyncio
async def test_an_interpreter_that_is_missing_or_has_no_peer_has_no_versions(
    tmp_path: Path,
) -> None:
    assert await installed_versions(tmp_path / "bin" / "python") == {}
    # The runtime's venv never has the peers.
    assert await installed_versions(Path(sys.executable)) == {}


@pytest.mark.asyncio
async def test_versions_are_asked_of_the_interpreter_itself(tmp_path: Path) -> None:
    metadata = tmp_path / "fastrtc-9.8.7.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: fastrtc\nVersion: 9.8.7\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert await installed_versions(python) == {"FastRTC": "9.8.7"}
