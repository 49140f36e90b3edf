"""Agents to which a conversation may be handed over, directly or by way of others."""

from __future__ import annotations

from collections.abc import Callable

from parley.agent import Agent, InvalidDefinitionError


def handoff_targets(
    agent: Agent, find: Callable[[str], Agent | None] = lambda _name: None
) -> dict[str, Agent]:
    """Return all agents that `agent` can reach, by name, itself first.

    find: returns the agent of a name that is not among those reached by object

    Raises:
        InvalidDefinitionError: A name is unknown, or two agents have the same.
    """
    found: dict[str, Agent] = {}
    waiting, names = [agent], list[str]()
    while waiting or names:
        if waiting:
            each = waiting.pop(0)
            if found.setdefault(each.name, each) is not each:
                raise InvalidDefinitionError(f"handoffs: two agents have the name {each.name}")
            new = [one for one in each.handoffs if isinstance(one, Agent)]
            waiting += [one for one in new if found.get(one.name) is not one]
            names += [one for one in each.handoffs if isinstance(one, str)]
        elif (name := names.pop(0)) not in found:
            if (named := find(name)) is None:
                known = ", ".join(sorted(found))
                raise InvalidDefinitionError(
                    f"handoffs: there is no agent {name}; there is {known}"
                )
            waiting.append(named)
    return found


def handoff_names(agent: Agent) -> list[str]:
    """Return the names of the agents to which `agent` itself may hand over."""
    return [one if isinstance(one, str) else one.name for one in agent.handoffs]
