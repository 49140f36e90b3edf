"""`ToolGuardrails`: an owner's checks of the arguments and the results of tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from conversation.events import server_events as out
from parley.guardrails import Check, Cut, EndCall, Replace, Retry
from session.owner import Owner
from session.owner_guardrails import Tripped
from session.publisher import Publisher
from tools import ToolOutcome, failure

Execute = Callable[[str], Awaitable[ToolOutcome]]
"""Runs a call with these arguments (JSON)."""


class ToolGuardrails:
    """Runs a call between the guardrails of the agent that has the floor."""

    def __init__(self, owner: Owner, publisher: Publisher) -> None:
        self._owner = owner
        self._publisher = publisher

    async def run(self, call_id: str, name: str, arguments: str, execute: Execute) -> ToolOutcome:
        """Return the outcome of a call, or what takes its place."""
        tripped = await self._check("tool_arguments", call_id, name, arguments)
        if tripped is not None and not isinstance(tripped.action, Replace):
            return self._refused(tripped, "it was not allowed")
        outcome = await execute(arguments if tripped is None else tripped.text)
        tripped = await self._check("tool_result", call_id, name, outcome.output)
        if tripped is None:
            return outcome
        if isinstance(tripped.action, Replace):
            return replace(outcome, output=tripped.text)
        return self._refused(tripped, "it ran, but its result is withheld")

    async def _check(self, on: Check, call_id: str, name: str, text: str) -> Tripped | None:
        found = await self._owner.guardrails.check_all(on, text, tool=name)
        for one in found:
            self._publisher.publish(
                out.AgentGuardrailTripped,
                response_id="",
                item_id=call_id,
                guardrail=one.guardrail.name,
                check=on,
            )
        return found[-1] if found else None

    def _refused(self, tripped: Tripped, problem: str) -> ToolOutcome:
        match tripped.action:
            case Cut(reason) if reason:
                return failure(f"{problem}: {reason}")
            case Retry(instructions):
                return failure(f"{problem}. {instructions}")
            case EndCall(say):
                self._owner.hang_up(after_reply=False, say=say)
                return replace(failure(problem), start_response=False)
            case _:
                return failure(problem)
