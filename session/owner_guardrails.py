"""`OwnerGuardrails`: runs the checks of an agent's owner on one text, and reads their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from parley.call import Call
from parley.guardrails import Action, Check, CheckedText, Cut, Guardrail, Replace
from session.owner_code import OwnerCode
from untrusted.owner_place import function_place


@dataclass(frozen=True, slots=True)
class Tripped:
    """A guardrail that did not let a text pass. text: the text after all replacements"""

    guardrail: Guardrail
    action: Action
    text: str


class OwnerGuardrails:
    """The guardrails of the agent that has the floor."""

    def __init__(
        self, code: OwnerCode, call: Call, current: Callable[[], Sequence[Guardrail]]
    ) -> None:
        self._code = code
        self._call = call
        self._current = current

    def of(self, on: Check) -> list[Guardrail]:
        """Return the guardrails on this kind of text."""
        return [each for each in self._current() if each.on == on]

    async def check(self, guardrail: Guardrail, text: CheckedText) -> Action | None:
        """Run one guardrail; None lets the text pass."""
        ran = await self._code.run(
            "guardrail",
            guardrail.name,
            guardrail.function,
            self._call,
            text,
            timeout_s=guardrail.timeout_s,
        )
        if ran is None:
            return Cut() if guardrail.is_strict else None
        return self._action(guardrail, ran.value)

    async def check_all(self, on: Check, text: str, *, tool: str = "") -> list[Tripped]:
        """Run all guardrails on a text, one after the other; a later one sees what an earlier one put
        in its place, and none runs after one that stops the text.
        """
        tripped: list[Tripped] = []
        for guardrail in self.of(on):
            action = await self.check(guardrail, CheckedText(text, tool=tool))
            if action is None:
                continue
            if isinstance(action, Replace):
                text = action.text
            tripped.append(Tripped(guardrail, action, text))
            if not isinstance(action, Replace):
                break
        return tripped

    def _action(self, guardrail: Guardrail, value: Any) -> Action | None:
        if value is None or value is True:
            return None
        if value is False:
            return Cut()
        if isinstance(value, get_args(Action)):
            action: Action = value
            return action
        kind = type(value).__name__
        text = f"returned {kind}: a guardrail returns None, True, False or an action"
        place = function_place(guardrail.function)
        self._code.report("guardrail", guardrail.name, text, place)
        return Cut() if guardrail.is_strict else None
