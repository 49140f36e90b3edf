"""The soak in small: a few calls, and the last one leaves what the first one left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import churn as soak
from tests.soak.churn import churning


@pytest.mark.asyncio
async def test_calls_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "KILL_EVERY", 3)
    async with churning(tmp_path) as churn:
        for _ in range(4):
            await churn.call()
        first, *_, last = churn.samples
        assert (last.descriptors, last.processes) == (first.descriptors, first.processes)
        assert churn.kills == 1
        assert churn.heard_ms > 4 * 500
    assert "Traceback" not in churn.server.log.read_text()
