"""Where a recording is, and that no id leads elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from session.recording.path import recording_path


def test_an_agents_recording_is_named_by_its_id() -> None:
    assert recording_path(Path("/r"), "agent-0a1b") == Path("/r/agent-0a1b.wav")


@pytest.mark.parametrize("agent_id", ["", "..", "a/b", "../a", "a.b", "a\0b", "a\n", "x" * 129])
def test_other_ids_are_refused(agent_id: str) -> None:
    with pytest.raises(ValueError, match="id"):
        recording_path(Path("/r"), agent_id)
