"""Replies end exactly once, whatever the provider says or leaves out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.dashscope.reply_end import AFTER_ITEM_S, SILENCE_S, Cut, ReplyEndDetector


def test_a_reply_that_nobody_cut_is_never_overdue() -> None:
    ends = ReplyEndDetector()
    ends.handle_created("r")
    ends.handle_item_done("r", now_s=1.0)
    assert ends.deadline_s is None
    assert ends.overdue(now_s=1e9) is None


def test_a_sign_of_the_reply_puts_its_end_off() -> None:
    ends = ReplyEndDetector()
    ends.handle_created("r")
    ends.handle_cut(Cut.BY_US, now_s=10.0)
    assert ends.deadline_s == 10.0 + SILENCE_S
    assert ends.handle_news("r", now_s=12.0)
    assert ends.overdue(now_s=10.0 + SILENCE_S) is None
    ends.handle_item_done("r", now_s=13.0)
    assert ends.deadline_s == 13.0 + AFTER_ITEM_S
    assert ends.overdue(now_s=13.0 + AFTER_ITEM_S) == ("r", Cut.BY_US)
    assert not ends.handle_news("r", now_s=14.0)


def test_of_two_cuts_the_first_counts() -> None:
    ends = ReplyEndDetector()
    ends.handle_cut(Cut.BY_SPEECH, now_s=0.0)  # nothing to cut
    ends.handle_created("r")
    assert ends.deadline_s is None
    ends.handle_cut(Cut.BY_SPEECH, now_s=1.0)
    ends.handle_cut(Cut.BY_US, now_s=2.0)
    assert ends.overdue(now_s=1.0 + SILENCE_S) == ("r", Cut.BY_SPEECH)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "news", "item", "done", "wait"]),
        st.floats(min_value=0.0, max_value=7.0),
    )
)


@given(STEPS)
def test_every_reply_that_was_cut_ends_exactly_once(steps: list[tuple[str, float]]) -> None:
    ends, now_s, endings, is_cut = ReplyEndDetector(), 0.0, 0, False
    ends.handle_created("r")
    for step, wait_s in steps:
        now_s += wait_s
        if ends.overdue(now_s=now_s) is not None:
            endings += 1
        match step:
            case "cut":
                is_cut = is_cut or ends.active is not None
                ends.handle_cut(Cut.BY_US, now_s=now_s)
            case "news":
                ends.handle_news("r", now_s=now_s)
            case "item":
                ends.handle_item_done("r", now_s=now_s)
            case "done":
                if ends.handle_news("r", now_s=now_s) and ends.active == "r":
                    endings += 1
                ends.handle_done("r")
            case _:
                pass
    if ends.overdue(now_s=now_s + SILENCE_S) is not None:
        endings += 1
    assert endings == (is_cut or any(step == "done" for step, _ in steps))
    assert (ends.active is None) == bool(endings)
