"""Greetings, manners, help, counting and a story. Pure."""

from __future__ import annotations

import re

from speech.dialogue.context import Action, Context, Say
from speech.dialogue.utterance import Utterance
from speech.spoken_text.numbers import spell

HELP = (
    "I can tell the time and the date, do arithmetic, convert units, count, tell a story, repeat "
    "what you say, and remember this conversation."
)

STORY = (
    "Once there was a small robot who kept a lighthouse on a quiet island. "
    "Every evening it polished the great lamp, and every night it counted the ships that passed. "
    "Nobody ever landed, because the rocks were sharp and the sea was cold. "
    "So the robot began to speak with its light: one long flash for good evening, two short ones "
    "for how are you. "
    "For a hundred nights there was no answer. "
    "Then, far out on the dark water, a little fishing boat blinked back, one long, two short. "
    "The robot was so surprised that it nearly forgot to turn the lamp. "
    "After that, the boat came by each night, and they told each other everything they knew: about "
    "whales, and rain, and the taste of salt. "
    "One morning the fog was thick, and the boat could not find its way. "
    "The robot turned its lamp to the brightest, and sang through its old rusty horn until it heard "
    "an engine close by. "
    "The fisher climbed onto the rocks with wet boots and a smile, and shook its metal hand. "
    "From that day on there were two cups on the table in the lighthouse, although only one of them "
    "was ever empty. "
    "And the robot was never lonely again."
)

_MAX_COUNT = 100

_REPLIES: list[tuple[str, str]] = [
    (
        r"can you hear me|do you hear me|are you there|is anyone there|is this (?:thing )?on",
        "Yes, I can hear you. What can I do for you?",
    ),
    (r"how are you|how's it going|how do you do", "I'm well, thank you. What can I do for you?"),
    (r"(?:good ?bye|bye|see you|good night|talk to you later|that's all)", "Goodbye!"),
    (r"what can you do|what do you do|how can you help|help(?: me)?$|what can i (?:say|ask)", HELP),
    (r"thank you|thanks|cheers", "You're welcome."),
    (
        r"are you (?:a )?(?:real|human|person|robot|machine|ai|bot)",
        "I'm a small program with a synthetic voice, running on this machine.",
    ),
    (r"i love you|you're (?:great|awesome|nice|funny)|well done|good job", "That is kind of you."),
    (r"(?:shut up|stupid|idiot|hate you)", "I'm sorry. I'll try to do better."),
]

_SHORT_REPLIES: list[tuple[str, str]] = [
    (
        r"(?:hello|hi|hey|good (?:morning|afternoon|evening)|greetings)(?: there| again)?",
        "Hello! What can I do for you?",
    ),
    (
        r"(?:yes|yeah|yep|sure|okay|ok|right|fine|great|good|perfect|alright|sounds good)(?: .{0,12})?",
        "Good. What else can I do for you?",
    ),
    (r"(?:no|nope|nothing|never mind|nevermind|no thanks)(?: .{0,12})?", "All right."),
]

_STOP = r"(?:please )?(?:stop|quiet|be quiet|enough|silence|pause|cancel|stop (?:it|that|talking))"


def answer_stop(heard: Utterance, _context: Context) -> Action | None:
    """Silence was asked for; the shortest answer that shows it was heard."""
    return Say("Okay.") if re.fullmatch(_STOP, heard.core) else None


def answer_story(heard: Utterance, _context: Context) -> Action | None:
    """A story of about a minute: long enough to interrupt."""
    return Say(STORY) if heard.has("story|fairy tale|bedtime tale") else None


def answer_count(heard: Utterance, _context: Context) -> Action | None:
    """ "Count from one to thirty." """
    match = heard.find(r"\bcount(?: (?:from|up|down))*(?: (\d+))?(?: down)? (?:to|until) (\d+)")
    if match is None:
        return None
    first, last = int(match[1] or 1), int(match[2])
    step = 1 if last >= first else -1
    if abs(last - first) >= _MAX_COUNT:
        return Say(f"That would take too long. I count at most {_MAX_COUNT} numbers.")
    numbers = [spell(number) for number in range(first, last + step, step)]
    groups = [", ".join(numbers[i : i + 5]) for i in range(0, len(numbers), 5)]
    return Say(". ".join(group.capitalize() for group in groups) + ".")


def answer_name(heard: Utterance, context: Context) -> Action | None:
    """The name that the instructions give, or none."""
    if not heard.has(r"what(?:'s| is) your name|who are you|what are you called|your name"):
        return None
    name = given_name(context.instructions)
    return Say(f"My name is {name}." if name else "I have no name. I'm your voice assistant.")


def given_name(instructions: str) -> str | None:
    """ "You are Ada" or "your name is Ada" in the instructions."""
    match = re.search(
        r"(?:[Yy]ou are|[Yy]ou're|[Yy]our name is|[Cc]all yourself) (?:called |named )?([A-Z][a-z]+)\b",
        instructions,
    )
    return match[1] if match is not None else None


def answer_manners(heard: Utterance, _context: Context) -> Action | None:
    """Answer greetings, thanks and farewells."""
    for pattern, reply in _REPLIES:
        if heard.has(pattern):
            return Say(reply)
    for pattern, reply in _SHORT_REPLIES:
        if re.fullmatch(pattern, heard.text):
            return Say(reply)
    return None


def greeting(instructions: str) -> str:
    """The first words when the other side said nothing yet."""
    name = given_name(instructions)
    who = f" I'm {name}." if name else ""
    return f"Hello!{who} What can I do for you?"
