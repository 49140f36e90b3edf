"""Ports for servers of tests."""

from __future__ import annotations

import itertools

from tests.fakes.ports import _lane


def test_processes_that_share_tests_share_no_port() -> None:
    mine, other = ({*itertools.islice(_lane(worker), 1_000)} for worker in ("gw0", "gw1"))
    assert len(mine) == len(other) == 1_000, "none is given twice within the time of a test"
    assert not mine & other
