"""One follow-up per batch of tool outputs."""

from __future__ import annotations

from conversation.tool_batch import ToolBatches


def test_one_call_answered_after_the_response_ended() -> None:
    batches = ToolBatches()
    batches.call_started("r", "a")
    assert not batches.response_done("r")
    assert batches.call_answered("r", "a")


def test_a_fast_tool_waits_for_the_response_to_end() -> None:
    batches = ToolBatches()
    batches.call_started("r", "a")
    assert not batches.call_answered("r", "a")
    assert batches.response_done("r")


def test_two_calls_get_one_follow_up() -> None:
    batches = ToolBatches()
    batches.call_started("r", "a")
    batches.call_started("r", "b")
    assert not batches.response_done("r")
    assert not batches.call_answered("r", "b")
    assert batches.call_answered("r", "a")
    assert not batches.call_answered("r", "a")


def test_a_response_without_calls_is_not_followed_up() -> None:
    assert not ToolBatches().response_done("r")


def test_a_batch_that_was_given_up_is_not_followed_up() -> None:
    batches = ToolBatches()
    batches.call_started("r", "a")
    assert not batches.response_done("r")
    assert not batches.call_closed("r", "a")
    assert not batches.call_answered("r", "a")


def test_what_is_left_of_a_batch_is_followed_up_whichever_ends_first() -> None:
    for given_up_first in (True, False):
        batches = ToolBatches()
        batches.call_started("r", "a")
        batches.call_started("r", "b")
        batches.response_done("r")
        endings = [batches.call_closed, batches.call_answered]
        first, second = endings if given_up_first else reversed(endings)
        assert not first("r", "a")
        assert second("r", "b")
