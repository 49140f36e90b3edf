"""Inputs that are nearly sound: seeds with something replaced, removed, added, cut or garbled."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.targets import Target, seed_bytes

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "\x00", "\ud800", "9" * 400, "AAA", "=", "/../..", "NaN", "🙂" * 5]),
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    here = [(node, key) for key, _ in pairs]
    inner = node.values() if isinstance(node, dict) else node
    return here + [place for one in inner if isinstance(one, dict | list) for place in places(one)]


@st.composite
def _mutated(draw: st.DrawFn, target: Target) -> bytes:
    seed = copy.deepcopy(draw(st.sampled_from(target.seeds)))
    if isinstance(seed, dict):
        for _ in range(draw(st.integers(0, 3))):
            if not (found := places(seed)):
                break
            container, key = draw(st.sampled_from(found))
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace":
                    container[key] = draw(VALUES)
                case "remove":
                    del container[key]
                case _:
                    seed[draw(st.text(max_size=8))] = draw(VALUES)
        return json.dumps(seed).encode()
    return seed_bytes(seed)


@st.composite
def _garbled(draw: st.DrawFn, target: Target) -> bytes:
    data = bytearray(draw(_mutated(target)))
    at = draw(st.integers(0, len(data)))
    return (
        bytes(data[:at]) + draw(st.binary(max_size=8)) + bytes(data[at + draw(st.integers(0, 9)) :])
    )


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Mostly nearly sound ones."""
    nested = st.integers(1, 30_000).map(lambda depth: b"[" * depth)
    return st.one_of(
        _mutated(target), _mutated(target), _garbled(target), st.binary(max_size=200), nested
    )
