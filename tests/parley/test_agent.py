"""An owner's definition: what it takes, and what it refuses with a remedy."""

from __future__ import annotations

import pytest

from parley import Agent, Tool, tool
from parley.agent import InvalidDefinitionError


def look_up(order: int) -> str:
    """Look up an order."""
    return str(order)


def test_functions_become_tools_under_their_own_names() -> None:
    declared = tool(name="find", timeout_s=2)(look_up)
    agent = Agent("orders", tools=[look_up, declared])
    assert [each.name for each in agent.tools if isinstance(each, Tool)] == ["look_up", "find"]
    assert agent.tools[1].timeout_s == 2


@pytest.mark.parametrize("name", ["", "Orders", "1st", "a b", "a" * 33])
def test_a_name_that_no_request_could_give_is_refused(name: str) -> None:
    with pytest.raises(InvalidDefinitionError, match="lower case letter"):
        Agent(name)


def test_a_hook_is_declared_once_under_a_known_name() -> None:
    agent = Agent("orders")

    @agent.on("call_started")
    def greet() -> None: ...

    assert agent.hooks == {"call_started": greet}
    with pytest.raises(InvalidDefinitionError, match="set twice"):
        agent.on("call_started")(greet)
    with pytest.raises(InvalidDefinitionError, match="call_ended"):
        Agent("other", hooks={"call_began": greet})  # type: ignore[dict-item]
