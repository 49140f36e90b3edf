"""Ready tools, for the `tools` of an agent: `[end_call, *memory, set_skill]`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field

from parley.agent import Agent
from parley.call import Call, CallError
from parley.tool_definition import tool
from tool_results import Result
from tools import ToolDeclarationError, ToolError

MAX_REASON_CHARACTERS: Final = 200

_ENDS_WITH_GOODBYE: Final = (
    "End the call, when the user is done and has said goodbye, or asks for it. "
    "A goodbye is spoken by itself."
)

Reason = Annotated[
    str, Field(max_length=MAX_REASON_CHARACTERS, description="Why the call ends, in a few words")
]
Text = Annotated[
    str, Field(min_length=1, max_length=1_000, description="One fact, complete by itself")
]
Query = Annotated[str, Field(max_length=200, description="Words to look for; empty for the latest")]
MemoryId = Annotated[str, Field(pattern="^[a-z0-9]{1,16}$", description="Id from recall_memory")]


@tool(name="end_call")
async def end_call(call: Call, reason: Reason = "") -> Any:  # noqa: ARG001 - kept with the tool call
    """End the call, when the user is done and has said goodbye, or asks for it.

    Say your last sentence in the same turn, before you call this. Nothing can be said afterwards.
    """
    await _done(call.hang_up(after_reply=True, say=call.goodbye or None))
    return Result({"status": "the call ends"}, is_silent=True)


@tool(name="save_memory")
async def save_memory(call: Call, text: Text) -> dict[str, Any]:
    """Keep a fact about the user beyond this call, such as a preference or an open matter.

    Keep what will matter in a later call; ask before you keep what is private.
    """
    return {"status": "saved", "id": await _done(call.save_memory(text))}


@tool(name="recall_memory")
async def recall_memory(call: Call, query: Query = "") -> list[dict[str, str]]:
    """Look up facts that were kept in this or earlier calls."""
    return [{"id": each.id, "text": each.text} for each in await _done(call.recall_memory(query))]


@tool(name="forget_memory")
async def forget_memory(call: Call, id: MemoryId) -> dict[str, str]:  # noqa: A002 - the model's word
    """Remove a kept fact, when it is wrong or the user asks for it."""
    await _done(call.forget_memory(id))
    return {"status": "forgotten"}


memory: Final = (save_memory, recall_memory, forget_memory)
"""The tools of long-term memory."""


@tool(name="set_skill")
async def set_skill(call: Call, name: str) -> dict[str, str]:
    """Load the instructions of a skill, before you do what it is about."""
    await _done(call.load_skill(name))
    return {"loaded": name}


def adapted(declared: Any, definition: Agent) -> Any:
    """Return a ready tool as it is for this agent; anything else unchanged.

    Raises:
        ToolDeclarationError: `set_skill` has nothing to load.
    """
    if declared is end_call and definition.goodbye is not None:
        return replace(end_call, description=_ENDS_WITH_GOODBYE)
    if declared is not set_skill:
        return declared
    if not definition.loadable_skills:
        text = f"agent {definition.name}: set_skill needs loadable_skills"
        raise ToolDeclarationError(text)
    # By name, so that the model can choose no other.
    names = {"type": "string", "enum": list(definition.loadable_skills)}
    parameters = {
        "type": "object",
        "properties": {"name": names},
        "required": ["name"],
        "additionalProperties": False,
    }
    return replace(set_skill, parameters=parameters)


async def _done(coroutine: Any) -> Any:
    try:
        return await coroutine
    except CallError as error:
        raise ToolError(str(error)) from error
