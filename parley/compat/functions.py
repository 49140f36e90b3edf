"""Functions of owners in the forms of other systems, as functions that tools of ours take."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from parley.call import Call


def with_result(function: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return the function with its result converted; name, hints and docstring stay."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*arguments: Any, **named: Any) -> Any:
            return convert(await function(*arguments, **named))

        return call_async

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return convert(function(*arguments, **named))

    return call


def with_context(
    function: Callable[..., Any], context_of: Callable[[Call], Any]
) -> Callable[..., Any]:
    """Return a function of the call for one whose first parameter is another system's context."""
    hints = typing.get_type_hints(function, include_extras=True)
    first, *rest = inspect.signature(function).parameters.values()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(call: Call, /, *arguments: Any, **named: Any) -> Any:
            return await function(context_of(call), *arguments, **named)

        return _described(call_async, hints, first, rest)

    @functools.wraps(function)
    def call_plain(call: Call, /, *arguments: Any, **named: Any) -> Any:
        return function(context_of(call), *arguments, **named)

    return _described(call_plain, hints, first, rest)


def _described(
    wrapper: Any,
    hints: dict[str, Any],
    first: inspect.Parameter,
    rest: list[inspect.Parameter],
) -> Callable[..., Any]:
    """Set signature and hints: the first parameter is a call, the others are as they were."""
    del wrapper.__wrapped__
    hints = {name: hint for name, hint in hints.items() if name != first.name}
    parameter = inspect.Parameter("call", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Call)
    others = [each.replace(annotation=hints.get(each.name, each.annotation)) for each in rest]
    wrapper.__signature__ = inspect.Signature([parameter, *others])
    wrapper.__annotations__ = {"call": Call, **hints}
    described: Callable[..., Any] = wrapper
    return described
