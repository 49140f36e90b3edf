"""`Tool`, a function that a model may call, and the decorator `tool` that declares it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, get_args, get_origin, overload

from parley.call import Call
from tool_docstring import Documentation, documentation_of
from tool_functions import place_of_function
from tool_schema import DerivedSchema, GivenSchema
from tools import DEFAULT_TIMEOUT_S, Schema, ToolDeclarationError, is_tool_name

NeedsApproval = bool | Callable[[Call, dict[str, Any]], bool | Awaitable[bool]]
"""Always, never, or a plain or async function of the call and the arguments."""

_CALL_HINTS: Final = frozenset({"Call", "parley.Call", "call.Call", "parley.call.Call"})


class ToolDefinitionError(ToolDeclarationError):
    """A tool cannot be offered as it is declared. file, line: of its function; empty, 0: unknown"""

    def __init__(self, text: str, place: str) -> None:
        super().__init__(text)
        self.file, _, line = place.rpartition(":")
        self.line = int(line or 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool:
    """A function that the model may call.

    The arguments arrive as the Python values that the type hints name. Whatever the function raises is
    an answer to the model, and ends no call.

    Attributes:
        function: Plain (it runs in a thread) or async. A first parameter annotated `Call`, or named
            `call`, gets the call and is no argument of the model. A generator, plain or async, may
            yield `Progress("One moment")` to have it spoken; the last other value, or what it returns,
            is the result.
        name: Name for the model.
        description: For the model; empty: the docstring of the function without its sections.
        parameters: JSON Schema of the arguments; None: derived from type hints and docstring.
        needs_approval: A person must approve a call before it runs. A function that decides this
            gets the call and the arguments by name; if it fails, a person decides.
        cancel_on_interrupt: Cancel a running call when the user interrupts.
        timeout_s: Longest run of one call.
        is_silent: The model only has to know the result; it is not asked to reply to it.
    """

    function: Callable[..., Any]
    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    needs_approval: NeedsApproval = False
    cancel_on_interrupt: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    is_silent: bool = False

    @property
    def place(self) -> str:
        """File and line of the function."""
        return place_of_function(self.function)

    @cached_property
    def takes_call(self) -> bool:
        """True if the function's first parameter gets the call."""
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except (ValueError, TypeError):
            return False
        return bool(parameters) and _is_call(parameters[0])

    @cached_property
    def text(self) -> str:
        """Description for the model."""
        return self.description or self._documentation.summary

    @cached_property
    def schema(self) -> Schema:
        """Schema of the model's arguments.

        Raises:
            ToolDefinitionError: None follows from the declaration; names the parameter.
        """
        try:
            if self.parameters is not None:
                return GivenSchema(self.parameters)
            return DerivedSchema.of(
                self.function,
                descriptions=self._documentation.parameters,
                has_call=self.takes_call,
            )
        except ValueError as error:
            raise self._error(str(error)) from error

    def check(self) -> None:
        """
        Raises:
            ToolDefinitionError: The tool cannot be offered as it is declared.
        """
        if not is_tool_name(self.name):
            raise self._error("names are 1 to 64 letters, digits, underscores and hyphens")
        if not (isinstance(self.needs_approval, bool) or callable(self.needs_approval)):
            raise self._error("needs_approval is True, False or a function (call, arguments)")
        if not self.timeout_s > 0:
            raise self._error("timeout_s must be above 0")
        if not isinstance(self.schema, Schema):
            raise self._error("there is no schema")

    def _error(self, text: str) -> ToolDefinitionError:
        return ToolDefinitionError(f"tool {self.name}: {text}", self.place)

    @cached_property
    def _documentation(self) -> Documentation:
        return documentation_of(self.function)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = ...,
    description: str = ...,
    parameters: Mapping[str, Any] | None = ...,
    needs_approval: NeedsApproval = ...,
    cancel_on_interrupt: bool = ...,
    timeout_s: float = ...,
    is_silent: bool = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str = "",
    parameters: Mapping[str, Any] | None = None,
    needs_approval: NeedsApproval = False,
    cancel_on_interrupt: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    is_silent: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Declare a function as a tool; with or without arguments, as a decorator or a call."""

    def declare(function: Callable[..., Any]) -> Tool:
        return Tool(
            function=function,
            name=name or str(getattr(function, "__name__", type(function).__name__)),
            description=description,
            parameters=parameters,
            needs_approval=needs_approval,
            cancel_on_interrupt=cancel_on_interrupt,
            timeout_s=timeout_s,
            is_silent=is_silent,
        )

    return declare if function is None else declare(function)


def _is_call(parameter: inspect.Parameter) -> bool:
    hint = parameter.annotation
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    # By its text too: it may be imported for type checkers only.
    is_hinted = hint is Call or (isinstance(hint, str) and hint.strip("'\" ") in _CALL_HINTS)
    is_bare = hint is parameter.empty and parameter.name == "call"
    return (is_hinted or is_bare) and parameter.kind is not parameter.KEYWORD_ONLY
