"""To import what owners import costs nothing of what runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HEAVY = ("agent", "session", "control", "config", "rtc", "aiohttp", "av", "numpy", "sqlalchemy")


def test_a_definition_loads_nothing_that_runs_it() -> None:
    code = (
        "import sys, parley; parley.Agent('demo'); "
        f"print(*[name for name in {_HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_unknown_names_are_said_to_be_unknown() -> None:
    import parley

    assert parley.ConversationStore().place is None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = parley.Nonsense
