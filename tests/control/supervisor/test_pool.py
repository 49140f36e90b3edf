"""Size of the pool under memory pressure."""

from __future__ import annotations

import pytest

from control.machine.memory import Memory
from control.supervisor.pool import target_idle


@pytest.mark.parametrize(
    ("available", "wanted"), [(100, 5), (20, 5), (19, 2), (10, 2), (9, 0), (0, 0)]
)
def test_the_pool_gives_way_when_memory_is_short(available: int, wanted: int) -> None:
    assert target_idle(5, Memory(100, available)) == wanted
