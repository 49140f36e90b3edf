"""The local model's mind: from everything that was said to what to do now. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from speech.dialogue.clock import answer_clock
from speech.dialogue.context import (
    Action,
    Context,
    Entry,
    Say,
    ToolCall,
    ToolOutput,
    Turn,
    open_turns,
    user_words,
)
from speech.dialogue.heard import Heard
from speech.dialogue.memory import answer_memory, answer_repeat
from speech.dialogue.quantities import answer_arithmetic, answer_units
from speech.dialogue.small_talk import (
    answer_count,
    answer_manners,
    answer_name,
    answer_stop,
    answer_story,
    greeting,
)
from speech.dialogue.tool_choice import (
    answer_timer,
    answer_with_tool,
    forced_call,
    is_question_for_slot,
    score,
)
from speech.dialogue.tool_results import is_failure, speak_results

_RULES: tuple[Callable[[Heard, Context], Action | None], ...] = (
    answer_stop,
    answer_repeat,
    answer_timer,
    answer_clock,
    answer_units,
    answer_arithmetic,
    answer_count,
    answer_with_tool,
    answer_story,
    answer_memory,
    answer_name,
    answer_manners,
)
"""The first that has an answer decides."""

_ORDER_TO_SAY = re.compile(
    r"^\s*(?:say exactly|say|greet the user(?: with)?|announce)\s*:\s*(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_TRANSFER_PREFIX = "transfer_to_"
"""Tools by which a conversation is handed over to another agent."""

_QUOTES = "\"'\u201c\u201d"


def respond(context: Context) -> list[Action]:
    """What to do now; empty only when everything to say is nothing."""
    if (ordered := words_to_say(context.request)) is not None:
        return [Say(ordered)]
    entries = open_turns(context.history)
    outputs, later = _results(entries)
    if outputs and not user_words(later):
        return _go_on(outputs, user_words(entries), context)
    # Somebody spoke after the tool had answered: what counts is what was said last.
    entries = later
    notes = [e.text for e in entries if isinstance(e, Turn) and e.role == "system"]
    for ordered in filter(None, map(words_to_say, notes)):
        return [Say(ordered)]
    return [_answer(user_words(entries), context)]


def _results(entries: list[Entry]) -> tuple[list[ToolOutput], list[Entry]]:
    """What tools answered, and what came after their last answer; without answers, everything."""
    outputs = [entry for entry in entries if isinstance(entry, ToolOutput)]
    if not outputs:
        return [], entries
    return outputs, entries[entries.index(outputs[-1]) + 1 :]


def _go_on(outputs: list[ToolOutput], meanwhile: str, context: Context) -> list[Action]:
    """Say what tools answered; after a transfer, speak as the agent that took over.

    meanwhile: what the user said while the tools ran; what is understood of it is answered too
    """
    heard = Heard(meanwhile)
    if (stopped := answer_stop(heard, context)) is not None:
        return [stopped]
    further = _by_rules(heard, context) if meanwhile else None
    calls = _calls(context.history)
    told = [each for each in outputs if not _is_transfer(calls.get(each.call_id), each.output)]
    question = _question_of(outputs[0], context.history)
    text = speak_results(told, calls, question) if told else greeting(context.instructions)
    match further:
        case None:
            return [Say(text)]
        case Say():
            return [Say(f"{text} {further.text}")]
        case _:
            return [Say(text), further]


def _is_transfer(call: ToolCall | None, output: str) -> bool:
    """Whether this call handed the conversation over; its output is for the model alone."""
    return call is not None and call.name.startswith(_TRANSFER_PREFIX) and not is_failure(output)


def words_to_say(instructions: str) -> str | None:
    """The words that `Say exactly: ...` (or `Say: "..."`, `Greet the user: ...`) orders."""
    match = _ORDER_TO_SAY.match(instructions)
    if match is None:
        return None
    text = match[1].strip()
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text or None


def _answer(words: str, context: Context) -> Action:
    heard = Heard(_with_question_before(words, context.history))
    if context.forced_tool is not None:
        return forced_call(context.forced_tool, heard, context)
    if context.must_call_tool and context.tools:
        best = max(context.tools, key=lambda tool: score(tool, heard))
        return forced_call(best.name, heard, context)
    if not heard.text:
        return Say(_nothing_heard(context))
    if (action := _by_rules(heard, context)) is not None:
        return action
    return Say(f"I heard: {_as_sentence(words)} I can't help with that yet.")


def _by_rules(heard: Heard, context: Context) -> Action | None:
    for rule in _RULES:
        if (action := rule(heard, context)) is not None:
            return action
    return None


def _with_question_before(words: str, history: tuple[Entry, ...]) -> str:
    """The answer to our question for a missing detail belongs to what was asked before it."""
    said = [e for e in history if isinstance(e, Turn) and e.text and e.role != "system"]
    last_own = next((i for i in range(len(said) - 1, -1, -1) if said[i].role == "assistant"), -1)
    if last_own < 1 or not words or not is_question_for_slot(said[last_own].text):
        return words
    return f"{said[last_own - 1].text.rstrip(' .?!')} {_lower_first(words)}"


def _nothing_heard(context: Context) -> str:
    has_talked = any(isinstance(e, Turn) and e.role != "system" for e in context.history)
    if not has_talked:
        return greeting(context.instructions)
    return "I did not hear anything. Could you say that again?"


def _calls(history: tuple[Entry, ...]) -> dict[str, ToolCall]:
    return {entry.call_id: entry for entry in history if isinstance(entry, ToolCall)}


def _question_of(output: ToolOutput, history: tuple[Entry, ...]) -> Heard:
    """What the user had said last when the tool was called."""
    call = next((e for e in history if getattr(e, "call_id", None) == output.call_id), output)
    before = history[: history.index(call)]
    said = [e.text for e in before if isinstance(e, Turn) and e.role == "user" and e.text]
    return Heard(said[-1] if said else "")


def _as_sentence(words: str) -> str:
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
