"""Replies cut into clauses while they are written."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speech.spoken_text.clause_splitter import Clause, ClauseSplitter, clauses

PIECES = st.sampled_from(
    [
        "word", "Word,", "end.", "what?", "3.5", "Dr. Who", "e.g.", "a.m.", "U.S.", "...", " ", "\n",
        "\n\n", "- ", "1. ", "# ", "| a | b |\n", "```", "```python\n", "`x. y`", "**", "*", "_",
        "[link, text](https://a.b/c_d?e=f)", "https://example.com/a.b", "👩‍👩‍👧", "👍🏽", "<b>", "<think>",
        "</think>", "<thi", "你好，", "再见。", "¿Qué?", "नमस्ते।", "— ", " but ", "$5 ", "\\(x^2\\)", "e\u0301" * 9,
        "x" * 130, "November 21, 2026", "3:45", "1,000", "&amp;",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map(" ".join) | st.lists(PIECES, max_size=40).map("".join)


def _shown(pieces: list[Clause]) -> list[str]:
    return [piece.shown for piece in pieces]


def _spoken(text: str) -> list[str]:
    return [piece.spoken for piece in clauses(text) if piece.spoken]


def test_the_first_clause_is_short_and_sentences_stay_whole() -> None:
    text = "Yes, I can hear you, loud and clear. What can I do for you, my friend?"
    assert _shown(clauses(text)) == [
        "Yes, I can hear you,",
        " loud and clear.",
        " What can I do for you, my friend?",
    ]


@given(TEXTS | st.just("``` " + 120 * "x") | st.just("`" * 120), st.data())
def test_pieces_of_a_stream_do_not_change_the_clauses(text: str, data: st.DataObject) -> None:
    bounds = data.draw(st.lists(st.integers(0, len(text)), max_size=20).map(sorted))
    splitter = ClauseSplitter()
    taken: list[Clause] = []
    for start, end in pairwise([0, *bounds, len(text)]):
        taken += splitter.push(text[start:end])
    assert [*taken, *splitter.flush()] == clauses(text)


@example("```  ", 1)
@example("```python\n - ", 1)
@given(TEXTS.filter(lambda text: "<thi" not in text and "</thi" not in text), st.integers(1, 5))
def test_no_text_is_lost(text: str, min_words: int) -> None:
    assert "".join(_shown(clauses(text))) == text.strip()
    splitter = ClauseSplitter()
    taken: list[Clause] = []
    for letter in text:
        taken += [*splitter.push(letter), *splitter.early(min_words)]
    assert "".join(_shown([*taken, *splitter.flush()])) == text.strip()


@given(TEXTS)
def test_clauses_stay_short(text: str) -> None:
    assert all(0 < len(piece.shown.strip()) <= 220 for piece in clauses(text))


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Smith and Mrs. Jones met Prof. Lee in St. Louis.",
        "It costs 3.14 or 1,234.50 at 3:45 p.m. in the U.S. or so.",
        "Use a tool, e.g. a hammer vs. a saw, i.e. anything.",
        "See No. 5 and Fig. 3 from Jan. 5 on.",
        "Wait... what is J. R. R. Tolkien doing?",
        "Open https://example.com/a.b?c=d,e;f today.",
        "Run `a. B; C` now.",
        "Look at [the page. It is good](https://example.com/x) today.",
    ],
)
def test_nothing_is_cut_in_its_middle(sentence: str) -> None:
    assert _shown(clauses(f"Well then. {sentence} And more."))[1] == f" {sentence}"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("你好。今天天气很好！再见。", ["你好。", "今天天气很好！", "再见。"]),
        ("¿Qué tal? ¡Muy bien! Adiós.", ["¿Qué tal?", " ¡Muy bien!", " Adiós."]),
        ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", " أنا بخير."]),
        ("नमस्ते। आप कैसे हैं?", ["नमस्ते।", " आप कैसे हैं?"]),
        ("「元気です。」と言った。", ["「元気です。」", "と言った。"]),
    ],
)
def test_other_scripts_end_their_sentences_too(text: str, pieces: list[str]) -> None:
    assert _shown(clauses(text)) == pieces


def test_an_early_cut_ends_at_a_word_and_only_with_enough_words() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("The trip takes about 3") == []
    assert splitter.early(5) == []
    assert _shown(splitter.early(4)) == ["The trip takes about"]
    assert splitter.push(" hours and") == []
    assert splitter.early(3) == []
    assert _shown(splitter.flush()) == [" 3 hours and"]


def test_an_early_cut_keeps_figures_with_what_belongs_to_them() -> None:
    splitter = ClauseSplitter()
    splitter.push("It opens on November 5 p")
    assert _shown(splitter.early(1)) == ["It opens on"]


def test_an_early_cut_leaves_links_and_code_whole() -> None:
    splitter = ClauseSplitter()
    splitter.push("Please look at [the long page](https://a.b/c) and `run it n")
    assert _shown(splitter.early(2)) == ["Please look at [the long page](https://a.b/c) and"]
    assert splitter.early(1) == []


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Sure, I can do that for you, of course.", "Sure, I can do that for you,"),
        ("That is a good idea - let us go.", "That is a good idea -"),
        ("I looked at the calendar but there is nothing.", "I looked at the calendar"),
        (
            "I looked at your calendar today and there is nothing.",
            "I looked at your calendar today",
        ),
        ("It takes somewhere between three and five days.", None),
        ("It opens on November 21, 2026.", None),
        ("Well but no.", None),
    ],
)
def test_the_first_clause_ends_at_a_natural_break(text: str, first: str | None) -> None:
    assert clauses(text)[0].shown == (first or text)


def test_a_long_sentence_is_cut_at_its_commas_and_an_endless_one_at_words() -> None:
    part = "and then we walked along the river to the old mill"
    pieces = _shown(clauses(f"Yes. So {part}, {part}, {part}."))
    assert pieces == ["Yes.", f" So {part}, {part},", f" {part}."]
    words = _shown(clauses("Yes. " + "word " * 100))
    assert [len(piece) for piece in words] == [109, 110, 110, 175]
    assert all(piece.endswith("word") for piece in words)


@pytest.mark.parametrize("sign", ["👩‍👩‍👧", "👍🏽", "🇩🇪", "e\u0301", "1️⃣"])
def test_an_endless_word_is_cut_between_signs(sign: str) -> None:
    pieces = _shown(clauses(sign * 300))
    assert len(pieces) > 2
    assert all(len(piece) % len(sign) == 0 and piece[0] == sign[0] for piece in pieces)


def test_an_endless_row_of_marks_is_bounded() -> None:
    splitter = ClauseSplitter()
    taken = [piece for _ in range(2_000) for piece in splitter.push("!")]
    assert len(taken) > 15
    assert len("".join(_shown([*taken, *splitter.flush()]))) == 2_000


def test_reasoning_is_neither_shown_nor_spoken() -> None:
    text = "<think>Hmm. The user\nsays hi.</think>\n\nHello there, friend. How are you?"
    assert _shown(clauses(text)) == ["Hello there,", " friend.", " How are you?"]


def test_reasoning_that_never_ends_is_no_answer() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("<thi") == []
    assert splitter.push("nk>Well. Then") == []
    assert splitter.is_reasoning
    assert splitter.flush() == []
    assert not splitter.has_spoken


def test_code_is_shown_but_only_named_to_the_listener() -> None:
    text = "Here it is:\n```python\nx = 1\n\nprint(x)\n```\nAnd again:\n```\ny\n```\nDone."
    assert _spoken(text) == ["Here it is:", "I have left out the code.", "And again:", "Done."]
    assert "".join(_shown(clauses(text))) == text


@pytest.mark.parametrize("text", ["", "  \n ", "...", "**", "---", "```", "<think>no"])
def test_nothing_to_say_is_known_as_such(text: str) -> None:
    splitter = ClauseSplitter()
    splitter.push(text.replace("```", ""))
    splitter.flush()
    assert not splitter.has_spoken
