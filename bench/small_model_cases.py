"""Questions with tools, and the call that each one asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from speech.dialogue.context import Tool


def _tool(name: str, description: str, **properties: Mapping[str, Any]) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(name, description, schema)


def _enum(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_CITY: Final = {"type": "string", "description": "name of the city"}
_MINUTES: Final = {"type": "integer", "description": "length in minutes"}
_ORDER: Final = {"type": "string", "description": "digits of the order's number"}

WEATHER: Final = _tool("get_weather", "Get the present weather in a city.", city=_CITY)
TIMER: Final = _tool("set_timer", "Set a timer.", minutes=_MINUTES)
ORDER: Final = _tool("find_order", "Look up the state of an order.", number=_ORDER)
LIGHT: Final = _tool(
    "set_light",
    "Switch the light of a room.",
    room=_enum("kitchen", "bedroom", "office"),
    state=_enum("on", "off"),
)
CALLBACK: Final = _tool(
    "book_callback",
    "Book a call back by a colleague.",
    phone={"type": "string", "description": "telephone number, digits only"},
    day=_enum("today", "tomorrow"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One question. name: of the tool to call; None: none is needed."""

    question: str
    tools: Sequence[Tool]
    name: str | None = None
    arguments: Mapping[str, Any] | None = None


_ALL: Final = (WEATHER, TIMER, ORDER)

CASES: Final = (
    Case("What is the weather in Paris?", [WEATHER], "get_weather", {"city": "Paris"}),
    Case("How is the weather in Rome today?", _ALL, "get_weather", {"city": "Rome"}),
    Case("Is it raining in London?", _ALL, "get_weather", {"city": "London"}),
    Case("Do I need a coat in Oslo?", _ALL, "get_weather", {"city": "Oslo"}),
    Case("Set a timer for ten minutes.", [TIMER], "set_timer", {"minutes": 10}),
    Case("Please set a timer for 25 minutes.", _ALL, "set_timer", {"minutes": 25}),
    Case("Remind me in half an hour.", _ALL, "set_timer", {"minutes": 30}),
    Case("Wake me up in one hour.", [TIMER, WEATHER], "set_timer", {"minutes": 60}),
    Case("Where is my order 1001?", [ORDER], "find_order", {"number": "1001"}),
    Case("What is the state of order number 4 7 1 1?", _ALL, "find_order", {"number": "4711"}),
    Case("Has order 2020 been delivered?", _ALL, "find_order", {"number": "2020"}),
    Case("Track order 88 for me.", [ORDER, WEATHER], "find_order", {"number": "88"}),
    Case("Turn on the kitchen light.", [LIGHT], "set_light", {"room": "kitchen", "state": "on"}),
    Case(
        "Switch the light in the office off.",
        [LIGHT, TIMER],
        "set_light",
        {"room": "office", "state": "off"},
    ),
    Case(
        "It is dark in the bedroom, make some light.",
        [LIGHT, TIMER, WEATHER],
        "set_light",
        {"room": "bedroom", "state": "on"},
    ),
    Case(
        "Call me back tomorrow at 5550100.",
        [CALLBACK],
        "book_callback",
        {"phone": "5550100", "day": "tomorrow"},
    ),
    Case(
        "Somebody should phone me today, my number is 5550199.",
        [CALLBACK, ORDER],
        "book_callback",
        {"phone": "5550199", "day": "today"},
    ),
    Case("What is the capital of France?", _ALL),
    Case("Thank you, that was all.", _ALL),
    Case("Tell me a joke.", [WEATHER]),
    Case("Why is the sky blue?", _ALL),
    Case("Who are you?", [LIGHT, TIMER]),
    Case("Can you hear me?", [ORDER]),
    Case("What can I cook with eggs?", [TIMER, WEATHER]),
    Case("I am tired today.", [LIGHT, CALLBACK]),
    Case("How many legs does a spider have?", [ORDER, TIMER]),
)
