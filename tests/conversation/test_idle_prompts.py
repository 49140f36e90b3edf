"""When a silent person is asked, and when the call ends. Times are made up."""

from __future__ import annotations

from conversation.idle_prompts import IdleRules, IdleWatch, PatienceOver, PromptDue


def followed(
    watch: IdleWatch, until_s: float, *, since_s: float = 0.0
) -> list[tuple[float, object]]:
    """What is due and when, in silence, looked at four times a second."""
    found: list[tuple[float, object]] = []
    steps = int((until_s - since_s) * 4)
    for step in range(steps + 1):
        now_s = since_s + step / 4
        if (due := watch.observe(now_s, is_silent=True)) is not None:
            found.append((now_s, due))
    return found


def test_two_questions_then_the_end_and_nothing_after_it() -> None:
    watch = IdleWatch(IdleRules(10, 2), now_s=0)
    assert followed(watch, 100) == [
        (10, PromptDue(0)),
        (20, PromptDue(1, ends_in_s=10)),
        (30, PatienceOver()),
    ]


def test_waits_may_grow() -> None:
    watch = IdleWatch(IdleRules(4, 2, growth=2), now_s=0)
    assert followed(watch, 100) == [
        (4, PromptDue(0)),
        (12, PromptDue(1, ends_in_s=16)),
        (28, PatienceOver()),
    ]


def test_a_sign_of_life_begins_anew_with_the_first_question() -> None:
    watch = IdleWatch(IdleRules(10, 1), now_s=0)
    assert followed(watch, 15) == [(10, PromptDue(0, ends_in_s=10))]
    watch.note_user(15)
    assert followed(watch, 40, since_s=15) == [
        (25, PromptDue(0, ends_in_s=10)),
        (35, PatienceOver()),
    ]


def test_silence_counts_from_the_end_of_what_was_said_and_keeps_the_questions() -> None:
    watch = IdleWatch(IdleRules(10, 1), now_s=0)
    assert watch.observe(10, is_silent=True) == PromptDue(0, ends_in_s=10)
    for now_s in range(11, 60):
        assert watch.observe(now_s, is_silent=False) is None, "the agent speaks, or a tool runs"
    assert watch.observe(68, is_silent=True) is None
    assert watch.observe(69, is_silent=True) == PatienceOver()
