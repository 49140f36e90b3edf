"""Long-term memory in the store, on both databases alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control.store.errors import StoreUnavailableError
from control.store.memories import UNAVAILABLE, Memories
from control.store.store import Store
from conversation.memory import MAX_TEXTS, NO_KEY, ForgetMemory, RecallMemory, SaveMemory

NASTY = "Grüße \N{WAVING HAND SIGN} \\u0000 'quoted'; -- %s {x}"


async def ask(question: Callable[[], Awaitable[Any]]) -> Any:
    return await question()


async def refuse(question: Callable[[], Awaitable[Any]]) -> Any:
    raise StoreUnavailableError("it is slow")


@pytest.mark.asyncio
async def test_texts_stay_under_their_key_until_they_are_deleted(store: Store) -> None:
    memories = Memories(store, ask)
    for key, text in (("ann", "one"), ("ann", NASTY), ("bob", "three")):
        assert (await memories.answer(key, SaveMemory(text=text))).problem == ""
    found = await Memories(store, ask).answer("ann", RecallMemory())
    assert [each.text for each in found.texts] == [NASTY, "one"]
    assert (await memories.answer("ann", ForgetMemory(id=found.texts[1].id))).problem == ""
    assert [each.text for each in await memories.texts("ann")] == [NASTY]
    assert (await memories.delete("ann"), await memories.delete("ann")) == (1, 0)
    assert [each.text for each in await memories.texts("bob")] == ["three"]


@pytest.mark.asyncio
async def test_saves_at_once_lose_nothing_and_stay_bounded(store: Store) -> None:
    memories = Memories(store, ask)
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(memories.answer("ann", SaveMemory(text=f"text {number}")))
    assert len(await memories.texts("ann")) == 8
    for number in range(8, MAX_TEXTS + 2):
        await memories.answer("ann", SaveMemory(text=f"text {number}"))
    texts = await memories.texts("ann")
    assert (len(texts), texts[-1].text) == (MAX_TEXTS, f"text {MAX_TEXTS + 1}")


@pytest.mark.asyncio
async def test_a_problem_is_part_of_the_answer(store: Store) -> None:
    assert await Memories(store, ask).answer("", RecallMemory()) == NO_KEY
    assert await Memories(store, refuse).answer("ann", RecallMemory()) == UNAVAILABLE
    with pytest.raises(StoreUnavailableError):
        await Memories(store, refuse).texts("ann")
