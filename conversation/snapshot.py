"""The part of a conversation that outlives its agent's process, in entries small enough to be sent
as they change. Pure.

The agent sends its supervisor each entry whenever it changed. When the process dies, the next one
starts with the `ResumeState` made of these entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_ENTRIES: Final = 300
MAX_CHARACTERS: Final = 100_000
"""Of all entries together; the oldest are forgotten first."""

MAX_ENTRY_CHARACTERS: Final = 16_000
"""Of one text, arguments or output; the agent cuts the excess before it sends an entry."""

MAX_STATE_CHARACTERS: Final = 65_536
"""Of the state that an owner keeps with a conversation, as JSON."""

LOST_OUTPUT: Final = json.dumps(
    {"error": "the agent had to be restarted while this ran; whether it took effect is unknown"}
)
"""Output for a call that had none when the process died."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(description="place in the conversation; entries of one number are one")


class SnapshotText(_Entry):
    """Words; of a reply only what was heard. `is_open`: it is still being generated or played.

    unheard: of a reply that was cut, the words that had been generated and that nobody heard
    speaker: of several agents in the conversation, the one whose reply it is
    """

    type: Literal["text"] = "text"
    role: Literal["user", "assistant", "system"]
    text: str = Field(repr=False)
    is_cut: bool = False
    is_open: bool = False
    unheard: str = Field(default="", repr=False)
    speaker: str = ""


class SnapshotToolCall(_Entry):
    """A tool call; `output` is None until there is one."""

    type: Literal["call"] = "call"
    call_id: str
    name: str
    arguments: str = Field(repr=False)
    output: str | None = Field(default=None, repr=False)


SnapshotEntry = Annotated[SnapshotText | SnapshotToolCall, Field(discriminator="type")]


class ResumeState(BaseModel):
    """A conversation to resume.

    offset: place of the first entry in the whole conversation, of which the oldest may be missing
    is_reply_owed: the user waits for a reply that the lost process never finished
    heard: that reply's words as far as they were heard, if it had begun
    is_of_earlier_call: the users of this call have heard nothing of it yet
    is_of_lost_process: an earlier process of this call was lost
    call_state: JSON of the state that the owner's code keeps
    agent: definition that had the floor in the lost process; empty: the one of the start
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entries: tuple[SnapshotEntry, ...] = Field(default=(), repr=False)
    offset: int = 0
    is_reply_owed: bool = False
    heard: str = Field(default="", repr=False)
    is_of_earlier_call: bool = False
    is_of_lost_process: bool = False
    call_state: str = Field(default="{}", max_length=MAX_STATE_CHARACTERS, repr=False)
    agent: str = ""


class ConversationSnapshot:
    """The entries received so far, within `MAX_ENTRIES` and `MAX_CHARACTERS`."""

    def __init__(self, seed: ResumeState | None = None) -> None:
        """seed: the state with which the sending agent started"""
        self._entries: dict[int, SnapshotEntry] = {}
        # Size of all entries, kept up to date instead of summed up.
        self._characters = 0
        # Place of the next entry when none is left.
        self._end_of_forgotten = 0
        # Place of entry number 0 in the whole conversation.
        self._offset = 0 if seed is None else seed.offset
        self.call_state = "{}" if seed is None else seed.call_state
        self.agent = "" if seed is None else seed.agent
        for entry in () if seed is None else seed.entries:
            self.update(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def update(self, entry: SnapshotEntry) -> None:
        """Add or replace an entry."""
        self.forget(entry.number)
        self._entries[entry.number] = entry
        self._characters += _size(entry)
        while len(self._entries) > MAX_ENTRIES or self._characters > MAX_CHARACTERS:
            self.forget(min(self._entries))

    def forget(self, number: int) -> None:
        """Remove an entry; idempotent."""
        if (old := self._entries.pop(number, None)) is not None:
            self._characters -= _size(old)

    def forget_before(self, place: int) -> None:
        """Remove all entries whose places in the whole conversation are before `place`."""
        end = place - self._offset
        for number in [number for number in self._entries if number < end]:
            self.forget(number)
        self._end_of_forgotten = max(self._end_of_forgotten, end)

    def seed(self) -> ResumeState:
        """Return the state with which the next process starts.

        Calls without output are answered as failed, replies in progress are cut where they were
        heard, and a user who waits gets a pending reply.
        """
        known = [self._entries[number] for number in sorted(self._entries)]
        last = _last_word(known)
        is_open = isinstance(last, SnapshotText) and last.is_open
        return ResumeState(
            entries=tuple(_closed(entry for entry in known if _has_content(entry))),
            offset=self._offset + min(self._entries, default=self._end_of_forgotten),
            is_reply_owed=is_open or isinstance(last, SnapshotToolCall) or _is_of_user(last),
            heard=last.text if isinstance(last, SnapshotText) and is_open else "",
            is_of_lost_process=True,
            call_state=self.call_state,
            agent=self.agent,
        )


def continued(entries: Iterable[SnapshotEntry], call_state: str = "{}") -> ResumeState:
    """Return the state with which a later call starts: the last of these entries, numbered by their
    places, without a pending reply.
    """
    conversation = ConversationSnapshot()
    end = 0
    for entry in entries:
        conversation.update(entry)
        end = max(end, entry.number + 1)
    kept = conversation.seed().entries
    return ResumeState(
        entries=kept, offset=end - len(kept), is_of_earlier_call=True, call_state=call_state
    )


def read_state(text: str) -> dict[str, Any]:
    """Return the state that an owner's code keeps; empty if the text is no JSON object."""
    try:
        state = json.loads(text)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _size(entry: SnapshotEntry) -> int:
    if isinstance(entry, SnapshotText):
        return len(entry.text) + len(entry.unheard)
    return len(entry.arguments) + len(entry.output or "")


def _has_content(entry: SnapshotEntry) -> bool:
    return not isinstance(entry, SnapshotText) or bool(entry.text.strip())


def _last_word(entries: list[SnapshotEntry]) -> SnapshotEntry | None:
    """Return the last entry of the user, agent or a tool that has words or was about to; notes to
    the model do not count.
    """
    for entry in reversed(entries):
        if isinstance(entry, SnapshotToolCall):
            return entry
        if entry.role != "system" and (entry.is_open or _has_content(entry)):
            return entry
    return None


def _is_of_user(entry: SnapshotEntry | None) -> bool:
    return isinstance(entry, SnapshotText) and entry.role == "user"


def _closed(entries: Iterable[SnapshotEntry]) -> Iterable[SnapshotEntry]:
    for number, entry in enumerate(entries):
        if isinstance(entry, SnapshotToolCall):
            output = LOST_OUTPUT if entry.output is None else entry.output
            yield entry.model_copy(update={"number": number, "output": output})
        else:
            is_cut = entry.is_cut or entry.is_open
            update = {"number": number, "is_cut": is_cut, "is_open": False, "unheard": ""}
            yield entry.model_copy(update=update)
