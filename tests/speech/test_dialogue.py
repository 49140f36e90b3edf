"""What is answered to what: one table for the rules, and conversations that need memory."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.dialogue.context import Call, Context, Entry, Say, Tool, ToolCall, ToolOutput, Turn
from speech.dialogue.responder import HINT, respond

NOW = datetime(2026, 11, 21, 15, 45, tzinfo=ZoneInfo("Europe/Zurich"))


def _tool(name: str, about: str, required: list[str], **properties: object) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": required}
    return Tool(name, about, parameters)


TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
ZONE = {"type": "string", "description": "IANA zone such as Europe/Paris, or just its city"}
TOOLS = (
    _tool("get_current_time", "Tell the current time in a zone.", ["zone"], zone=ZONE),
    _tool("set_timer", "Set a timer.", ["duration_s"], duration_s=NUMBER, label=TEXT),
    _tool("get_weather", "Get the current weather for a city", ["city"], city=TEXT),
    _tool(
        "control_lights",
        "Turn the lights in a room on or off",
        ["room", "on"],
        room={"type": "string", "enum": ["kitchen", "living_room"]},
        on={"type": "boolean"},
    ),
    _tool("book_table", "Book a table", ["people", "day"], people=WHOLE, day=TEXT, time=TEXT),
    _tool("transfer_money", "Transfer money", ["amount"], amount=NUMBER),
)


def _context(*said: Entry | str, tools: tuple[Tool, ...] = (), **changes: object) -> Context:
    history = tuple(Turn("user", part) if isinstance(part, str) else part for part in said)
    zone = "Europe/Zurich"
    return Context(history=history, now=NOW, zone_name=zone, tools=tools, **changes)  # type: ignore[arg-type]


def _said(*said: Entry | str, tools: tuple[Tool, ...] = (), **changes: object) -> str:
    (action,) = respond(_context(*said, tools=tools, **changes))
    assert isinstance(action, Say), action
    return action.text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What time is it?", "It is 3:45 PM."),
        ("what time is it in Tokyo", "It is 11:45 PM in Tokyo."),
        ("What's the time in New York right now?", "It is 9:45 AM in New York."),
        ("What time is it in Narnia?", "I don't know the time zone of Narnia."),
        ("What day is it today?", "It is Saturday, November 21, 2026."),
        ("what's tomorrow's date", "Tomorrow is Sunday, November 22, 2026."),
        ("How much is 27 times 14?", "27 times 14 is 378."),
        ("how much is twenty seven times fourteen", "27 times 14 is 378."),
        ("What is 2 plus 3 times 4?", "2 plus 3 times 4 is 14."),
        ("What is minus 5 plus 3", "-5 plus 3 is -2."),
        ("How much is 1,000 divided by 8?", "1,000 divided by 8 is 125."),
        ("twelve percent of two hundred and fifty", "12% of 250 is 30."),
        ("subtract three from ten", "10 minus 3 is 7."),
        ("what is the square root of 144", "The square root of 144 is 12."),
        ("divide 10 by 0", "Dividing by zero has no answer."),
        ("nine to the power of nine thousand", "That number is too big for me."),
        ("How many kilometers are ten miles?", "10 miles is 16.09 kilometers."),
        ("convert 72 degrees Fahrenheit to Celsius", "72 degrees Fahrenheit is 22.22 degrees Celsius."),
        ("how many seconds are in an hour", "1 hour is 3,600 seconds."),
        ("how many grams are in 2 hours", "Hours cannot be turned into grams."),
        ("Repeat after me: the quick brown fox.", "The quick brown fox."),
        ("Count from one to three", "One, two, three."),
        ("count from 1 to 5000", "That would take too long. I count at most 100 numbers."),
        ("Hello, can you hear me?", "Yes, I can hear you. What can I do for you?"),
        ("Hello!", "Hello! What can I do for you?"),
        ("Yes, that sounds good, thank you.", "You're welcome."),
        ("Goodbye.", "Goodbye!"),
        ("Stop.", "Okay."),
        ("What is your name?", "I have no name. I'm your voice assistant."),
        ("What is the capital of Australia?",
         f"I can't help with that. I heard: What is the capital of Australia? {HINT}"),
    ],
)  # fmt: skip
def test_answers_without_tools(question: str, answer: str) -> None:
    assert _said(question) == answer


@pytest.mark.parametrize(
    ("question", "name", "arguments"),
    [
        ("What time is it?", "get_current_time", {"zone": "Europe/Zurich"}),
        ("What time is it in Tokyo?", "get_current_time", {"zone": "Asia/Tokyo"}),
        ("What is the weather in Tokyo?", "get_weather", {"city": "Tokyo"}),
        ("will it rain in San Francisco tomorrow", "get_weather", {"city": "San Francisco"}),
        ("Set a timer for five minutes.", "set_timer", {"duration_s": 300}),
        ("set a pasta timer for 1 hour and 30 minutes", "set_timer",
         {"duration_s": 5400, "label": "pasta"}),
        ("Remind me in 10 minutes to call my mother", "set_timer",
         {"duration_s": 600, "label": "call my mother"}),
        ("Turn on the kitchen lights.", "control_lights", {"room": "kitchen", "on": True}),
        ("switch off the lights in the living room", "control_lights",
         {"room": "living_room", "on": False}),
        ("I would like to book a table for four people on Friday evening.", "book_table",
         {"people": 4, "day": "friday evening"}),
        ("Please transfer $250 to my savings account.", "transfer_money", {"amount": 250}),
    ],
)  # fmt: skip
def test_calls_the_offered_tool_with_what_was_said(
    question: str, name: str, arguments: dict[str, object]
) -> None:
    assert respond(_context(question, tools=TOOLS)) == [Call(name, arguments)]


def test_asks_for_what_a_tool_needs_and_understands_the_answer() -> None:
    question = _said("Set a timer.", tools=TOOLS)
    assert question == "To do that I need to know the duration. How long should it run?"
    said = ("Set a timer.", Turn("assistant", question), "For five minutes.")
    assert respond(_context(*said, tools=TOOLS)) == [Call("set_timer", {"duration_s": 300})]


def test_is_honest_about_timers_without_a_tool() -> None:
    assert "I can't speak up later" in _said("Set a timer for five minutes.")


@pytest.mark.parametrize(
    ("question", "name", "output", "answer"),
    [
        ("What time is it in Tokyo?", "get_current_time",
         {"zone": "Asia/Tokyo", "time": "23:45", "date": "21 November 2026", "weekday": "Saturday"},
         "It is 11:45 PM in Tokyo."),
        ("What's the date?", "get_current_time",
         {"zone": "Europe/Zurich", "time": "15:45", "date": "21 November 2026"},
         "It is Saturday, November 21, 2026."),
        ("Set a timer", "set_timer", {"status": "timer set", "duration_s": 90, "label": "pasta"},
         "Your pasta timer is set for 1 minute and 30 seconds."),
        ("weather", "get_weather", {"city": "Tokyo", "temperature_c": 21.5, "sky": "clear"},
         "City: Tokyo. temperature c: 21.5. sky: clear."),
        ("weather", "get_weather", "Sunny, 21 degrees", "Sunny, 21 degrees."),
        ("weather", "get_weather", {"error": "no such city"},
         "Sorry, get weather failed: No such city."),
        ("x", "do_it", {"ok": True}, "Done."),
        ("x", "list_it", ["milk", "eggs"], "Milk, eggs."),
    ],
)  # fmt: skip
def test_speaks_about_tool_results(question: str, name: str, output: object, answer: str) -> None:
    text = output if isinstance(output, str) else json.dumps(output)
    assert _said(question, ToolCall("c1", name, "{}"), ToolOutput("c1", text)) == answer


def test_two_results_are_spoken_about_in_one_reply() -> None:
    calls = (ToolCall("a", "one", "{}"), ToolCall("b", "two", "{}"))
    outputs = (ToolOutput("a", "First thing"), ToolOutput("b", "error: broken"))
    assert _said("x", *calls, *outputs) == "First thing. Sorry, two failed: Broken."


TIME_TOLD = (
    Turn("user", "What time is it?"),
    ToolCall("c1", "get_current_time", '{"zone": "UTC"}'),
    ToolOutput("c1", '{"zone": "UTC", "time": "19:12", "date": "21 November 2026"}'),
)


@pytest.mark.parametrize("unheard", [(), (Turn("assistant", ""),)], ids=["at once", "cut off"])
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("What is two plus three?", "2 plus 3 is 5."),
        ("What is your name?", "I have no name. I'm your voice assistant."),
        ("Stop.", "Okay."),
    ],
)
def test_what_is_said_after_a_tool_answered_is_what_is_answered(
    words: str, answer: str, unheard: tuple[Turn, ...]
) -> None:
    assert _said(*TIME_TOLD, *unheard, words) == answer


def test_a_result_that_nobody_spoke_after_is_told() -> None:
    assert _said(*TIME_TOLD) == "It is 7:12 PM."
    assert _said(*TIME_TOLD, Turn("user", "")) == "It is 7:12 PM."
    assert _said("x", TIME_TOLD[1], Turn("user", "and quickly"), TIME_TOLD[2]) == "It is 7:12 PM."


def test_what_is_said_while_a_tool_runs_is_answered_with_its_result() -> None:
    asked, call, output = TIME_TOLD
    assert _said(asked, call, "What is two plus three?", output) == "It is 7:12 PM. 2 plus 3 is 5."
    said = respond(_context(asked, call, "What is the weather in Rome?", output, tools=TOOLS))
    assert said == [Say("It is 7:12 PM."), Call("get_weather", {"city": "Rome"})]
    assert _said(asked, call, "Stop.", output) == "Okay."


def test_who_took_a_conversation_over_speaks_and_does_not_read_out_the_transfer() -> None:
    call = ToolCall("c1", "transfer_to_billing", "{}")
    done = ToolOutput("c1", "You are this agent now. Go on as your instructions say.")
    said = _said("Billing, please", call, done, instructions="You are Bob, the billing agent.")
    assert said == "Hello! I'm Bob. What can I do for you?"
    failed = ToolOutput("c1", '{"error": "nobody is there"}')
    assert _said("Billing", call, failed) == ("Sorry, transfer to billing failed: Nobody is there.")


def test_says_exactly_what_it_is_told_to() -> None:
    assert _said(request="Say exactly: Hi, I'm Ada!") == "Hi, I'm Ada!"
    assert _said("hello", request='Greet the user: "Welcome."') == "Welcome."
    assert _said(Turn("system", "Say exactly: Your timer is done.")) == "Your timer is done."


def test_greets_with_the_name_it_was_given() -> None:
    instructions = "You are Ada, a friendly helper."
    assert _said(instructions=instructions) == "Hello! I'm Ada. What can I do for you?"
    assert _said("What's your name?", instructions=instructions) == "My name is Ada."


def test_remembers_the_conversation() -> None:
    before: tuple[Entry | str, ...] = (
        "My name is Sam.",
        Turn("assistant", "Nice to meet you, Sam."),
    )
    assert _said(*before, "What is my name?") == "Your name is Sam."
    assert _said(*before, "What did I say before?") == "You said: My name is Sam."
    assert _said(*before, "What did you say?") == "Nice to meet you, Sam."
    assert _said("My order number is B739K.", Turn("assistant", "I see."),
                 "What is my order number?") == "Your order number is B739K."  # fmt: skip
    assert _said("What did I ask before?") == "You have not said anything before that."


def test_a_sentence_cut_by_a_pause_is_understood_as_one() -> None:
    assert _said("How much is 27", Turn("assistant", ""), "times 14?") == "27 times 14 is 378."


def test_tool_choice_is_obeyed() -> None:
    context = _context("hello", tools=TOOLS, forced_tool="get_weather")
    assert respond(context) == [Call("get_weather", {})]
    (action,) = respond(_context("lights", tools=TOOLS, must_call_tool=True))
    assert isinstance(action, Call)
    assert action.name == "control_lights"


def test_what_would_help_is_said_once() -> None:
    first = _said("Sing a song.")
    assert first.endswith(HINT)
    assert "LLM_BASE_URL" in HINT
    again = _said("Sing a song.", Turn("assistant", first), "Paint a picture.")
    assert again == "I can't help with that. I heard: Paint a picture."
    cut = first.removesuffix("set LLM_BASE_URL.")
    assert _said("Sing a song.", Turn("assistant", cut), "Paint.").endswith(HINT), "not heard"


def test_nothing_heard_is_said_so() -> None:
    assert _said("hi", Turn("assistant", "Hello!"), Turn("user", "")).startswith("I did not hear")


@given(st.text(max_size=200), st.booleans())
def test_anything_gets_some_answer(text: str, has_tools: bool) -> None:
    (action,) = respond(_context(text, tools=TOOLS if has_tools else ()))
    assert isinstance(action, Call) or action.text.strip()
