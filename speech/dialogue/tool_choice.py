"""Choice of the offered tool that an utterance asks for. Pure."""

from __future__ import annotations

import re
from functools import cache

from speech.dialogue.clock import is_time_tool
from speech.dialogue.context import Action, Call, Context, Say, Tool
from speech.dialogue.slots import duration_s, fill
from speech.dialogue.utterance import Utterance

_GENERIC = frozenset(
    [
        "get",
        "set",
        "fetch",
        "find",
        "look",
        "lookup",
        "do",
        "make",
        "create",
        "add",
        "run",
        "call",
        "use",
        "check",
        "show",
        "tell",
        "give",
        "start",
        "current",
        "new",
        "my",
        "the",
        "a",
        "an",
        "of",
        "for",
        "to",
        "in",
        "on",
        "at",
        "by",
        "with",
        "and",
        "or",
        "from",
        "is",
        "are",
        "it",
        "its",
        "this",
        "that",
        "any",
        "all",
        "tool",
        "function",
        "user",
        "users",
        "information",
        "info",
        "data",
        "api",
        "query",
        "returns",
        "return",
        "using",
        "when",
        "what",
        "which",
        "who",
        "how",
        "i",
        "me",
        "you",
        "your",
        "please",
        "can",
        "will",
        "be",
        "as",
        "if",
        "not",
        "time",
        "seconds",
        "name",
        "value",
        "given",
        "into",
        "out",
        "up",
        "off",
        "one",
        "some",
    ]
)
_SYNONYMS = {
    "temperature": "weather",
    "forecast": "weather",
    "rain": "weather",
    "lamp": "light",
    "switch": "turn",
    "alarm": "timer",
    "reserve": "book",
    "reservation": "book",
    "meeting": "appointment",
    "send": "transfer",
    "song": "music",
    "email": "mail",
    "phone": "call",
}
_MIN_SCORE = 2.0
_ASK_MARK = "To do that I need to know the "


@cache
def _stem(word: str) -> str:
    word = _SYNONYMS.get(word, word)
    for ending in ("ings", "ing", "ies", "es", "s", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


@cache
def _content(text: str) -> frozenset[str]:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    found = re.findall(r"[a-z]+", text.lower().replace("_", " "))
    return frozenset(_stem(word) for word in found if word not in _GENERIC and len(word) > 1)


def score(tool: Tool, heard: Utterance) -> float:
    """Return the match of the words: 2 for each distinctive word of the name, half for the description."""
    said = _content(" ".join(sorted(heard.words)))
    name, about = _content(tool.name), _content(tool.description)
    in_name = said & name
    return 2.0 * len(in_name) + 0.75 * len((said & about) - in_name)


def answer_with_tool(heard: Utterance, context: Context) -> Action | None:
    """Call the offered tool that the words ask for, if one clearly fits."""
    candidates = [tool for tool in context.tools if not is_time_tool(tool)]
    best = max(candidates, key=lambda tool: score(tool, heard), default=None)
    if best is None or score(best, heard) < _MIN_SCORE:
        return None
    return call_or_ask(best, heard)


def call_or_ask(tool: Tool, heard: Utterance) -> Action:
    """The call, or the question for what is missing."""
    arguments, missing = fill(tool, heard)
    if missing:
        return Say(f"{_ASK_MARK}{re.sub('[_-]+', ' ', missing[0])}.")
    return Call(tool.name, arguments)


def is_question_for_slot(text: str) -> bool:
    """True if the assistant's last words asked for a missing argument."""
    return text.startswith(_ASK_MARK)


def forced_call(name: str, heard: Utterance, context: Context) -> Call:
    """A call that must happen: with what can be found, required or not."""
    tool = next(tool for tool in context.tools if tool.name == name)
    return Call(name, fill(tool, heard)[0])


_TIMER_WORDS = r"timers?|alarm|remind(?:er)?|wake me|countdown"


def answer_timer(heard: Utterance, context: Context) -> Action | None:
    """Timers need a tool: this server cannot speak up by itself later."""
    if not heard.has(_TIMER_WORDS):
        return None
    tool = next((t for t in context.tools if re.search("timer|remind|alarm", t.name.lower())), None)
    if tool is None:
        return Say(
            "I can't speak up later by myself, and this conversation offers no timer, "
            "so I would forget it."
        )
    if heard.has("cancel|stop|delete|list|which|how many"):
        return None
    if duration_s(heard.core) is None and not re.search(r"\d", heard.core):
        return Say(f"{_ASK_MARK}duration. How long should it run?")
    if duration_s(heard.core) is None and _wants_only_duration(tool):
        return Say("I can count down a duration, but not to a time of day. How long from now?")
    return call_or_ask(tool, heard)


def _wants_only_duration(tool: Tool) -> bool:
    properties = tool.parameters.get("properties") or {}
    return not any(re.search(r"(^|_)(at|time|when|date)($|_)", name) for name in properties)
