"""Which turns are answered, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conversation.turn_taking.answers import Answers


def test_a_turn_is_answered_once_when_it_is_committed() -> None:
    answers = Answers(waits_for_words=False)
    answers.begin("a", is_pending=False)
    assert answers.commit("a")
    assert not answers.commit("a")
    assert not answers.words_known("a", has_words=True, is_user_speaking=False)


def test_what_nobody_said_by_voice_is_the_clients_affair() -> None:
    answers = Answers(waits_for_words=False)
    assert not answers.commit("committed by hand")
    assert not answers.words_known("written", has_words=True, is_user_speaking=False)


def test_a_model_that_knows_words_early_is_asked_when_they_are_there() -> None:
    answers = Answers(waits_for_words=True)
    answers.begin("a", is_pending=False)
    assert not answers.commit("a")
    assert answers.words_known("a", has_words=True, is_user_speaking=False)
    answers.begin("noise", is_pending=False)
    assert not answers.commit("noise")
    assert not answers.words_known("noise", has_words=False, is_user_speaking=False)


def test_one_who_speaks_on_gets_one_answer_to_both_turns() -> None:
    answers = Answers(waits_for_words=True)
    for item_id in ("a", "b"):
        answers.begin(item_id, is_pending=False)
    answers.commit("a")
    assert not answers.words_known("a", has_words=True, is_user_speaking=True)
    answers.commit("b")
    assert answers.words_known("b", has_words=False, is_user_speaking=False), (
        "the first is still open"
    )
    answers.begin("c", is_pending=False)
    answers.commit("c")
    assert not answers.words_known("c", has_words=False, is_user_speaking=False)


def test_a_turn_in_doubt_waits_for_the_decision() -> None:
    answers = Answers(waits_for_words=False)
    answers.begin("a", is_pending=True)
    assert not answers.commit("a")
    assert answers.accept(("a",))
    answers.begin("b", is_pending=True)
    assert not answers.accept(("b",)), "it is not part of the conversation yet"
    assert answers.commit("b")


def test_what_means_nothing_is_forgotten_once_and_never_answered() -> None:
    answers = Answers(waits_for_words=False)
    answers.begin("a", is_pending=True)
    answers.commit("a")
    assert answers.dismiss("a")
    assert not answers.should_delete("a")
    answers.begin("b", is_pending=True)
    assert not answers.dismiss("b")
    assert not answers.commit("b")
    assert answers.should_delete("b")


@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["begin", "doubt", "commit", "hear", "accept", "forget"]))
        | st.just(("hear",)),
        max_size=40,
    ),
)
def test_no_turn_is_asked_for_twice(waits: bool, steps: list[tuple[str]]) -> None:
    answers = Answers(waits_for_words=waits)
    answers.begin("a", is_pending=False)
    asked = 0
    accepts = 0
    for (step,) in steps:
        match step:
            case "commit":
                asked += answers.commit("a")
            case "hear":
                asked += answers.words_known("a", has_words=True, is_user_speaking=False)
            case "accept":
                accepts += 1
                asked += answers.accept(("a",))
            case "forget":
                answers.dismiss("a")
            case _:
                pass
    assert asked <= 1 + accepts
