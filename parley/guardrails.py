"""Guardrails: an owner's checks of what goes in and out of the model, and what happens then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from parley.call import Call

Check = Literal["input", "reply", "tool_arguments", "tool_result"]
"""Text that a guardrail looks at: a user's turn, a growing reply, a tool's arguments (JSON), a tool's
result."""

GUARDRAIL_TIMEOUT_S: Final = 5.0
MODEL_TIMEOUT_S: Final = 10.0

_VERDICT: Final = (
    "You check a text of a conversation; do not answer it. This must not be in it: {rule}\n"
    "Answer with the single word BLOCK if it is, and with the single word PASS if not."
)


@dataclass(frozen=True, slots=True)
class Cut:
    """Silence the reply, refuse the tool call, withhold its result, or make the model forget the
    turn. reason: for the model
    """

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Use this text instead: as the turn, the arguments (JSON) or the result; or say it in place of
    the reply.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Cut, and ask the model for another reply with these instructions; at most twice in a row."""

    instructions: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """Cut, and end the call; with a last sentence, if given."""

    say: str | None = None


Action = Cut | Replace | Retry | EndCall
"""Result of a guardrail that has tripped; None or True lets the text pass, False is `Cut()`."""


class CheckedText(str):
    """Text for a guardrail.

    tool: name of the tool whose arguments or result this is
    is_complete: false for the beginning of a reply that still grows
    """

    __slots__ = ("is_complete", "tool")

    def __new__(cls, text: str, *, tool: str = "", is_complete: bool = True) -> CheckedText:
        checked = super().__new__(cls, text)
        checked.tool = tool
        checked.is_complete = is_complete
        return checked

    tool: str
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A check of one kind of text.

    Attributes:
        name: For the record and the events.
        on: Text that is checked.
        function: Plain or async; called with the call and a `CheckedText`. Returns None or True to
            let it pass, False for `Cut()`, or an action.
        every_characters: A growing reply is checked each time it grew by so many, and at its end.
        timeout_s: Longest check.
        is_strict: A check that fails or takes too long counts as `Cut()`; otherwise the text
            passes. Either way the record says so.
    """

    name: str
    on: Check
    function: Callable[..., Any]
    every_characters: int = 100
    timeout_s: float = GUARDRAIL_TIMEOUT_S
    is_strict: bool = False


class ModelGuardrail(Guardrail):
    """A check by the model of the call, in a written reply beside the conversation: where it gives such
    replies (openai, azure, local); elsewhere the start fails.
    """

    def __init__(
        self,
        instructions: str,
        *,
        on: Check,
        name: str = "model",
        action: Action = Cut(),
        every_characters: int = 400,
        timeout_s: float = MODEL_TIMEOUT_S,
        is_strict: bool = False,
    ) -> None:
        """
        instructions: what a text may not hold, in words for the model
        action: what happens with a text that the model does not let pass
        """
        super().__init__(
            name=name,
            on=on,
            function=_Judge(instructions, action),
            every_characters=every_characters,
            timeout_s=timeout_s,
            is_strict=is_strict,
        )


class _Judge:
    """Asks the model of the call for its verdict."""

    def __init__(self, instructions: str, action: Action) -> None:
        self._instructions = instructions
        self._action = action

    async def __call__(self, call: Call, text: CheckedText) -> Action | None:
        verdict = await call.ask(_VERDICT.format(rule=self._instructions), text=text)
        word = verdict.strip().strip(".!*\"'").upper()
        if word not in ("PASS", "BLOCK"):
            raise ValueError("the model answered neither PASS nor BLOCK")
        return self._action if word == "BLOCK" else None


def guardrail(
    on: Check,
    *,
    name: str | None = None,
    every_characters: int = 100,
    timeout_s: float = GUARDRAIL_TIMEOUT_S,
    is_strict: bool = False,
) -> Callable[[Callable[..., Any]], Guardrail]:
    """Declare a function as a guardrail."""

    def declare(function: Callable[..., Any]) -> Guardrail:
        return Guardrail(
            name=name or function.__name__,
            on=on,
            function=function,
            every_characters=every_characters,
            timeout_s=timeout_s,
            is_strict=is_strict,
        )

    return declare
