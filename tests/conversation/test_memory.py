"""Long-term memory: what is found, replaced and forgotten."""

from __future__ import annotations

from conversation.memory import (
    MAX_RECALLED,
    MAX_TEXTS,
    ForgetMemory,
    MemoryAnswer,
    MemoryRequest,
    MemoryText,
    RecallMemory,
    SaveMemory,
    answer,
)


class Book:
    """Memory of one key, with time as the number of requests."""

    def __init__(self) -> None:
        self.texts: list[MemoryText] = []
        self._now_ms = 0

    def ask(self, request: MemoryRequest) -> MemoryAnswer:
        self._now_ms += 1
        made, self.texts = answer(request, self.texts, now_ms=self._now_ms)
        return made

    def found(self, query: str = "") -> list[str]:
        return [each.text for each in self.ask(RecallMemory(query=query)).texts]


def test_what_was_saved_is_found_by_words_the_best_first() -> None:
    book = Book()
    for text in ("likes green tea", "is called Ann", "has a GREEN door and likes cats"):
        assert book.ask(SaveMemory(text=text)).problem == ""
    assert book.found("green LIKES") == ["has a GREEN door and likes cats", "likes green tea"]
    assert book.found("ann") == ["is called Ann"]
    assert book.found("coffee") == []
    assert book.found()[0] == "has a GREEN door and likes cats"


def test_a_text_that_is_saved_again_is_the_newest_and_there_once() -> None:
    book = Book()
    for text in ("one", "two", "one"):
        book.ask(SaveMemory(text=text))
    assert book.found() == ["one", "two"]


def test_a_text_is_forgotten_by_its_id() -> None:
    book = Book()
    (saved,) = book.ask(SaveMemory(text="one")).texts
    assert book.ask(ForgetMemory(id="000")).problem == "there is no text with this id"
    assert book.ask(ForgetMemory(id=saved.id)).texts == (saved,)
    assert book.texts == []


def test_the_oldest_makes_room() -> None:
    book = Book()
    for number in range(MAX_TEXTS + 3):
        book.ask(SaveMemory(text=f"text {number}"))
    assert len(book.texts) == MAX_TEXTS == len({each.id for each in book.texts})
    assert book.texts[0].text == "text 3"
    assert len(book.found()) == MAX_RECALLED
