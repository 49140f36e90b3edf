"""An order desk: `make run APP=examples/orders.py`, then start the agent `orders` on the page."""

from __future__ import annotations

from parley import Agent, tool

STATES = {"1001": "is on its way and arrives tomorrow", "1002": "was delivered on Monday"}


@tool
def find_order(number: str) -> str:
    """Look up the state of an order by its number."""
    return f"Order {number} {STATES[number]}." if number in STATES else f"There is no {number}."


orders = Agent(
    "orders",
    display_name="Order desk",
    description="Knows the state of orders.",
    instructions=(
        "You are the order desk of a shop. Ask for the number of the order and look it up. "
        "Answer in one short sentence."
    ),
    greeting="Order desk, good day.",
    tools=[find_order],
)
