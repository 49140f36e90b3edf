"""Faults of the store in every state of an agent: it hangs, is locked or broken, or the clock is ahead
when the server starts. No call, start or stop waits for it, and delayed writes are there afterwards.
CHAOS=long runs the whole table.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.chaos import test_environment_faults
from tests.chaos.stage import STATES
from tests.chaos.store_faults import BrokenDatabase, ClockAhead, HungDatabase, LockedDatabase

KINDS: Final = {
    "hung": HungDatabase,
    "locked": LockedDatabase,
    "broken": BrokenDatabase,
    "clock ahead": ClockAhead,
}
SHORT: Final = (("hung", "running"), ("locked", "ready"), ("clock ahead", "running"))
TABLE: Final = (
    [(kind, state) for kind in KINDS for state in STATES]
    if os.environ.get("CHAOS") == "long"
    else SHORT
)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "state"), TABLE)
async def test_a_call_and_its_store(
    name: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = KINDS[name](tmp_path, monkeypatch)
    await test_environment_faults.run_call_with_fault(fault, state, tmp_path)
