"""Images from chunks, in bounded memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.image_assembly import (
    MAX_TOTAL_CHARACTERS,
    TIMEOUT_S,
    ChunkRefusedError,
    ImageAssembly,
)
from untrusted.images import MAX_BASE64_CHARACTERS

BIG = "x" * (MAX_BASE64_CHARACTERS - 1)


def add(
    assembly: ImageAssembly,
    image_id: str,
    index: int,
    piece: str = "x",
    *,
    count: int = 2,
    uid: int = 7,
    now_s: float = 0.0,
) -> str | None:
    return assembly.add(uid, image_id, index=index, count=count, piece=piece, now_s=now_s)


@given(st.text(min_size=1, max_size=64), st.randoms())
def test_chunks_in_any_order_become_the_image(text: str, random: object) -> None:
    cuts = sorted({0, len(text), *range(0, len(text), 7)})
    pieces = [text[start:end] for start, end in pairwise(cuts)]
    order = list(range(len(pieces)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assembly = ImageAssembly()
    wholes = [add(assembly, "a", each, pieces[each], count=len(pieces)) for each in order]
    assert wholes == [None] * (len(pieces) - 1) + [text]


def test_two_people_send_at_the_same_time() -> None:
    assembly = ImageAssembly()
    assert add(assembly, "a", 0, "1", uid=7) is None
    assert add(assembly, "a", 0, "3", uid=8) is None
    assert add(assembly, "a", 1, "2", uid=7) == "12"
    assert add(assembly, "a", 1, "4", uid=8) == "34"


@pytest.mark.parametrize(("index", "count"), [(0, 2), (2, 2), (1, 3)])
def test_a_chunk_that_does_not_fit_ends_its_image_and_that_is_said_once(
    index: int, count: int
) -> None:
    assembly = ImageAssembly()
    add(assembly, "a", 0)
    with pytest.raises(ChunkRefusedError, match="index and count"):
        add(assembly, "a", index, count=count)
    assert add(assembly, "a", 1) is None
    assert add(assembly, "a", 0) is None
    assert assembly.given_up(7, "b") is None, "its sender knows already"
    assert add(assembly, "b", 0, "1") is None
    assert add(assembly, "b", 1, "2") == "12"


def test_another_image_gives_up_the_one_before() -> None:
    assembly = ImageAssembly()
    assert assembly.given_up(7, "a") is None
    add(assembly, "a", 0)
    assert assembly.given_up(7, "a") is None
    assert assembly.given_up(8, "b") is None
    assert assembly.given_up(7, "b") == "a"
    add(assembly, "b", 0, "1")
    assert add(assembly, "b", 1, "2") == "12"


def test_an_image_that_is_too_large_is_refused() -> None:
    assembly = ImageAssembly()
    add(assembly, "a", 0, BIG, count=3)
    add(assembly, "a", 1, "x", count=3)
    with pytest.raises(ChunkRefusedError, match="larger than"):
        add(assembly, "a", 2, "x", count=3)


def test_all_incomplete_images_are_bounded_and_those_that_stand_still_make_room() -> None:
    assembly = ImageAssembly()
    senders = MAX_TOTAL_CHARACTERS // len(BIG)
    for uid in range(senders):
        add(assembly, "a", 0, BIG, uid=uid)
    with pytest.raises(ChunkRefusedError, match="too many images"):
        add(assembly, "a", 0, BIG, uid=senders)
    assert add(assembly, "a", 1, "x", uid=0, now_s=1.0) == BIG + "x"
    add(assembly, "a", 0, BIG, uid=senders + 1, now_s=1.0)
    add(assembly, "b", 0, BIG, uid=senders + 2, now_s=TIMEOUT_S + 0.5)
    assert add(assembly, "a", 1, "x", uid=senders + 1, now_s=TIMEOUT_S + 0.5) == BIG + "x"


def test_what_came_of_somebody_who_left_is_dropped() -> None:
    assembly = ImageAssembly()
    add(assembly, "a", 0)
    assembly.forget(7)
    assembly.forget(8)
    assert add(assembly, "a", 1, "x") is None
