"""Agents, tools, guardrails and handoffs of the Agents SDK, as definitions of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, overload

from parley.agent import Agent
from parley.call import Call
from parley.compat.agents_sdk_events import RunContextWrapper
from parley.compat.functions import with_context
from parley.compat.models import agent_name
from parley.guardrails import Guardrail, Retry
from parley.tool_definition import Tool
from tools import DEFAULT_TIMEOUT_S

T = TypeVar("T")

DEBOUNCE_CHARACTERS: Final = 100

_CONTEXTS: Final = ("RunContextWrapper", "ToolContext")


@dataclass(frozen=True, slots=True, eq=False)
class FunctionTool:
    """A function that the model may call. `function_tool` makes it."""

    function: Callable[..., Any]
    name: str
    description: str = ""
    needs_approval: bool | Callable[..., Any] = False
    timeout_seconds: float | None = None

    def as_tool(self, context_of: Callable[[Call], RunContextWrapper]) -> Tool:
        """Return it as a tool of ours, whose functions get the session's context."""
        takes_context = _takes_context(self.function)
        return Tool(
            function=with_context(self.function, context_of) if takes_context else self.function,
            name=self.name,
            description=self.description,
            needs_approval=self._approval(context_of),
            timeout_s=self.timeout_seconds or DEFAULT_TIMEOUT_S,
        )

    def _approval(self, context_of: Callable[[Call], RunContextWrapper]) -> Any:
        rule = self.needs_approval
        if isinstance(rule, bool):
            return rule

        async def decide(call: Call, arguments: dict[str, Any]) -> bool:
            # The id of the call is not known here: the decision is one of the arguments.
            return bool(await _result(rule(context_of(call), arguments, "")))

        return decide


@overload
def function_tool(func: Callable[..., Any], /) -> FunctionTool: ...


@overload
def function_tool(
    *,
    name_override: str | None = ...,
    description_override: str | None = ...,
    needs_approval: bool | Callable[..., Any] = ...,
    timeout: float | None = ...,
    **others: Any,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def function_tool(
    func: Callable[..., Any] | None = None,
    /,
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    needs_approval: bool | Callable[..., Any] = False,
    timeout: float | None = None,
    **_others: Any,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Declare a function as a tool; with or without arguments."""

    def declare(function: Callable[..., Any]) -> FunctionTool:
        return FunctionTool(
            function,
            name_override or function.__name__,
            description_override or "",
            needs_approval,
            timeout,
        )

    return declare if func is None else declare(func)


@dataclass(frozen=True, slots=True)
class GuardrailFunctionOutput:
    """Result of a guardrail."""

    output_info: Any
    tripwire_triggered: bool


@dataclass(frozen=True, slots=True, eq=False)
class OutputGuardrail:
    """A check of a growing reply: `guardrail_function(context, agent, text)`."""

    guardrail_function: Callable[..., Any]
    name: str | None = None

    def get_name(self) -> str:
        """Return its name."""
        return self.name or self.guardrail_function.__name__


@dataclass(frozen=True, slots=True)
class OutputGuardrailResult:
    """A guardrail that tripped, and what it returned."""

    guardrail: OutputGuardrail
    agent_output: str
    agent: Any
    output: GuardrailFunctionOutput


@overload
def output_guardrail(func: Callable[..., Any], /) -> OutputGuardrail: ...


@overload
def output_guardrail(*, name: str | None) -> Callable[[Callable[..., Any]], OutputGuardrail]: ...


def output_guardrail(
    func: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> OutputGuardrail | Callable[[Callable[..., Any]], OutputGuardrail]:
    """Declare a function as an output guardrail."""
    if func is None:
        return lambda function: OutputGuardrail(function, name)
    return OutputGuardrail(func, name)


class RealtimeAgentHooks:
    """Base of hooks: override what is needed. They delay nothing."""

    async def on_start(self, context: RunContextWrapper, agent: Any) -> None:
        """The agent begins a reply."""

    async def on_end(self, context: RunContextWrapper, agent: Any, output: Any) -> None:
        """The agent has made a reply."""

    async def on_handoff(self, context: RunContextWrapper, agent: Any, source: Any) -> None:
        """The agent got the floor from `source`."""

    async def on_tool_start(self, context: RunContextWrapper, agent: Any, tool: Any) -> None:
        """A tool begins to run."""

    async def on_tool_end(
        self, context: RunContextWrapper, agent: Any, tool: Any, result: Any
    ) -> None:
        """A tool has a result."""


@dataclass(slots=True, eq=False)
class RealtimeAgent(Generic[T]):
    """An agent. instructions: a text, or a function of context and agent"""

    name: str
    instructions: str | Callable[..., Any] | None = None
    handoff_description: str | None = None
    tools: list[FunctionTool] = field(default_factory=list)
    mcp_servers: list[str] = field(default_factory=list)
    handoffs: list[Any] = field(default_factory=list)
    output_guardrails: list[OutputGuardrail] = field(default_factory=list)
    hooks: RealtimeAgentHooks | None = None
    prompt: Mapping[str, Any] | None = None
    voice: str | None = None

    def tool(self, name: str) -> FunctionTool | None:
        """Return the tool of this name."""
        return next((tool for tool in self.tools if tool.name == name), None)


@dataclass(frozen=True, slots=True)
class Handoff:
    """A handoff to an agent. `realtime_handoff` makes it."""

    agent: RealtimeAgent[Any]
    tool_description: str | None = None


def realtime_handoff(
    agent: RealtimeAgent[Any], *, tool_description_override: str | None = None, **_: Any
) -> Handoff:
    """Declare that the model may hand over to `agent`."""
    return Handoff(agent, tool_description_override)


class Definitions:
    """Definitions of the agents of one session; each of theirs has one of ours."""

    def __init__(
        self,
        context: RunContextWrapper,
        shared_guardrails: Sequence[OutputGuardrail] = (),
        debounce_characters: int = DEBOUNCE_CHARACTERS,
    ) -> None:
        self.tripped: dict[str, OutputGuardrailResult] = {}
        self._context = context
        self._shared = list(shared_guardrails)
        self._debounce = debounce_characters
        self._theirs: dict[str, RealtimeAgent[Any]] = {}
        self._ours: dict[int, Agent] = {}

    def agent(self, name: str) -> RealtimeAgent[Any] | None:
        """Return the agent whose definition has this name."""
        return self._theirs.get(name)

    def of(self, agent: RealtimeAgent[Any], **fields: Any) -> Agent:
        """Return the definition of an agent, with those that it may hand over to."""
        if (known := self._ours.get(id(agent))) is not None:
            return known
        name = self._free_name(agent_name(agent.name))
        self._theirs[name] = agent
        self._ours[id(agent)] = definition = Agent(
            name,
            display_name=agent.name,
            description=agent.handoff_description or "",
            instructions=self._instructions(agent),
            tools=[tool.as_tool(lambda _: self._context) for tool in agent.tools],
            mcp_servers=agent.mcp_servers,
            guardrails=[
                self._guardrail(each, agent) for each in [*agent.output_guardrails, *self._shared]
            ],
            **{"voice": agent.voice, **fields},
        )
        # Set afterwards: agents may hand over to one another.
        definition.handoffs = [self._target(each) for each in agent.handoffs]
        return definition

    def _target(self, handoff: Any) -> Agent:
        if not isinstance(handoff, Handoff):
            return self.of(handoff)
        definition = self.of(handoff.agent)
        definition.description = handoff.tool_description or definition.description
        return definition

    def _free_name(self, name: str) -> str:
        free, number = name, 1
        while free in self._theirs:
            number += 1
            free = f"{name[:28]}_{number}"
        return free

    def _instructions(self, agent: RealtimeAgent[Any]) -> Any:
        wanted = agent.instructions
        if wanted is None or isinstance(wanted, str):
            # Braces of theirs are no placeholders.
            return None if wanted is None else wanted.replace("{", "{{").replace("}", "}}")

        async def of_call(_call: Call) -> str:
            return str(await _result(wanted(self._context, agent)))

        return of_call

    def _guardrail(self, guardrail: OutputGuardrail, agent: RealtimeAgent[Any]) -> Guardrail:
        name = guardrail.get_name()

        async def check(_call: Call, text: str) -> Retry | None:
            output = await _result(guardrail.guardrail_function(self._context, agent, str(text)))
            if not output.tripwire_triggered:
                return None
            self.tripped[name] = OutputGuardrailResult(guardrail, str(text), agent, output)
            return Retry(f"The reply was stopped by the guardrail {name}. Answer without that.")

        return Guardrail(name=name, on="reply", function=check, every_characters=self._debounce)


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _takes_context(function: Callable[..., Any]) -> bool:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and any(name in str(first.annotation) for name in _CONTEXTS)
