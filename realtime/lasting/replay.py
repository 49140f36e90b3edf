"""What a new session is told of the conversation so far. Pure.

Trimming rule: the instructions are settings and always stay; of the rest the last turns are told,
a turn being what a user said and everything up to the next, as many as fit the budget. A tool
call is told only together with its output. A single text beyond the budget loses its beginning.
That earlier turns are left out is told too, in their place, so that the model asks instead of
inventing what was said in them; a summary would cost a reply of the model and could be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.lasting.transcript import Called, Entry, Said, Shown

CUT_MARK = " …"
"""Ends the words of a reply whose rest was not heard."""

LEFT_OUT = (
    "Earlier turns of this conversation are left out here. If you need something that was said in "
    "them, say so and ask for it; do not guess."
)

_FOLDED_HEADING = (
    "The conversation so far, which you continue. Do not greet again, do not repeat it:"
)
_SPEAKERS = {"user": "User", "assistant": "You", "system": "Note"}


@dataclass(frozen=True, slots=True)
class ReplayBudget:
    """How much is told.

    max_turns, max_characters: of a replay item by item; roughly 6000 tokens
    folded_characters: of one that is written into the instructions
    """

    max_turns: int = 60
    max_characters: int = 24_000
    folded_characters: int = 8_000


def trim(entries: Sequence[Entry], *, max_turns: int, max_characters: int) -> list[Entry]:
    """The entries that are told, by the rule above; those that say nothing are left out."""
    telling = [entry for entry in entries if as_text(entry)]
    kept: list[Entry] = []
    turn: list[Entry] = []
    left, turns = max_characters, 0
    for entry in reversed(telling):
        turn.insert(0, entry)
        if not (isinstance(entry, Said) and entry.role == "user"):
            continue
        size = sum(len(as_text(each)) for each in turn)
        if turns == max_turns or (kept and size > left):
            return kept
        kept, turn = turn + kept, []
        left, turns = left - size, turns + 1
    if turns == max_turns:
        return kept
    return _end_of(turn, left, is_all=not kept) + kept


def _end_of(opening: list[Entry], left: int, *, is_all: bool) -> list[Entry]:
    """What came before anybody spoke, for example a greeting: as much of its end as is to be told.

    Cut, it does not begin with a call whose occasion is left out. is_all: something must be told
    """
    told = list(opening)
    while len(told) > is_all and (
        sum(len(as_text(each)) for each in told) > left
        or (len(told) < len(opening) and isinstance(told[0], Called))
    ):
        told.pop(0)
    return told


def with_note(told: list[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """`told`, what `trim` left of `entries`; before it, if that is not all, a note that says so."""
    left_out = [entry for entry in entries if as_text(entry) and entry.number < told[0].number]
    if not left_out:
        return told
    number = left_out[-1].number
    return [Said(number, f"left_out_{number}", "system", LEFT_OUT), *told]


def as_text(entry: Entry) -> str:
    """One line; empty where there is nothing to tell."""
    match entry:
        case Said():
            return f"{_SPEAKERS[entry.role]}: {_words(entry)}" if entry.text.strip() else ""
        case Shown():
            return "User: [a picture]"
        case Called():
            if entry.output is None:
                return ""
            return f"Tool {entry.name}({entry.arguments}) answered: {entry.output}"


def _words(said: Said) -> str:
    return said.text.strip() + (CUT_MARK if said.is_cut else "")


def fold(entries: Sequence[Entry], budget: ReplayBudget) -> str:
    """The conversation as a part of the instructions; empty when there was none."""
    room = budget.folded_characters
    told = trim(entries, max_turns=budget.max_turns, max_characters=room)
    if not told:
        return ""
    heading = _FOLDED_HEADING
    if len(with_note(told, entries)) > len(told):
        heading = f"{heading}\n({LEFT_OUT})"
        room = max(0, room - len(LEFT_OUT) - 3)
        told = trim(entries, max_turns=budget.max_turns, max_characters=room)
    text = "\n".join(as_text(entry) for entry in told)
    return f"{heading}\n{text[max(0, len(text) - room) :]}"


def retold(
    entry: Entry, *, item_id: str | None, max_characters: int, has_image_input: bool = False
) -> list[ModelCommand]:
    """The commands that tell one entry to a session that takes items."""
    match entry:
        case Said():
            text = _words(entry)
            if len(text) > max_characters:
                text = "… " + text[-max_characters:]
            return [ours.AddText(text, entry.role, item_id)]
        case Shown():
            if entry.image is not None and has_image_input:
                return [entry.image]
            return [ours.AddText("[a picture that is not shown any more]", "user", item_id)]
        case Called():
            assert entry.output is not None, "a call is told with its output only"
            return [
                ours.AddToolCall(entry.call_id, entry.name, entry.arguments),
                ours.AddToolOutput(entry.call_id, entry.output[:max_characters]),
            ]


def retold_as_note(entry: Entry, *, max_characters: int) -> ours.AddText:
    """For a session that refuses the entry's own form."""
    return ours.AddText(as_text(entry)[:max_characters], "system")
