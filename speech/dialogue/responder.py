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
from speech.dialogue.utterance import Utterance

_RULES: tuple[Callable[[Utterance, Context], Action | None], ...] = (
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


HINT = "I only know a few things by heart. To give me a language model, set LLM_BASE_URL."
"""Said once in a conversation: the one setting that changes what the rules cannot do."""


def respond(context: Context) -> list[Action]:
    """Return the decisions for now; empty only when there is nothing to answer."""
    if (ordered := ordered_words(context)) is not None:
        return [Say(ordered)]
    if (forced := _forced_call(context)) is not None:
        return [forced]
    return respond_if_known(context) or [Say(_not_known(context))]


def ordered_words(context: Context) -> str | None:
    """The words that this response, or a note since the last reply, orders to be said as they are."""
    if (ordered := words_to_say(context.request)) is not None:
        return ordered
    _, later = _results(open_turns(context.history))
    notes = [e.text for e in later if isinstance(e, Turn) and e.role == "system"]
    return next(filter(None, map(words_to_say, notes)), None)


def respond_if_known(context: Context) -> list[Action] | None:
    """Return the decisions of the rules; None where no rule has an answer."""
    entries = open_turns(context.history)
    outputs, later = _results(entries)
    if outputs and not user_words(later):
        return _go_on(outputs, user_words(entries), context)
    # The user spoke after the tool's result: the last words count.
    heard = _heard(context, user_words(later))
    if not heard.text:
        return [Say(_nothing_heard(context))]
    action = _by_rules(heard, context)
    return None if action is None else [action]


def _results(entries: list[Entry]) -> tuple[list[ToolOutput], list[Entry]]:
    """Return the tools' results, and the turns after the last one; without results, all turns."""
    outputs = [entry for entry in entries if isinstance(entry, ToolOutput)]
    if not outputs:
        return [], entries
    return outputs, entries[entries.index(outputs[-1]) + 1 :]


def _go_on(outputs: list[ToolOutput], meanwhile: str, context: Context) -> list[Action]:
    """Say what tools answered; after a transfer, speak as the agent that took over.

    meanwhile: what the user said while the tools ran; what is understood of it is answered too
    """
    heard = Utterance(meanwhile)
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
    """True if this call handed the conversation over; its output is for the model alone."""
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


def _heard(context: Context, words: str) -> Utterance:
    return Utterance(_with_question_before(words, context.history))


def _forced_call(context: Context) -> Action | None:
    """The call that the tool choice demands, unless there is a result to speak about."""
    outputs, later = _results(open_turns(context.history))
    if outputs and not user_words(later):
        return None
    heard = _heard(context, user_words(later))
    if context.forced_tool is not None:
        return forced_call(context.forced_tool, heard, context)
    if context.must_call_tool and context.tools:
        best = max(context.tools, key=lambda tool: score(tool, heard))
        return forced_call(best.name, heard, context)
    return None


def _not_known(context: Context) -> str:
    """Say that no rule has an answer, and once what would help.

    The apology is first: the voice remembers it, so that it is heard at once.
    """
    _, later = _results(open_turns(context.history))
    apology = f"I can't help with that. I heard: {_as_sentence(user_words(later))}"
    has_told = any(
        isinstance(each, Turn) and each.role == "assistant" and HINT in each.text
        for each in context.history
    )
    return apology if has_told else f"{apology} {HINT}"


def _by_rules(heard: Utterance, context: Context) -> Action | None:
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


def _question_of(output: ToolOutput, history: tuple[Entry, ...]) -> Utterance:
    """Return the user's last words before the tool call."""
    call = next((e for e in history if getattr(e, "call_id", None) == output.call_id), output)
    before = history[: history.index(call)]
    said = [e.text for e in before if isinstance(e, Turn) and e.role == "user" and e.text]
    return Utterance(said[-1] if said else "")


def _as_sentence(words: str) -> str:
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
