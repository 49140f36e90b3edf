"""An order desk: SQLite tools, an approval, a second agent, a hook, a guardrail, and an end of the call.

    python -m examples.order_desk.seed                # a new database; without it the first load makes one
    python -m main check --app examples/order_desk
    make run APP=examples/order_desk                  # then choose "Order desk" on the page

Ask where order 1001 is, make it 6 chairs, cancel it (the page asks you to allow that), complain about order
1003, say goodbye. APP_VARIABLES=ORDER_DESK_DATABASE and ORDER_DESK_DATABASE=FILE keep the orders elsewhere.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from parley import Agent, Call, Retry, ToolError, guardrail, tool
from parley.hooks import CallEnded
from parley.ready_tools import end_call

from . import database, seed

if not database.DATABASE.exists():
    seed.create(database.DATABASE)

Number = Annotated[int, Field(ge=1, le=999_999, description="Number of the order")]


def _note(call: Call, number: int) -> None:
    """Remember an order that was looked up: also after a restart, and in the caller's next call."""
    seen = call.state.get("orders", [])
    call.state["orders"] = [*(one for one in seen if one != number), number][-20:]


def _check_looked_up(call: Call, number: int) -> None:
    """Keep the model from changing an order whose number it has made up."""
    if number not in call.state.get("orders", []):
        raise ToolError(f"look up order {number} first, and read it to the caller")


@tool
def find_order(call: Call, number: Number) -> str:
    """Look up an order: what was ordered, by whom, and its state."""
    order = database.find_order(number)
    if order is None:
        raise ToolError(f"there is no order {number}")
    _note(call, number)
    return (
        f"Order {number} of {order['customer']}: {order['quantity']} x {order['article']}, "
        f"{order['state']}."
    )


@tool
def change_quantity(
    call: Call, number: Number, quantity: Annotated[int, Field(ge=1, le=100)]
) -> str:
    """Change how many pieces of an open order are to come.

    Args:
        quantity: The new number of pieces.
    """
    _check_looked_up(call, number)
    if not database.change_quantity(number, quantity):
        raise ToolError(f"order {number} cannot be changed any more")
    return f"Order {number} is now for {quantity}."


@tool(needs_approval=True)
def cancel_order(call: Call, number: Number) -> str:
    """Cancel an open order. A person at the shop or the caller has to allow it."""
    _check_looked_up(call, number)
    if not database.cancel_order(number):
        raise ToolError(f"order {number} cannot be cancelled any more")
    return f"Order {number} is cancelled."


@tool
def open_complaint(
    call: Call, number: Number, problem: Annotated[str, Field(min_length=1, max_length=500)]
) -> str:
    """Note a complaint about an order, for a colleague who calls back.

    Args:
        problem: The problem, in the caller's words.
    """
    if not database.add_complaint(number, problem):
        raise ToolError(f"there is no order {number}")
    _note(call, number)
    return f"The complaint about order {number} is noted. A colleague calls back."


@guardrail("reply")
def no_guarantees(_call: Call, text: str) -> Retry | None:
    """Cut what the shop cannot keep, before it is heard, and have it said in another way."""
    if any(word in text.lower() for word in ("guarantee", "promise")):
        return Retry("Say it again, without any promise about dates.")
    return None


def note_call(call: Call, event: CallEnded) -> None:
    """Keep which orders a call was about."""
    numbers = " ".join(str(number) for number in call.state.get("orders", []))
    database.add_call(call.channel, event.reason, numbers)


orders = Agent(
    "orders",
    display_name="Order desk",
    description="Looks up, changes and cancels orders.",
    instructions=(
        "You are the order desk of a furniture shop. Ask for the number of the order, look it up, and "
        "say what it is before you change or cancel it. Hand complaints over. Answer in one or two "
        "short sentences. When the caller is done, end the call."
    ),
    greeting="Order desk, good day. What is the number of your order?",
    goodbye="Thank you for calling. Goodbye!",
    tools=[find_order, change_quantity, cancel_order, end_call],
    guardrails=[no_guarantees],
    hooks={"call_ended": note_call},
)

complaints = Agent(
    "complaints",
    display_name="Complaints",
    description="Takes complaints and returns.",
    instructions=(
        "You take complaints about orders of a furniture shop. Say that you are sorry, ask for the "
        "number of the order and the problem, note both, and say that a colleague calls back. "
        "Answer in one or two short sentences. When the caller is done, end the call."
    ),
    greeting="Complaints, good day.",
    goodbye="Thank you for calling. Goodbye!",
    tools=[find_order, open_complaint, end_call],
    guardrails=[no_guarantees],
    handoffs=["orders"],
)
orders.handoffs = [complaints]
