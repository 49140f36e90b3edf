"""The agent that the scenarios of this folder call, and the same agent with a bug of each kind.

    python -m main test examples/scenarios/*.yaml --app examples/scenarios/restaurant.py
    python -m main test examples/scenarios/book_a_table.yaml --app examples/scenarios/restaurant.py --agent forgets

The second one fails, and says why: docs/scenarios.md shows how each bug is found.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from parley import Agent, Call, tool

Day = Literal[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "tomorrow",
]

INSTRUCTIONS = (
    "You are the host of a restaurant. Book tables, and tell people about their booking. "
    "Answer in one short sentence."
)


@tool
def book_table(call: Call, people: int, day: Day) -> str:
    """Book a table at the restaurant."""
    call.state["booking"] = {"people": people, "day": day}
    return f"A table for {people} on {day} is booked."


@tool
def planned_dinner(call: Call) -> str:
    """Tell which dinner is planned."""
    booking = call.state.get("booking")
    if booking is None:
        return "No dinner is planned."
    return f"There is a table for {booking['people']} on {booking['day']}."


@tool(needs_approval=True)
def cancel_booking(call: Call) -> str:
    """Cancel the booking. The caller has to allow it."""
    call.state.pop("booking", None)
    return "The booking is gone."


def _restaurant(name: str, *tools: Any, interrupt: dict[str, str] | None = None) -> Agent:
    return Agent(
        name,
        instructions=INSTRUCTIONS,
        greeting="Good day, this is the restaurant.",
        tools=[*tools],
        interrupt=interrupt,
    )


restaurant = _restaurant("restaurant", book_table, planned_dinner, cancel_booking)


# -- the same with bugs --------------------------------------------------------------------------------


@tool(name="book_table")
def book_with_children(
    call: Call, children: int | None = None, people: int = 2, day: Day = "today"
) -> str:
    """Book a table at the restaurant."""
    return book_table_for(call, people + (children or 0), day)


@tool(name="book_table")
def book_slowly(call: Call, people: int, day: Day) -> str:
    """Book a table at the restaurant."""
    time.sleep(8)
    return book_table_for(call, people, day)


@tool(name="book_table")
def book_and_forget(_call: Call, people: int, day: Day) -> str:
    """Book a table at the restaurant."""
    return f"A table for {people} on {day} is booked."


def book_table_for(call: Call, people: int, day: str) -> str:
    """Note a booking."""
    call.state["booking"] = {"people": people, "day": day}
    return f"A table for {people} on {day} is booked."


wrong_argument = _restaurant("wrong_argument", book_with_children, planned_dinner)
slow_tool = _restaurant("slow_tool", book_slowly, planned_dinner)
forgets = _restaurant("forgets", book_and_forget, planned_dinner)
talks_over = _restaurant("talks_over", book_table, planned_dinner, interrupt={"mode": "never"})
