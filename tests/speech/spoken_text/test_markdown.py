"""The words that a listener hears of text that was written for the eye."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.spoken_text.clause_splitter import clauses
from speech.spoken_text.markdown import speakable

ANY_TEXT = st.text(max_size=120) | st.text("*_`[]()<>|#-$\\{}^~ ab1\n&;!", max_size=120)


def _heard(text: str, language: str = "en") -> list[str]:
    return [piece.spoken for piece in clauses(text, language=language) if piece.spoken]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        # blocks
        ("# Title\n\nText here.", ["Title.", "Text here."]),
        ("### 1. Intro\nHello", ["One, Intro.", "Hello"]),
        ("Title\n=====\nText", ["Title.", "Text"]),
        ("- one\n- two\n  - nested\n* star", ["one.", "two.", "nested.", "star"]),
        ("1. First\n2) Second\n10. Tenth", ["One, First.", "Two, Second.", "Ten, Tenth"]),
        ("- [x] done\n- [ ] open", ["done.", "open"]),
        ("• one\n– two", ["one.", "two"]),
        ("> A quote\n>> more", ["A quote.", "more"]),
        ("One.\n\n---\n\nTwo.", ["One.", "Two."]),
        ("| Name | Age |\n|:--|--:|\n| Ann | 30 |", ["Name, Age.", "Ann, 30"]),
        ("Name | Age\n--- | ---\nAnn | 30", ["Name, Age.", "Ann, 30"]),
        ("Dear Bob,\n\nThanks!\nAnn", ["Dear Bob,", "Thanks!", "Ann"]),
        # emphasis and actions
        ("**Bold**, *it* and ***both***.", ["Bold, it and both."]),
        ("__Bold__ and _it_ in snake_case.", ["Bold and it in snake_case."]),
        ("**$5**", ["$5"]),
        ("~~old~~ ==new==", ["old new"]),
        ("*waves* Hello!", ["Hello!"]),
        ("Hello. *nods slowly* Yes, *very* good.", ["Hello.", "Yes, very good."]),
        ("2 * 3 and 2*3", ["2 times 3 and 2 times 3"]),
        ("\\*not bold\\*", ["not bold"]),
        # links, code, tags
        ("See [the docs](https://x.org/a_(b)) now.", ["See the docs now."]),
        ("![A cat](cat.png) here", ["A cat here"]),
        ("As said[^1] there [2], in [this][ref].", ["As said there,", "in this."]),
        ("At <https://x.org> or <a@x.org>.", ["At https://x.org or a@x.org."]),
        ("Run `make run` now.", ["Run make run now."]),
        ("<b>Bold</b><br/>next &amp; &lt;name&gt;", ["Bold next & name"]),
        ("<!-- hidden -->Hi", ["Hi"]),
        ("Sure.<|im_end|>", ["Sure."]),
        # formulas
        ("It is $E = mc^2$.", ["It is E equals mc squared."]),
        ("\\(\\frac{a}{b} \\leq \\sqrt{2}\\)", ["a over b is at most the square root of 2"]),
        ("$$\n\\frac{a}{b}\n$$\nDone.", ["a over b.", "Done."]),
        ("\\[\nx^2\n\\]\nDone.", ["x squared.", "Done."]),
        ("From $5 to $10.", ["From $5 to $10."]),
        # emoji
        ("Hi 👋 there 😀!", ["Hi there!"]),
        ("✅ Done\n❌ Failed", ["Done.", "Failed"]),
        ("1️⃣ First", ["One, First"]),
        ("👍🏽", ["thumbs up sign."]),
        ("👨‍👩‍👧 🇩🇪", ["man, woman, girl."]),
        ("Great! ❤️", ["Great!"]),
        ("A → B", ["A to B"]),
    ],
)  # fmt: skip
def test_notation_is_spoken_as_a_person_reads_it(text: str, heard: list[str]) -> None:
    assert _heard(text) == heard


def test_numbers_of_lists_stay_figures_in_other_languages() -> None:
    assert _heard("1. Erstens\n2. Zweitens", "de-DE") == ["1, Erstens.", "2, Zweitens"]
    assert _heard("2 * 3", "de") == ["2 × 3"]
    assert _heard("```\nx\n```", "de")[0].startswith("Den Code")


@given(ANY_TEXT, st.booleans(), st.booleans())
def test_any_text_is_spoken_without_its_marks(text: str, begins: bool, ends: bool) -> None:
    spoken = speakable(text, begins_line=begins, ends_line=ends)
    assert "`" not in spoken
    assert "|" not in spoken
    assert spoken == spoken.strip()
