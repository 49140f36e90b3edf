"""One reply at a time, and no request lost or doubled."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from realtime.events import CreateResponse
from realtime.response_gate import ANSWER_TIMEOUT_S, MAX_WAITING, ReplyRequest, ResponseGate

PLAIN = CreateResponse()


def sent(request: ReplyRequest | None) -> str | None:
    assert request is not None, "nothing was sent"
    return request.command.instructions


def test_a_request_goes_out_at_once_when_nobody_replies() -> None:
    request = ResponseGate().request(PLAIN, now_s=0)
    assert request == ReplyRequest("reply_1", PLAIN)


def test_requests_wait_for_the_active_reply_and_plain_ones_merge() -> None:
    gate = ResponseGate()
    gate.handle_created("resp_1")
    assert gate.request(PLAIN, now_s=0) is None
    assert gate.request(PLAIN, now_s=0) is None
    assert gate.request(CreateResponse("say hi"), now_s=0) is None
    assert gate.next_due(now_s=0) is None
    gate.handle_done("resp_1")
    assert sent(gate.next_due(now_s=0)) is None
    gate.handle_created("resp_2")
    gate.handle_done("resp_2")
    assert sent(gate.next_due(now_s=0)) == "say hi"
    gate.handle_created("resp_3")
    gate.handle_done("resp_3")
    assert gate.next_due(now_s=0) is None


def test_a_request_on_its_way_holds_back_the_next() -> None:
    gate = ResponseGate()
    gate.request(CreateResponse("one"), now_s=0)
    assert gate.request(CreateResponse("two"), now_s=0) is None


def test_a_request_refused_because_of_a_race_is_sent_again_after_that_reply() -> None:
    gate = ResponseGate()
    request = gate.request(CreateResponse("say hi"), now_s=0)
    assert request is not None
    gate.handle_created("of_the_provider")
    gate.handle_refused(request.event_id, is_busy=True, now_s=0)
    assert gate.next_due(now_s=0) is None
    gate.handle_done("of_the_provider")
    assert sent(gate.next_due(now_s=0)) == "say hi"


def test_a_refusal_without_an_announced_reply_is_not_answered_in_a_hot_loop() -> None:
    gate = ResponseGate()
    gate.request(PLAIN, now_s=0)
    gate.handle_refused(None, is_busy=True, now_s=0)
    assert gate.next_due(now_s=ANSWER_TIMEOUT_S / 2) is None
    assert sent(gate.next_due(now_s=ANSWER_TIMEOUT_S)) is None


def test_a_request_refused_for_itself_is_dropped_and_blocks_nothing() -> None:
    gate = ResponseGate()
    request = gate.request(CreateResponse("nonsense"), now_s=0)
    assert request is not None
    gate.handle_refused("of_something_else", is_busy=False, now_s=0)
    assert gate.request(CreateResponse("two"), now_s=0) is None
    gate.handle_refused(request.event_id, is_busy=False, now_s=0)
    assert sent(gate.next_due(now_s=0)) == "two"


def test_a_cancelled_reply_that_never_ends_blocks_for_a_while_only() -> None:
    gate = ResponseGate()
    gate.handle_created("resp_1")
    gate.handle_cancel(now_s=10)
    assert gate.request(PLAIN, now_s=10) is None
    assert sent(gate.next_due(now_s=10 + ANSWER_TIMEOUT_S)) is None


def test_the_end_of_another_reply_frees_nothing() -> None:
    gate = ResponseGate()
    gate.handle_created("resp_1")
    gate.request(PLAIN, now_s=0)
    gate.handle_done("out_of_band")
    assert gate.next_due(now_s=0) is None


def test_of_too_many_the_oldest_is_dropped() -> None:
    gate = ResponseGate()
    gate.handle_created("resp_1")
    for number in range(MAX_WAITING + 1):
        gate.request(CreateResponse(str(number)), now_s=0)
    gate.handle_done("resp_1")
    assert sent(gate.next_due(now_s=0)) == "1"


STEPS: list[Callable[[ResponseGate, float], object]] = [
    lambda gate, now_s: gate.request(PLAIN, now_s=now_s),
    lambda gate, now_s: gate.request(CreateResponse("say"), now_s=now_s),
    lambda gate, now_s: gate.handle_created("a"),
    lambda gate, now_s: gate.handle_created("b"),
    lambda gate, now_s: gate.handle_done("a"),
    lambda gate, now_s: gate.handle_done("b"),
    lambda gate, now_s: gate.handle_cancel(now_s=now_s),
    lambda gate, now_s: gate.handle_refused(None, is_busy=True, now_s=now_s),
    lambda gate, now_s: gate.handle_refused("reply_1", is_busy=False, now_s=now_s),
    lambda gate, now_s: gate.next_due(now_s=now_s),
]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.floats(0, 3)), max_size=60))
def test_whatever_happens_a_new_request_goes_out_in_the_end(
    steps: list[tuple[Callable[[ResponseGate, float], object], float]],
) -> None:
    gate, now_s = ResponseGate(), 0.0
    for step, pause_s in steps:
        now_s += pause_s
        step(gate, now_s)
    found = [gate.request(CreateResponse("the last"), now_s=now_s)]
    for _ in range(MAX_WAITING + 2):
        for active in "ab":
            gate.handle_done(active)
        now_s += ANSWER_TIMEOUT_S
        found.append(gate.next_due(now_s=now_s))
    assert "the last" in [request.command.instructions for request in found if request]
