from __future__ import annotations

import pytest

from control.processes.ending import Ending
from control.processes.ladder import DEFAULT_DEADLINES
from conversation.lifecycle import ExitReason


@pytest.mark.asyncio
async def test_of_several_reasons_the_first_counts_with_its_explanation() -> None:
    ending = Ending("demo", DEFAULT_DEADLINES, has_goodbye=False)
    assert (ending.reason, ending.problem, ending.rung) == (None, None, None)
    ending.want(ExitReason.UNRESPONSIVE, problem="no answer for 5 s", is_polite=False)
    ending.want(ExitReason.STOPPED)
    ending.handle_link_over()
    assert (ending.reason, ending.problem) == (ExitReason.UNRESPONSIVE, "no answer for 5 s")


@pytest.mark.asyncio
async def test_a_link_that_is_over_is_a_crash_unless_there_was_a_reason() -> None:
    ending = Ending("demo", DEFAULT_DEADLINES, has_goodbye=False)
    ending.handle_link_over()
    assert (ending.reason, ending.is_link_over) == (ExitReason.CRASHED, True)
