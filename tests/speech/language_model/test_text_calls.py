"""Tool calls that models write as text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.language_model.text_call_filter import TextCallFilter
from speech.language_model.text_call_parser import UNREADABLE
from tests.speech.language_model.replies import TIME, TIMER

TOOLS = (TIME, TIMER)
Found = tuple[str, list[tuple[str, Any]]]


def _filtered(text: str, size: int = 3, *, is_cut: bool = False) -> Found:
    """Speech and calls of a text that comes in pieces of a size."""
    calls = TextCallFilter(TOOLS)
    spoken = "".join(calls.push(text[at : at + size]) for at in range(0, len(text), size))
    spoken += calls.flush(is_cut=is_cut)
    return spoken, [(call.name, _value(call.arguments)) for call in calls.calls]


def _value(arguments: str) -> Any:
    return arguments if arguments == UNREADABLE else json.loads(arguments)


UTC = ("get_time", {"zone": "UTC"})
OBJECT = '{"name": "get_time", "arguments": {"zone": "UTC"}}'
FORMS = {
    "Hermes, Qwen": f"<tool_call>\n{OBJECT}\n</tool_call>",
    "Hermes without an end": f"<tool_call>{OBJECT}",
    "Qwen coder": "<tool_call>\n<function=get_time>\n<parameter=zone>\nUTC\n</parameter>\n</function>\n</tool_call>",
    "Llama 3.1": '<|python_tag|>{"name": "get_time", "parameters": {"zone": "UTC"}}',
    "Llama 3.1, tags": '<function=get_time>{"zone": "UTC"}</function>',
    "Llama 3.1, text": '{"name": "get_time", "parameters": {"zone": "UTC"}}',
    "Llama 3.2, Python": '[get_time(zone="UTC")]',
    "Python": 'get_time(zone="UTC")',
    "Python, positional": "get_time('UTC')",
    "Python, prefixed": 'functions.get_time(zone="UTC")',
    "Gemma": '```tool_code\nprint(default_api.get_time(zone="UTC"))\n```',
    "Mistral": f"[TOOL_CALLS][{OBJECT}]",
    "Mistral, new": '[TOOL_CALLS]get_time[ARGS]{"zone": "UTC"}',
    "Mistral, short": '[TOOL_CALLS]get_time{"zone": "UTC"}',
    "Phi, Granite": f"<|tool_call|>[{OBJECT}]<|/tool_call|>",
    "fence": f"```json\n{OBJECT}\n```",
    "fence without a kind": f"```\n{OBJECT}\n```",
    "mark in a fence": f"```\n<tool_call>{OBJECT}</tool_call>\n```",
    "object": OBJECT,
    "list": f"[{OBJECT}]",
    "OpenAI's form": '{"type": "function", "function": {"name": "get_time", "arguments": "{\\"zone\\": \\"UTC\\"}"}}',
    "all calls": f'{{"tool_calls": [{OBJECT}]}}',
    "name as key": '{"get_time": {"zone": "UTC"}}',
    "other keys": '{"tool": "get_time", "args": {"zone": "UTC"}}',
    "single quotes": "{'name': 'get_time', 'arguments': {'zone': 'UTC'}}",
    "trailing comma": '{"name": "get_time", "arguments": {"zone": "UTC",},}',
    "spread out": '{\n  "name": "get_time",\n  "arguments": {\n    "zone": "UTC"\n  }\n}',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 4, 1_000])
def test_forms(form: str, size: int) -> None:
    assert _filtered(FORMS[form], size) == ("", [UTC])
    assert _filtered(f"\n{FORMS[form]}\n", size)[1] == [UTC]
    assert _filtered(f"\n{FORMS[form]}\n", size)[0].strip() == ""


@pytest.mark.parametrize("form", FORMS)
def test_forms_after_words(form: str) -> None:
    spoken, calls = _filtered(f"Let me look.\n{FORMS[form]}")
    assert (spoken, calls) == ("Let me look.\n", [UTC])


def test_marks_need_no_line_of_their_own() -> None:
    assert _filtered(f"One moment. <tool_call>{OBJECT}</tool_call>Done.") == (
        "One moment. Done.",
        [UTC],
    )


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{OBJECT}</tool_call>\n<tool_call>{OBJECT}</tool_call>",
        f"<tool_call>{OBJECT}<tool_call>{OBJECT}",
        f"[{OBJECT}, {OBJECT}]",
        f"{OBJECT}\n{OBJECT}",
        '[get_time(zone="UTC"), get_time(zone="UTC")]',
        'get_time(zone="UTC")\nget_time(zone="UTC")',
        f"[TOOL_CALLS][{OBJECT}, {OBJECT}]",
        '[TOOL_CALLS]get_time[ARGS]{"zone": "UTC"}[TOOL_CALLS]get_time[ARGS]{"zone": "UTC"}',
    ],
)
def test_several_calls(text: str) -> None:
    assert _filtered(text) == ("", [UTC, UTC])


def test_values_of_tags_are_fitted_later() -> None:
    text = "<function=set_timer><parameter=minutes>5</parameter></function>"
    assert _filtered(text) == ("", [("set_timer", {"minutes": "5"})])


TEXTS = [
    "It is five.",
    "a < b and [c] or {d}",
    "I use get_time (a tool) for that.",
    "The set_timer(5) call sets a timer.",
    '{"zone": "UTC"} is what I got.',
    '{"name": "brew", "arguments": {}}',
    "[see below]",
    "[",
    "<",
    "<tool",
    "get_ti",
    "get_time",
    "get_times are many",
    "```python\nprint(1)\n```\nThat is it.",
    "```rust\nfn main() {}\n```",
    "```json\n[1, 2]\n```",
    "``` not a fence",
    "<b>bold</b> <tools>",
    "- one\n- two\n\n[1] a source",
    "brew(5)",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_other_text_is_spoken(text: str, size: int) -> None:
    assert _filtered(text, size) == (text, [])


def test_other_text_is_not_held_back() -> None:
    calls = TextCallFilter(TOOLS)
    assert calls.push("It is") == "It is"
    assert calls.push(" five [or so") == " five [or so"
    assert calls.push("].\n") == "].\n"
    assert calls.push('{"zo') == '{"zo'
    assert calls.push("\n```rust\n") == "\n```rust\n"


def test_nothing_of_a_call_is_ever_spoken() -> None:
    for text in FORMS.values():
        calls = TextCallFilter(TOOLS)
        for letter in text:
            assert calls.push(letter) == ""


def test_without_tools_all_is_text() -> None:
    calls = TextCallFilter(())
    assert calls.push(OBJECT) == OBJECT
    assert calls.flush(is_cut=False) == ""


def test_a_marked_block_that_cannot_be_read_is_a_broken_call() -> None:
    assert _filtered("<tool_call>get the time</tool_call>") == ("", [("", UNREADABLE)])
    assert _filtered('<tool_call>{"name": "get_time" oops "') == ("", [("get_time", UNREADABLE)])
    long = "<tool_call>" + "x" * 20_000 + "</tool_call>"
    assert _filtered(long, 100) == ("", [("", UNREADABLE)])


def test_a_call_that_the_limit_cut_is_broken() -> None:
    text = '<tool_call>{"name": "set_timer", "arguments": {"minutes": 1'
    assert _filtered(text, is_cut=True) == ("", [("set_timer", UNREADABLE)])
    whole = f"<tool_call>{OBJECT}</tool_call> And"
    assert _filtered(whole, is_cut=True) == ("And", [UTC])


@pytest.mark.parametrize(
    "text",
    ['{"name": "get_time', '{"name": "get_time", "arguments": {"zone": "U', "get_time(zone="],
)
def test_a_call_that_the_model_did_not_finish_is_broken(text: str) -> None:
    spoken, calls = _filtered(text)
    assert (spoken, [arguments for _, arguments in calls]) == ("", [UNREADABLE])


def test_unknown_names_after_a_mark_are_for_the_repair() -> None:
    text = '<tool_call>{"name": "brew", "arguments": {}}</tool_call>'
    assert _filtered(text) == ("", [("brew", {})])


def test_calls_that_are_only_thought_of_are_none() -> None:
    thought = f"<think>I could\n{OBJECT}\nor <tool_call> it.</think>"
    assert _filtered(f"{thought}\n\nIt is five.", 2) == (f"{thought}\n\nIt is five.", [])
    assert _filtered(f"{thought}{OBJECT}", 2) == (thought, [UTC])
    calls = TextCallFilter(TOOLS)
    assert calls.push("<think>long") == "<think>long"
    assert calls.push(" thought </th") == " thought "


def test_long_blocks_are_read_in_time() -> None:
    calls = TextCallFilter(TOOLS)
    text = '{"name": "set_timer", "arguments": {"x": "' + "word, " * 1_200 + '"}}'
    spoken = "".join(calls.push(text[at : at + 4]) for at in range(0, len(text), 4))
    assert spoken + calls.flush(is_cut=False) == ""
    assert len(calls.calls) == 1


@given(
    st.text(
        alphabet=st.sampled_from('<>|[]{}()"\'`\n get_time:,tool_call/think{}"name"'), max_size=60
    ),
    st.integers(1, 7),
)
def test_any_text_is_spoken_or_called(text: str, size: int) -> None:
    spoken, calls = _filtered(text, size)
    if not calls:
        assert spoken == text
    assert _filtered(text, 1) == (spoken, calls)
