"""Long-term memory: short texts that a model keeps under a key, beyond the call. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXTS: Final = 200
"""Texts under one key; one more replaces the oldest."""

MAX_TEXT_CHARACTERS: Final = 1_000
MAX_QUERY_CHARACTERS: Final = 200
MAX_RECALLED: Final = 50
"""Texts in one answer, the newest."""

MemoryId = Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MemoryText(_Value):
    """One text. at_ms: Unix time"""

    id: MemoryId
    text: str = Field(max_length=MAX_TEXT_CHARACTERS, repr=False)
    at_ms: int


class SaveMemory(_Value):
    """Keep a text; one that is there already becomes the newest."""

    type: Literal["save"] = "save"
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS, repr=False)


class RecallMemory(_Value):
    """Find texts by words; all without a query."""

    type: Literal["recall"] = "recall"
    query: str = Field(default="", max_length=MAX_QUERY_CHARACTERS, repr=False)


class ForgetMemory(_Value):
    """Remove a text by its id."""

    type: Literal["forget"] = "forget"
    id: MemoryId


MemoryRequest = Annotated[SaveMemory | RecallMemory | ForgetMemory, Field(discriminator="type")]


class MemoryAnswer(_Value):
    """Answer to a request.

    texts: what was saved, recalled or forgotten
    problem: reason why nothing was done; empty if it was
    """

    texts: tuple[MemoryText, ...] = ()
    problem: str = ""


NO_KEY: Final = MemoryAnswer(
    problem="this call has no memory: its start names neither memory_key, person_id nor thread_id"
)


def answer(
    request: MemoryRequest, texts: Iterable[MemoryText], *, now_ms: int
) -> tuple[MemoryAnswer, list[MemoryText]]:
    """Return the answer to a request over the texts of a key, oldest first, and the texts after it."""
    kept = list(texts)
    match request:
        case SaveMemory(text=text):
            saved = MemoryText(id=_new_id(kept), text=text, at_ms=now_ms)
            others = [each for each in kept if each.text != text]
            return MemoryAnswer(texts=(saved,)), [*others, saved][-MAX_TEXTS:]
        case RecallMemory(query=query):
            return MemoryAnswer(texts=tuple(_found(kept, query))), kept
        case ForgetMemory(id=wanted):
            gone = tuple(each for each in kept if each.id == wanted)
            problem = "" if gone else "there is no text with this id"
            return MemoryAnswer(texts=gone, problem=problem), [
                each for each in kept if each.id != wanted
            ]


def _new_id(taken: Iterable[MemoryText]) -> str:
    ids = {each.id for each in taken}
    while (made := secrets.token_hex(3)) in ids:
        pass
    return made


def _found(texts: Iterable[MemoryText], query: str) -> list[MemoryText]:
    """Return the texts with most words of the query, else the newest; newest first."""
    newest = list(reversed(list(texts)))
    words = query.casefold().split()
    if not words:
        return newest[:MAX_RECALLED]
    scores = {each.id: sum(word in each.text.casefold() for word in words) for each in newest}
    found = [each for each in newest if scores[each.id]]
    return sorted(found, key=lambda each: -scores[each.id])[:MAX_RECALLED]
