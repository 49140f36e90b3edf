"""Tools that a model may call: their declarations, and their execution, which never fails a call.

Every failure of a tool becomes an outcome that the model can report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tool_client_calls import ClientCalls, TooManyClientCallsError
from tool_functions import (
    ApprovalRule,
    FunctionRunner,
    Schema,
    ToolError,
    ToolSpec,
    failed,
    outcome_of,
    silence,
)
from tool_results import MAX_OUTPUT_CHARACTERS, ToolOutcome, failure
from tool_schema import DerivedSchema, GivenSchema, InvalidArgumentsError
from untrusted.boundary import Caught
from untrusted.json_reader import InvalidJsonError, read_object

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "MAX_OUTPUT_CHARACTERS",
    "Schema",
    "ToolContext",
    "ToolDeclarationError",
    "ToolError",
    "ToolOutcome",
    "failure",
    "is_tool_name",
]

DEFAULT_TIMEOUT_S = 10.0
CLIENT_TIMEOUT_S = 30.0
APPROVAL_TIMEOUT_S = 60.0
# As many as OpenAI takes.
MAX_TOOLS = 128
MAX_ARGUMENT_CHARACTERS = 64_000

_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_NO_ARGUMENTS = {"": "{}", "null": "{}"}
_DECLARATION_KEYS = {"type", "name", "description", "parameters"}


class ToolDeclarationError(ValueError):
    """A tool cannot be registered as declared; the text gives the reason."""


class ToolContext:
    """The tools of one conversation."""

    def __init__(
        self,
        *,
        client_timeout_s: float = CLIENT_TIMEOUT_S,
        approval_timeout_s: float = APPROVAL_TIMEOUT_S,
    ) -> None:
        """
        client_timeout_s: longest wait for a client's answer to a pass-through call
        approval_timeout_s: longest wait for the approval of a call that needs one
        """
        self.approval_timeout_s = approval_timeout_s
        self._client_timeout_s = client_timeout_s
        self._tools: dict[str, ToolSpec] = {}
        # Declarations of tool servers that the provider calls by itself.
        self.hosted: tuple[Mapping[str, Any], ...] = ()
        self._client_calls = ClientCalls()
        self._functions = FunctionRunner()

    # -- registering ---------------------------------------------------------------------------

    def register_function(
        self,
        name: str,
        description: str,
        function: Callable[..., Any],
        parameters: Mapping[str, Any] | Schema | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        cancel_on_interrupt: bool = False,
        needs_approval: ApprovalRule = False,
        start_response: bool = True,
        place: str = "",
    ) -> None:
        """Offer `function` to the model. A plain function runs in a thread (`tool_threads`), which
        cannot be stopped: past its timeout it runs on, and its result is dropped.

        parameters: schema of the arguments, perhaps as JSON Schema; derived from the type hints when
            absent
        cancel_on_interrupt: cancel a running call when the user interrupts; by default it goes on,
            since an order or a message is often done by then, and the model gets the output
        start_response: let the model reply to the result; false for one that it only has to know
        needs_approval: run only after an approval; `timeout_s` counts from then
        place: file and line of an owner's function, for the log

        Raises:
            ToolDeclarationError: Bad or taken name, or no schema follows from the signature.
        """
        try:
            schema = _schema(function, parameters)
        except ValueError as error:
            raise ToolDeclarationError(f"tool {name}: {error}") from error
        self._register(
            ToolSpec(
                name,
                description,
                schema,
                timeout_s,
                function,
                place=place,
                is_cancelled_by_interrupt=cancel_on_interrupt,
                needs_approval=needs_approval,
                start_response=start_response,
            )
        )

    def register_client_function(self, declaration: Mapping[str, Any]) -> None:
        """Offer a tool that the client runs: `{"type": "function", "name", ...}`.

        Raises:
            ToolDeclarationError: Malformed declaration, bad or taken name.
        """
        if unknown := set(declaration) - _DECLARATION_KEYS:
            raise ToolDeclarationError(f"tool declaration: unknown field {sorted(unknown)[0]!r}")
        if declaration.get("type", "function") != "function":
            raise ToolDeclarationError("tool declaration: type must be 'function'")
        name, description = declaration.get("name"), declaration.get("description", "")
        if not isinstance(name, str) or not isinstance(description, str):
            raise ToolDeclarationError("tool declaration: name and description must be strings")
        try:
            schema = GivenSchema(declaration.get("parameters") or {"type": "object"})
        except ValueError as error:
            raise ToolDeclarationError(f"tool {name}: {error}") from error
        self._register(ToolSpec(name, description, schema, self._client_timeout_s, None))

    def forget_client_functions(self) -> None:
        """Remove all client tools. Calls that wait for the client go on."""
        self._tools = {
            name: tool for name, tool in self._tools.items() if tool.function is not None
        }

    def _register(self, tool: ToolSpec) -> None:
        if not is_tool_name(tool.name):
            raise ToolDeclarationError(
                "tool names are 1 to 64 letters, digits, underscores and hyphens"
            )
        if tool.name in self._tools:
            raise ToolDeclarationError(f"there is already a tool named {tool.name}")
        if len(self._tools) >= MAX_TOOLS:
            raise ToolDeclarationError(f"more than {MAX_TOOLS} tools")
        self._tools[tool.name] = tool

    def copy(self) -> ToolContext:
        """Return a context with the same tools; calls that wait for the client stay with this one."""
        other = ToolContext(
            client_timeout_s=self._client_timeout_s, approval_timeout_s=self.approval_timeout_s
        )
        other.adopt(self)
        other.hosted = self.hosted
        return other

    def has(self, name: str) -> bool:
        """Return true if there is a tool of this name."""
        return name in self._tools

    def add_all(self, other: ToolContext) -> None:
        """Add the tools of `other`.

        Raises:
            ToolDeclarationError: A name is taken, or there are too many tools.
        """
        for tool in other._tools.values():
            self._register(tool)

    def adopt(self, other: ToolContext) -> None:
        """Replace the tools by those of `other`. Running calls go on."""
        self._tools = dict(other._tools)

    def include(self, other: ToolContext) -> None:
        """Add the tools of `other` whose names are free."""
        for tool in other._tools.values():
            if tool.name not in self._tools:
                self._register(tool)

    # -- describing ----------------------------------------------------------------------------

    def model_description(self) -> list[dict[str, Any]]:
        """Return all tools as OpenAI's Realtime session declares them."""
        return [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.schema.parameters),
            }
            for tool in self._tools.values()
        ] + [dict(declaration) for declaration in self.hosted]

    def is_client_function(self, name: str) -> bool:
        """Return true if the client runs this tool."""
        return name in self._tools and self._tools[name].function is None

    def is_cancelled_by_interrupt(self, name: str) -> bool:
        """Return true if an interruption by the user cancels a running call."""
        return name in self._tools and self._tools[name].is_cancelled_by_interrupt

    async def needs_approval(self, name: str, arguments_json: str) -> bool:
        """Return true if this call needs an approval; a call that cannot run needs none."""
        if (tool := self._tools.get(name)) is None or tool.needs_approval is False:
            return False
        arguments = _read(tool, arguments_json)
        if isinstance(arguments, ToolOutcome):
            return False
        return await self._functions.needs_approval(tool, arguments)

    # -- running -------------------------------------------------------------------------------

    async def execute_tool(
        self,
        call_id: str,
        name: str,
        arguments_json: str,
        *,
        on_progress: Callable[[str], object] = lambda _: None,
    ) -> ToolOutcome:
        """Run one call, or wait for the client to. Raises nothing but cancellation.

        on_progress: takes words to be spoken while the call goes on
        """
        tool = self._tools.get(name)
        if tool is None:
            return failure("there is no such tool")
        arguments = _read(tool, arguments_json)
        if isinstance(arguments, ToolOutcome):
            return arguments
        if tool.function is None:
            return await self._ask_client(tool, call_id)
        return await self._functions.run(tool, tool.function, arguments, on_progress)

    async def _ask_client(self, tool: ToolSpec, call_id: str) -> ToolOutcome:
        try:
            output, start_response = await self._client_calls.ask(call_id, timeout_s=tool.timeout_s)
        except TooManyClientCallsError as error:
            return failure(str(error))
        except TimeoutError:
            return silence(tool)
        return outcome_of(replace(tool, start_response=start_response), output)

    async def close(self) -> None:
        """Cancel running calls."""
        await self._functions.close()

    def resolve_client_call(
        self, call_id: str, output: str, *, start_response: bool = True
    ) -> bool:
        """Answer the oldest waiting call with this id; return false if none waits."""
        return self._client_calls.resolve(call_id, output, start_response=start_response)


def is_tool_name(name: str) -> bool:
    """Return true if providers accept `name` for a tool."""
    return re.fullmatch(_NAME, name) is not None


def _schema(function: Callable[..., Any], parameters: Mapping[str, Any] | Schema | None) -> Schema:
    if parameters is None:
        return DerivedSchema.of(function)
    return GivenSchema(parameters) if isinstance(parameters, Mapping) else parameters


def _read(tool: ToolSpec, arguments_json: str) -> dict[str, Any] | ToolOutcome:
    """Return the arguments as the function takes them, or the outcome of a call with wrong ones."""
    with Caught() as caught:  # type hints may bring code of their own
        return tool.schema.read(_json_object(arguments_json))
    if isinstance(caught.error, InvalidArgumentsError):
        return failure(str(caught.error))
    assert caught.error is not None
    return failed(tool, caught.error)


def _json_object(text: str) -> dict[str, Any]:
    if len(text) > MAX_ARGUMENT_CHARACTERS:
        raise InvalidArgumentsError("the arguments are too long")
    try:
        return read_object(_NO_ARGUMENTS.get(text.strip(), text), allow_nan=True)
    except InvalidJsonError as error:
        raise InvalidArgumentsError(f"the arguments are {error}") from None
