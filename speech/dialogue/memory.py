"""Answers from earlier turns of this conversation. Pure."""

from __future__ import annotations

import re

from speech.dialogue.context import Action, Context, Say, Turn
from speech.dialogue.utterance import Utterance

_REPEAT = re.compile(
    r"^(?:\W*(?:please|can you|could you|now|ok|okay),?\s+)*"
    r"(?:repeat after me|say after me|repeat this|repeat the following|echo|say)\b[\s:,.]*(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_ASKED_BEFORE = (
    r"what (?:did|have) i (?:just )?(?:say|said|ask|asked|tell|told)|"
    r"what was my (?:last |first )?(?:question|sentence)|repeat what i said|what were my words"
)
_SAID_BEFORE = (
    r"what did you (?:just )?say|what was that|say (?:that|it) again|repeat (?:that|it|yourself)|"
    r"come again|pardon|once more|i (?:didn't|did not) (?:hear|catch|understand) (?:that|you|it)"
)
_MY_NAME = re.compile(r"\b(?:my name is|my name's|call me|i am called)\s+([A-Za-z][a-z]+)", re.I)
_FACT = re.compile(
    r"\bmy ((?:[a-z]+ ){0,2}[a-z]+?) (?:is|are|was) ((?!not\b)[^.!?]{1,80})", re.IGNORECASE
)


def _said_by(context: Context, role: str) -> list[str]:
    return [e.text for e in context.history if isinstance(e, Turn) and e.role == role and e.text]


def answer_repeat(heard: Utterance, context: Context) -> Action | None:
    """ "Repeat after me: ...", and the last reply once more."""
    if heard.has(_SAID_BEFORE) and len(heard.words) <= 9:
        last = _said_by(context, "assistant")
        return Say(last[-1] if last else "I have not said anything yet.")
    match = _REPEAT.match(heard.raw.strip())
    if match is None or re.match(r"(?:that|it|again)\b", match[1], re.IGNORECASE):
        return None
    return Say(_capital(match[1].strip()))


def answer_memory(heard: Utterance, context: Context) -> Action | None:
    """ "What did I ask before?", "What is my name?" """
    if heard.has(_ASKED_BEFORE):
        return Say(_what_user_said(heard, context))
    question = heard.find(
        r"^(?:what(?:'s| is| are| was)|tell me|do you (?:know|remember)) my (.+)$"
    )
    if question is not None:
        return _recall(question[1], context)
    if (name := _MY_NAME.search(heard.raw)) is not None and "what" not in heard.words:
        return Say(f"Nice to meet you, {name[1].title()}.")
    fact = _FACT.search(heard.raw)
    if fact is not None and heard.core.startswith("my "):
        return Say(f"I will remember that your {fact[1].lower()} is {fact[2].strip()}.")
    return None


def _what_user_said(heard: Utterance, context: Context) -> str:
    earlier = _said_by(context, "user")
    while earlier and earlier[-1] in heard.raw:
        earlier.pop()
    if not earlier:
        return "You have not said anything before that."
    which = earlier[0] if heard.has("first") else earlier[-1]
    return f"You said: {which}"


def _recall(what: str, context: Context) -> Action | None:
    what = re.sub(r"\b(?:again|is|was|please)\b", "", what).strip()
    for text in reversed(_said_by(context, "user")):
        if what == "name" and (name := _MY_NAME.search(text)) is not None:
            return Say(f"Your name is {name[1].title()}.")
        for fact in _FACT.finditer(text):
            if fact[1].lower() == what and "what" not in text.lower():
                return Say(f"Your {what} is {fact[2].strip()}.")
    return Say(f"You have not told me your {what}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
