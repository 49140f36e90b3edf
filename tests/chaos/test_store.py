"""The store hangs, is locked or broken, or the clock is ahead when the server starts, in every state of
an agent. No call, start or stop waits for it, and what it could not take is there afterwards. CHAOS=long
runs the whole table.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.chaos import test_surroundings
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
    around = KINDS[name](tmp_path, monkeypatch)
    await test_surroundings.live_through(around, state, tmp_path)
