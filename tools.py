"""Tools a model may call: what is declared to it, and one way to run them that never fails a call.

Whatever goes wrong with a tool becomes an outcome that the model can speak about. Arguments and
results are people's words: they are never logged.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from boundary import Caught
from json_reader import InvalidJsonError, mend_text, read_object
from tool_results import MAX_OUTPUT_CHARACTERS, UntellableError, collect, is_plain, tell
from tool_schema import DerivedSchema, GivenSchema, InvalidArgumentsError
from tool_threads import Raised, Returned, ToolThreads
from utils import OwnedTasks

__all__ = [
    "MAX_OUTPUT_CHARACTERS",
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
MAX_TOOLS = 128
MAX_WAITING_CLIENT_CALLS = 32
MAX_ARGUMENT_CHARACTERS = 64_000
MAX_ERROR_CHARACTERS = 4_000
"""Of the text of a `ToolError`; the model is not told what goes beyond."""

_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_NO_ARGUMENTS = {"": "{}", "null": "{}"}
_DECLARATION_KEYS = {"type", "name", "description", "parameters"}

_log = logging.getLogger("tools")


class ToolDeclarationError(ValueError):
    """A tool cannot be registered as declared; the text says why."""


class ToolError(Exception):
    """Raised by a tool function to tell the model, in words fit to be spoken, what went wrong."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the model is told. Of an error, `output` is `{"error": text}`.

    is_unexpected: the tool's own code failed, with what it does not raise to be told
    """

    output: str
    is_error: bool = False
    is_unexpected: bool = False


class _Schema(Protocol):
    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class _Tool:
    """`function` is None when the client runs it."""

    name: str
    description: str
    schema: _Schema
    timeout_s: float
    function: Callable[..., Any] | None
    is_cancelled_by_interrupt: bool = False
    needs_approval: bool = False


class ToolContext:
    """The tools of one conversation."""

    def __init__(
        self,
        *,
        client_timeout_s: float = CLIENT_TIMEOUT_S,
        approval_timeout_s: float = APPROVAL_TIMEOUT_S,
    ) -> None:
        """
        client_timeout_s: how long a client may take to answer a pass-through call
        approval_timeout_s: how long people may take to allow a call that needs it
        """
        self.approval_timeout_s = approval_timeout_s
        self._client_timeout_s = client_timeout_s
        self._tools: dict[str, _Tool] = {}
        # By id, oldest first: an id is unique only within the reply that made it.
        self._client_calls: dict[str, deque[asyncio.Future[str]]] = {}
        self._threads = ToolThreads()
        self._tasks = OwnedTasks(_log)

    # -- registering ---------------------------------------------------------------------------

    def register_function(
        self,
        name: str,
        description: str,
        function: Callable[..., Any],
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        cancel_on_interrupt: bool = False,
        needs_approval: bool = False,
    ) -> None:
        """Offer `function` to the model. A plain function runs in a thread (`tool_threads`).

        A thread cannot be stopped: past its timeout a plain function's result is dropped, but it
        runs on until it returns.

        parameters: JSON Schema of the arguments; derived from the type hints when absent
        cancel_on_interrupt: give the call up when the user interrupts. By default it goes on, for
            what was begun (an order, a message) is often done whether or not anybody still listens,
            and the model is told of it.
        needs_approval: run only what somebody in the room has allowed; `timeout_s` counts from then

        Raises:
            ToolDeclarationError: bad or taken name, or a signature that gives no schema.
        """
        try:
            schema = DerivedSchema.of(function) if parameters is None else GivenSchema(parameters)
        except ValueError as error:
            raise ToolDeclarationError(f"tool {name}: {error}") from error
        self._register(
            _Tool(
                name,
                description,
                schema,
                timeout_s,
                function,
                is_cancelled_by_interrupt=cancel_on_interrupt,
                needs_approval=needs_approval,
            )
        )

    def register_client_function(self, declaration: Mapping[str, Any]) -> None:
        """Offer a tool that the client runs: `{"type": "function", "name", ...}`.

        Raises:
            ToolDeclarationError: malformed declaration, bad or taken name.
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
        self._register(_Tool(name, description, schema, self._client_timeout_s, None))

    def forget_client_functions(self) -> None:
        """Offer no tool of the client's any more. Calls that wait for it go on."""
        self._tools = {
            name: tool for name, tool in self._tools.items() if tool.function is not None
        }

    def _register(self, tool: _Tool) -> None:
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
        """The same tools; calls that wait for the client stay with the original."""
        other = ToolContext(
            client_timeout_s=self._client_timeout_s, approval_timeout_s=self.approval_timeout_s
        )
        other.adopt(self)
        return other

    def adopt(self, other: ToolContext) -> None:
        """Offer the tools of `other` instead of these. Calls that run go on."""
        self._tools = dict(other._tools)

    # -- describing ----------------------------------------------------------------------------

    def model_description(self) -> list[dict[str, Any]]:
        """All tools as OpenAI's Realtime session declares them."""
        return [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.schema.parameters),
            }
            for tool in self._tools.values()
        ]

    def is_client_function(self, name: str) -> bool:
        """Whether the client runs this tool."""
        return name in self._tools and self._tools[name].function is None

    def is_cancelled_by_interrupt(self, name: str) -> bool:
        """Whether a running call is given up when the user interrupts."""
        return name in self._tools and self._tools[name].is_cancelled_by_interrupt

    def needs_approval(self, name: str) -> bool:
        """Whether somebody must allow each call."""
        return name in self._tools and self._tools[name].needs_approval

    # -- running -------------------------------------------------------------------------------

    async def execute_tool(self, call_id: str, name: str, arguments_json: str) -> ToolOutcome:
        """Run one call, or wait for the client to. Raises nothing but cancellation."""
        tool = self._tools.get(name)
        if tool is None:
            return failure("there is no such tool")
        with Caught() as caught:  # type hints may bring code of their own
            arguments = tool.schema.read(_json_object(arguments_json))
        if isinstance(caught.error, InvalidArgumentsError):
            return failure(str(caught.error))
        if caught.error is not None:
            return _failed(tool, caught.error)
        if tool.function is None:
            return await self._ask_client(tool, call_id)
        return await self._run(tool, tool.function, arguments)

    async def _run(
        self, tool: _Tool, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> ToolOutcome:
        # In a task of its own: it may cancel the one it runs in, and need not obey a cancellation.
        work = self._tasks.start(self._work(tool, function, arguments), name=f"tool {tool.name}")
        try:
            await asyncio.wait([work], timeout=tool.timeout_s)
        finally:
            work.cancel()
        if not work.done():
            return _silent(tool)
        return _failed(tool, asyncio.CancelledError()) if work.cancelled() else work.result()

    async def _work(
        self, tool: _Tool, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> ToolOutcome:
        # Contained: SystemExit would end the loop, a CancelledError look like one of ours.
        with Caught() as caught:
            ended = await self._call(function, arguments)
            if isinstance(ended, Raised):
                return _told(tool, ended.error)
            return await self._outcome(tool, ended.value)
        assert caught.error is not None
        return _told(tool, caught.error)

    async def _outcome(self, tool: _Tool, value: Any) -> ToolOutcome:
        """What the tool returned; code of the value's own runs where it delays nobody."""
        if issubclass(type(value), AsyncIterator):
            value = await collect(value)
        if is_plain(value):
            return _outcome(tool, value)
        ended = await self._threads.run(functools.partial(_outcome, tool, value))
        if isinstance(ended, Raised):
            return _untold(tool, ended.error)
        outcome: ToolOutcome = ended.value
        return outcome

    async def _call(
        self, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> Returned | Raised:
        if inspect.iscoroutinefunction(function):
            ended: Returned | Raised = Returned(await function(**arguments))
        else:
            ended = await self._threads.run(functools.partial(function, **arguments))
        # A callable object or a partial may hide a coroutine function, and either return another.
        if isinstance(ended, Returned) and issubclass(type(ended.value), Awaitable):
            return Returned(await ended.value)
        return ended

    async def _ask_client(self, tool: _Tool, call_id: str) -> ToolOutcome:
        try:
            answer = self.begin_client_call(call_id)
        except ToolError as error:
            return failure(str(error))
        try:
            async with asyncio.timeout(tool.timeout_s):
                return _outcome(tool, await answer)
        except TimeoutError:
            return _silent(tool)
        finally:
            self._forget_client_call(call_id, answer)

    async def close(self) -> None:
        """Give up what still runs."""
        await self._tasks.close()

    # -- calls that the client answers ---------------------------------------------------------

    def begin_client_call(self, call_id: str) -> asyncio.Future[str]:
        """What `resolve_client_call` will be told; `execute_tool` does this by itself.

        Raises:
            ToolError: too many calls are waiting already.
        """
        if sum(map(len, self._client_calls.values())) >= MAX_WAITING_CLIENT_CALLS:
            raise ToolError("too many tool calls are waiting for the client")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client_calls.setdefault(call_id, deque()).append(future)
        return future

    def resolve_client_call(self, call_id: str, output: str) -> bool:
        """Answer a waiting pass-through call, the oldest under this id; False when none waits."""
        for future in self._client_calls.get(call_id, ()):
            if not future.done():
                future.set_result(output)
                return True
        return False

    def _forget_client_call(self, call_id: str, future: asyncio.Future[str]) -> None:
        if (waiting := self._client_calls.get(call_id)) is not None:
            waiting.remove(future)
            if not waiting:
                del self._client_calls[call_id]


def is_tool_name(name: str) -> bool:
    """Whether a provider accepts `name` for a tool."""
    return re.fullmatch(_NAME, name) is not None


def _json_object(text: str) -> dict[str, Any]:
    if len(text) > MAX_ARGUMENT_CHARACTERS:
        raise InvalidArgumentsError("the arguments are too long")
    try:
        return read_object(_NO_ARGUMENTS.get(text.strip(), text), allow_nan=True)
    except InvalidJsonError as error:
        raise InvalidArgumentsError(f"the arguments are {error}") from None


def _outcome(tool: _Tool, value: Any) -> ToolOutcome:
    """What the tool returned. That it cannot be told does not mean that it was not done."""
    with Caught() as caught:  # the value's own code may raise anything
        return ToolOutcome(tell(value))
    assert caught.error is not None
    return _untold(tool, caught.error)


def _untold(tool: _Tool, error: BaseException) -> ToolOutcome:
    if isinstance(error, UntellableError):
        return failure(f"it ran, but {error}")
    _log_failure("the result of tool", tool, error)
    text = f"it ran, but its result cannot be told ({type(error).__name__})"
    return failure(text, is_unexpected=True)


def _told(tool: _Tool, error: BaseException) -> ToolOutcome:
    if not isinstance(error, ToolError):
        return _failed(tool, error)
    with Caught() as caught:  # so may a subclass's `__str__`
        return failure(mend_text(str(error)[:MAX_ERROR_CHARACTERS]))
    assert caught.error is not None
    return _failed(tool, caught.error)


def _failed(tool: _Tool, error: BaseException) -> ToolOutcome:
    _log_failure("tool", tool, error)
    text = f"{tool.name} failed unexpectedly ({type(error).__name__})"
    return failure(text, is_unexpected=True)


def _silent(tool: _Tool) -> ToolOutcome:
    return failure(f"{tool.name} gave no answer within {tool.timeout_s:g} seconds")


def _log_failure(what: str, tool: _Tool, error: BaseException) -> None:
    _log.warning("%s %s failed: %s", what, tool.name, type(error).__name__)
    _log.debug("%s %s failed", what, tool.name, exc_info=error)


def failure(text: str, *, is_unexpected: bool = False) -> ToolOutcome:
    """The outcome of a call that was not carried out, in words for the model."""
    output = json.dumps({"error": text}, ensure_ascii=False)
    return ToolOutcome(output, is_error=True, is_unexpected=is_unexpected)
