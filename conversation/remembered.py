"""What of a conversation outlives its agent's process: entries small enough to be told as they grow.

The agent tells its supervisor each entry anew whenever it changed; should the process die, the next
one begins with the `ConversationSeed` made of them. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_ENTRIES: Final = 300
MAX_CHARACTERS: Final = 100_000
"""Of all entries together; the oldest are forgotten first."""

MAX_ENTRY_CHARACTERS: Final = 16_000
"""Of one text, arguments or output; what is over is cut where the agent tells it."""

LOST_OUTPUT: Final = json.dumps(
    {"error": "the agent had to be restarted while this ran; whether it took effect is unknown"}
)
"""What the model is told of a call that had no output when the process died."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(description="place in the conversation; entries of one number are one")


class RememberedText(_Entry):
    """Words; of a reply only what was heard. `is_open`: it is still being made or played."""

    type: Literal["text"] = "text"
    role: Literal["user", "assistant", "system"]
    text: str = Field(repr=False)
    is_cut: bool = False
    is_open: bool = False


class RememberedCall(_Entry):
    """A tool call; `output` is None until it answered."""

    type: Literal["call"] = "call"
    call_id: str
    name: str
    arguments: str = Field(repr=False)
    output: str | None = Field(default=None, repr=False)


RememberedEntry = Annotated[RememberedText | RememberedCall, Field(discriminator="type")]


class ConversationSeed(BaseModel):
    """A conversation to go on with.

    offset: place of the first entry in the whole conversation, of which the oldest may be missing
    is_reply_owed: somebody waits for a reply that the lost process never finished
    heard: that reply's words as far as people heard them, if it had begun
    is_of_earlier_call: the people of this call have heard nothing of it yet
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entries: tuple[RememberedEntry, ...] = Field(default=(), repr=False)
    offset: int = 0
    is_reply_owed: bool = False
    heard: str = Field(default="", repr=False)
    is_of_earlier_call: bool = False


class RememberedConversation:
    """The entries told so far, within `MAX_ENTRIES` and `MAX_CHARACTERS`."""

    def __init__(self, seed: ConversationSeed | None = None) -> None:
        """seed: what the agent that now tells its entries began with"""
        self._entries: dict[int, RememberedEntry] = {}
        self._characters = 0
        # Where the next seed begins when nothing is left to tell.
        self._end_of_forgotten = 0
        self._offset = 0 if seed is None else seed.offset
        for entry in () if seed is None else seed.entries:
            self.update(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def update(self, entry: RememberedEntry) -> None:
        """An entry is new or has changed."""
        self.forget(entry.number)
        self._entries[entry.number] = entry
        self._characters += _size(entry)
        while len(self._entries) > MAX_ENTRIES or self._characters > MAX_CHARACTERS:
            self.forget(min(self._entries))

    def forget(self, number: int) -> None:
        """An entry was taken back; nothing happens when it is not there."""
        if (old := self._entries.pop(number, None)) is not None:
            self._characters -= _size(old)

    def forget_before(self, place: int) -> None:
        """Drop all entries whose places in the whole conversation are before `place`."""
        end = place - self._offset
        for number in [number for number in self._entries if number < end]:
            self.forget(number)
        self._end_of_forgotten = max(self._end_of_forgotten, end)

    def seed(self) -> ConversationSeed:
        """With what the next process begins: calls without output are answered as failed, replies
        under way are cut where they were heard, and whoever is left waiting is owed a reply.
        """
        told = [self._entries[number] for number in sorted(self._entries)]
        last = _last_word(told)
        is_open = isinstance(last, RememberedText) and last.is_open
        return ConversationSeed(
            entries=tuple(_closed(entry for entry in told if _is_telling(entry))),
            offset=self._offset + min(self._entries, default=self._end_of_forgotten),
            is_reply_owed=is_open or isinstance(last, RememberedCall) or _is_of_user(last),
            heard=last.text if isinstance(last, RememberedText) and is_open else "",
        )


def continued(entries: Iterable[RememberedEntry]) -> ConversationSeed:
    """What a later call begins with: the last of these entries, numbered by their places. Nobody
    waits for a reply any more.
    """
    conversation = RememberedConversation()
    end = 0
    for entry in entries:
        conversation.update(entry)
        end = max(end, entry.number + 1)
    told = conversation.seed().entries
    return ConversationSeed(entries=told, offset=end - len(told), is_of_earlier_call=True)


def _size(entry: RememberedEntry) -> int:
    if isinstance(entry, RememberedText):
        return len(entry.text)
    return len(entry.arguments) + len(entry.output or "")


def _is_telling(entry: RememberedEntry) -> bool:
    return not isinstance(entry, RememberedText) or bool(entry.text.strip())


def _last_word(told: list[RememberedEntry]) -> RememberedEntry | None:
    """The last entry that says something or was about to; notes to the model are nobody's word."""
    for entry in reversed(told):
        if isinstance(entry, RememberedCall):
            return entry
        if entry.role != "system" and (entry.is_open or _is_telling(entry)):
            return entry
    return None


def _is_of_user(entry: RememberedEntry | None) -> bool:
    return isinstance(entry, RememberedText) and entry.role == "user"


def _closed(entries: Iterable[RememberedEntry]) -> Iterable[RememberedEntry]:
    for number, entry in enumerate(entries):
        if isinstance(entry, RememberedCall):
            output = LOST_OUTPUT if entry.output is None else entry.output
            yield entry.model_copy(update={"number": number, "output": output})
        else:
            is_cut = entry.is_cut or entry.is_open
            yield entry.model_copy(update={"number": number, "is_cut": is_cut, "is_open": False})
