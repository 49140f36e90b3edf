"""Replay of the conversation so far to a new session. Pure.

Trimming rule: the instructions are settings and always stay; of the rest the last turns are
replayed, as many as fit the budget; a turn is a user's input and everything up to the next one. A
tool call is replayed only together with its output. A single text beyond the budget loses its
beginning. A note stands in place of the turns that are left out, so that the model asks instead of
inventing their content; a summary would cost a reply of the model and could be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.resilience.transcript import Entry, ImageEntry, TextEntry, ToolCallEntry

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
    """Limits of a replay.

    max_turns, max_characters: of a replay item by item; roughly 6000 tokens
    folded_characters: of one that is written into the instructions
    """

    max_turns: int = 60
    max_characters: int = 24_000
    folded_characters: int = 8_000


def trim(entries: Sequence[Entry], *, max_turns: int, max_characters: int) -> list[Entry]:
    """Return the entries to replay, by the rule above; empty ones are left out."""
    telling = [entry for entry in entries if as_text(entry)]
    kept: list[Entry] = []
    turn: list[Entry] = []
    left, turns = max_characters, 0
    for entry in reversed(telling):
        turn.insert(0, entry)
        if not (isinstance(entry, TextEntry) and entry.role == "user"):
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
    """Return the end of what precedes the first turn, such as a greeting, within the budget.

    Cut, it does not begin with a call whose occasion is left out. is_all: return at least something
    """
    kept = list(opening)
    while len(kept) > is_all and (
        sum(len(as_text(each)) for each in kept) > left
        or (len(kept) < len(opening) and isinstance(kept[0], ToolCallEntry))
    ):
        kept.pop(0)
    return kept


def with_note(kept: list[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """Return `kept`, which `trim` left of `entries`, after a note about what is missing, if any is."""
    left_out = [entry for entry in entries if as_text(entry) and entry.number < kept[0].number]
    if not left_out:
        return kept
    number = left_out[-1].number
    return [TextEntry(number, f"left_out_{number}", "system", LEFT_OUT), *kept]


def as_text(entry: Entry) -> str:
    """Return one line; empty for an entry without content."""
    match entry:
        case TextEntry():
            return f"{_SPEAKERS[entry.role]}: {_words(entry)}" if entry.text.strip() else ""
        case ImageEntry():
            return "User: [a picture]"
        case ToolCallEntry():
            if entry.output is None:
                return ""
            return f"Tool {entry.name}({entry.arguments}) answered: {entry.output}"


def _words(said: TextEntry) -> str:
    return said.text.strip() + (CUT_MARK if said.is_cut else "")


def fold(entries: Sequence[Entry], budget: ReplayBudget) -> str:
    """The conversation as a part of the instructions; empty when there was none."""
    room = budget.folded_characters
    kept = trim(entries, max_turns=budget.max_turns, max_characters=room)
    if not kept:
        return ""
    heading = _FOLDED_HEADING
    if len(with_note(kept, entries)) > len(kept):
        heading = f"{heading}\n({LEFT_OUT})"
        room = max(0, room - len(LEFT_OUT) - 3)
        kept = trim(entries, max_turns=budget.max_turns, max_characters=room)
    text = "\n".join(as_text(entry) for entry in kept)
    return f"{heading}\n{text[max(0, len(text) - room) :]}"


def replayed(
    entry: Entry, *, item_id: str | None, max_characters: int, has_image_input: bool = False
) -> list[ModelCommand]:
    """Return the commands that replay one entry to a session that takes items."""
    match entry:
        case TextEntry():
            text = _words(entry)
            if len(text) > max_characters:
                text = "… " + text[-max_characters:]
            return [ours.AddText(text, entry.role, item_id)]
        case ImageEntry():
            if entry.image is not None and has_image_input:
                return [entry.image]
            return [ours.AddText("[an image that is no longer available]", "user", item_id)]
        case ToolCallEntry():
            assert entry.output is not None, "a call is replayed with its output only"
            return [
                ours.AddToolCall(entry.call_id, entry.name, entry.arguments),
                ours.AddToolOutput(entry.call_id, entry.output[:max_characters]),
            ]


def replayed_as_note(entry: Entry, *, max_characters: int) -> ours.AddText:
    """For a session that refuses the entry's own form."""
    return ours.AddText(as_text(entry)[:max_characters], "system")
