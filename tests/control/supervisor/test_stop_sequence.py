"""Request and reason of a stop."""

from __future__ import annotations

import pytest

from control.supervisor.stop_sequence import DEFAULT_DEADLINES, StopSequence
from conversation.lifecycle import ExitReason


@pytest.mark.asyncio
async def test_of_several_reasons_the_first_counts_with_its_explanation() -> None:
    sequence = StopSequence("demo", DEFAULT_DEADLINES, has_goodbye=False)
    assert (sequence.reason, sequence.problem, sequence.step) == (None, None, None)
    sequence.request(ExitReason.UNRESPONSIVE, problem="no answer for 5 s", is_graceful=False)
    sequence.request(ExitReason.STOPPED)
    sequence.handle_link_closed()
    assert (sequence.reason, sequence.problem) == (ExitReason.UNRESPONSIVE, "no answer for 5 s")


@pytest.mark.asyncio
async def test_a_closed_link_is_a_crash_unless_there_was_a_reason() -> None:
    sequence = StopSequence("demo", DEFAULT_DEADLINES, has_goodbye=False)
    sequence.handle_link_closed()
    assert (sequence.reason, sequence.is_link_closed) == (ExitReason.CRASHED, True)
