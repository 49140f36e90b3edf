"""Reads what a provider sent although parts of it are not as they should be. Pure.

A field that can be done without never fails the message that carries it: whatever a model refuses
is left out, from the inside outwards, until the rest is accepted. Only a message without what it is
about is refused. Of a list a bad element is left out alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AllowInfNan,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from untrusted.json_reader import mend_text

MAX_ROUNDS: Final = 12
"""Each round leaves out what is a level further outside; no message is nested deeper."""

T = TypeVar("T")
_Path = tuple[str | int, ...]


def read_tolerantly(
    validate: Callable[[Any], T], message: Mapping[str, Any], *, note: Callable[[str], None]
) -> T:
    """Return `validate(message)`, leaving out of the message what does not validate.

    note: takes the path of each thing that was left out, such as `response.usage.total_tokens`

    Raises:
        ValidationError: too much would have to be left out; the first that was raised.
    """
    first: ValidationError | None = None
    rest = message
    for _ in range(MAX_ROUNDS):
        try:
            return validate(rest)
        except ValidationError as error:
            if first is None:
                first, rest = error, copy.deepcopy(dict(message))
            if not _leave_out(rest, error, note):
                break
    assert first is not None
    raise first


def note_of(info: ValidationInfo) -> Callable[[str], None]:
    """Return `note` of the validation's context, for use inside of a validator."""
    note: Callable[[str], None] = (info.context or {}).get("note", _forget)
    return note


def _forget(_path: str) -> None:
    pass


def clean(value: Any) -> Any:
    """A copy of a JSON value that every writer takes: no half characters, no infinite numbers."""
    match value:
        case str():
            return mend_text(value)
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {mend_text(str(name)): clean(item) for name, item in value.items()}
        case list():
            return [clean(item) for item in value]
        case _:
            return value


def mended(value: Any, *, keep: Collection[str]) -> Any:
    """A copy of a JSON value without half characters, but for text under the names in `keep`: that
    is of streams, which may be cut inside a character."""
    match value:
        case str():
            return mend_text(value)
        case Mapping():
            return {
                mend_text(name): item
                if name in keep and isinstance(item, str)
                else mended(item, keep=keep)
                for name, item in value.items()
            }
        case list():
            return [mended(item, keep=keep) for item in value]
        case _:
            return value


def path_in(message: Any, loc: Sequence[int | str], *, is_missing: bool) -> list[str | int]:
    """The steps of pydantic's location that exist in the message; the others name union members."""
    path: list[str | int] = []
    here = message
    for step in loc:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            continue
        path.append(step)
    return [*path, str(loc[-1])] if is_missing and loc else path


def _leave_out(message: Any, error: ValidationError, note: Callable[[str], None]) -> bool:
    """Make `message` one without what `error` is about; False: that is the message itself."""
    paths: set[_Path] = set()
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        path = tuple(path_in(message, each["loc"], is_missing=False))
        if not path:
            return False
        paths.add(path)
    # What is further inside goes first, and of a list its end: the other places stay what they are.
    for path in sorted(paths, key=_order, reverse=True):
        container, last = _place(message, path)
        note(".".join(str(step) for step in path if isinstance(step, str)))
        del container[last]
    return True


def _place(message: Any, path: _Path) -> tuple[Any, Any]:
    container = message
    for step in path[:-1]:
        container = container[step]
    return container, path[-1]


def _order(path: _Path) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in path]


# -- what fields may be made of ----------------------------------------------------------------


def _whole(value: Any) -> Any:
    """A count that came as a fraction or as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and math.isfinite(value):
        return round(value)
    return value


def _text(value: Any) -> Any:
    """A word that came as a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _allow_halves(value: Any, handler: ValidatorFunctionWrapHandler) -> str:
    """A piece of a stream, which may be cut inside a character of two code units."""
    try:
        text: str = handler(value)
    except ValidationError:
        if not isinstance(value, str):
            raise
        text = value
    return text


MAX_COUNT: Final = 2**53 - 1
"""No count, place or time of a provider's is larger; more does not fit where it is kept."""

Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MAX_COUNT)]
Finite = Annotated[float, AllowInfNan(False)]
Word = Annotated[str, BeforeValidator(_text)]
Piece = Annotated[str, WrapValidator(_allow_halves)]
