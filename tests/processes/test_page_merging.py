"""Equal memory pages of agents may be merged if the setting asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.conftest import server_process
from tests.processes.test_server import start, start_body


def is_mergeable(pid: int) -> bool:
    """Return true if the kernel may merge pages of this process (flag mg of its mappings)."""
    lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    return any("mg" in line.split() for line in lines if line.startswith("VmFlags:"))


@pytest.mark.asyncio
@pytest.mark.parametrize("is_wanted", [True, False])
async def test_agents_memory_is_merged_only_if_the_owner_wants_that(
    tmp_path: Path, *, is_wanted: bool
) -> None:
    settings = {"local_model_uri": "ws://127.0.0.1:9", "merge_pages": is_wanted}
    with server_process(tmp_path, settings) as server:
        (pid,) = await start(server, start_body())
        is_told_impossible = "MERGE_PAGES has no effect" in server.log.read_text()
        assert is_mergeable(pid) == (is_wanted and not is_told_impossible)
