"""Path of a call's recording."""

from __future__ import annotations

import re
from pathlib import Path

_AGENT_ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}"


def recording_path(directory: Path, agent_id: str) -> Path:
    """Return the file in `directory` for the call of this agent, whether it exists or not.

    Raises:
        ValueError: not an agent id; it could lead out of the folder.
    """
    if re.fullmatch(_AGENT_ID, agent_id) is None:
        raise ValueError("an agent's id is letters, digits, _ and -")
    return directory / f"{agent_id}.wav"
