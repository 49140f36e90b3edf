"""Wanted summaries and extractions: pending from the start, settled once, deleted with their call."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import URL

from control.store.analyses import WantedAnalysis
from control.store.records import Extraction, Summary
from tests.control.store.samples import config
from tests.control.store.test_archive import end, opened

SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}}
DONE = Extraction(state="done", at_ms=5, value={"order": 7}, model="m", input_tokens=3)


@pytest.mark.asyncio
async def test_work_is_pending_until_it_is_settled_and_goes_with_its_call(url: URL) -> None:
    async with opened(url) as archive:
        for call_id in ("one", "two", "live"):
            wanted = await archive.open_call(config(call_id, summarise=True, extract=SCHEMA))
            archive.recorder.handle_start(wanted, restarts=0)
        plain = await archive.open_call(config("plain"))
        archive.recorder.handle_start(plain, restarts=0)
        for call_id in ("one", "two", "plain"):
            end(archive, call_id)
        shown = await archive.details("live")
        assert shown.summary is not None
        assert shown.extraction is not None
        assert (shown.summary.state, shown.extraction.state) == ("pending", "pending")
        assert (await archive.details("plain")).summary is None
    # Another server of the database has work of its own.
    async with opened(url, server_id="other") as archive:
        assert await archive.analyses.pending_calls() == []
    async with opened(url) as archive:
        # The server was killed: what was live then has ended.
        assert sorted(await archive.analyses.pending_calls()) == ["live", "one", "two"]
        assert await archive.analyses.pending("one") == [
            WantedAnalysis("summary", None),
            WantedAnalysis("extraction", SCHEMA),
        ]
        failed = Summary(state="failed", reason="down", at_ms=5)
        assert await archive.analyses.settle("one", "summary", failed)
        assert await archive.analyses.settle("one", "extraction", DONE)
        assert await archive.analyses.pending("one") == []
        shown = await archive.details("one")
        assert (shown.summary, shown.extraction) == (failed, DONE)
        await archive.delete("two")
        assert not await archive.analyses.settle("two", "extraction", DONE)
        assert await archive.analyses.pending_calls() == ["live"]
