"""The interpreter that has the peers' packages, and which of them it lacks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.stand import ROOT

PACKAGES: Final = {"FastRTC": "fastrtc", "Pipecat": "pipecat-ai"}
INSTALL: Final = (
    "python3 -m venv .venv-peers && .venv-peers/bin/pip install -r bench/requirements-peers.txt"
)
_VERSIONS: Final = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def peers_python(environ: Mapping[str, str] = os.environ) -> Path:
    """`PEERS_PYTHON`, or the one of `.venv-peers` in the project's folder."""
    return ROOT / (environ.get("PEERS_PYTHON") or ".venv-peers/bin/python")


async def installed_versions(python: Path) -> dict[str, str]:
    """Version of each installed peer, by its name; empty when `python` cannot be run."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-c", _VERSIONS, *PACKAGES.values()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return {}
    output, _ = await process.communicate()
    return parse_versions(output) if process.returncode == 0 else {}


def parse_versions(output: bytes) -> dict[str, str]:
    """Versions by the peer's name, from versions by the package's name as JSON."""
    found = json.loads(output)
    return {peer: found[package] for peer, package in PACKAGES.items() if package in found}


def missing_message(versions: Mapping[str, str], python: Path) -> str | None:
    """Name the peers without a version and the remedy; None when all are there."""
    missing = [peer for peer in PACKAGES if peer not in versions]
    if not missing:
        return None
    return f"not measured, not installed for {python}: {', '.join(missing)}. Remedy: {INSTALL}"
