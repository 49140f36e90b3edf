"""`CallState`: the small dict of JSON values that an owner keeps with a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from conversation.snapshot import MAX_STATE_CHARACTERS, read_state
from parley.call import CallError

_NONE: Final = object()


class CallState(dict[str, Any]):
    """A dict that refuses, at once, keys that are no texts, values that JSON has not, and more than
    `MAX_STATE_CHARACTERS`.

    Changes inside a value (`state["cart"].append(...)`) are found by `dumped`, which is called a few
    times a second.
    """

    def __init__(self, text: str, on_change: Callable[[], None]) -> None:
        """text: JSON of an earlier process or call; on_change: called from any thread"""
        super().__init__(read_state(text))
        self._on_change = on_change

    def dumped(self) -> str:
        """Return the state as JSON.

        Raises:
            CallError: it holds something that cannot be stored.
        """
        return _dumped(self)

    def _change_to(self, changed: dict[str, Any]) -> None:
        _dumped(changed)
        super().clear()
        super().update(changed)
        self._on_change()

    def __setitem__(self, key: str, value: Any) -> None:
        self._change_to(dict(self) | {key: value})

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._on_change()

    def __ior__(self, other: Any) -> CallState:  # type: ignore[override,misc]
        self.update(other)
        return self

    def update(self, *others: Any, **values: Any) -> None:
        """Set several values, all or none."""
        changed = dict(self)
        changed.update(*others, **values)
        self._change_to(changed)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, which is set to `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: Any = _NONE) -> Any:
        """Remove a key and return its value."""
        if key not in self and default is not _NONE:
            return default
        value = super().pop(key)
        self._on_change()
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the newest pair."""
        pair = super().popitem()
        self._on_change()
        return pair

    def clear(self) -> None:
        """Remove everything."""
        super().clear()
        self._on_change()


def _dumped(values: Mapping[str, Any]) -> str:
    for key in values:
        if not isinstance(key, str):
            raise CallError("state", f"call.state: {key!r} is no text; keys are texts")
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError, RuntimeError) as error:
        bad = ", ".join(_unstorable(values.items())) or "it"
        raise CallError("state", f"call.state: {bad} is no JSON value ({error})") from error
    if len(text) > MAX_STATE_CHARACTERS:
        problem = f"call.state: {len(text)} characters of JSON, at most {MAX_STATE_CHARACTERS}"
        raise CallError("state", problem)
    return text


def _unstorable(items: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for key, value in items:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError, RuntimeError):
            yield repr(key)
