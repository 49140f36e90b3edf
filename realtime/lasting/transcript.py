"""A conversation in neutral words, kept from the commands and events that pass. Pure.

It outlives provider sessions: a new one is told what is in here. Replies are cut to what was
heard; pictures are kept as long as they may be told again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from realtime import events as ours
from realtime.events import ModelCommand, ModelEvent

MAX_ENTRIES = 1_000
MAX_IMAGES = 2

HeardText = Callable[[str, float, float], str]
"""(words, received_ms, played_ms) -> the words that were heard."""


@dataclass(slots=True)
class Said:
    """Words of somebody. `is_cut`: the rest was never heard, or never came."""

    number: int
    item_id: str
    role: Literal["user", "assistant", "system"]
    text: str = ""
    received_ms: float = 0.0
    is_cut: bool = False
    has_client_id: bool = False


@dataclass(slots=True)
class Shown:
    """A picture; without data once newer ones took its place."""

    number: int
    item_id: str
    image: ours.AddImage | None


@dataclass(slots=True)
class Called:
    """A tool call, and its output once it is there.

    answer_number: which of all outputs this is
    """

    number: int
    item_id: str
    call_id: str
    name: str
    arguments: str
    output: str | None = None
    answer_number: int | None = None


Entry = Said | Shown | Called


class Mark(NamedTuple):
    """How much of a conversation somebody knows: so many entries, and outputs of tools."""

    entries: int = 0
    answers: int = 0


class Transcript:
    """Entries oldest first; the oldest are forgotten beyond `MAX_ENTRIES`."""

    def __init__(self, heard_text: HeardText) -> None:
        """heard_text: how to cut words to what was heard"""
        self._heard_text = heard_text
        self._entries: dict[str, Entry] = {}
        self._calls: dict[str, Called] = {}
        self._images: deque[Shown] = deque()
        self._count = 0
        self._answers = 0

    @property
    def count(self) -> int:
        """How many entries there ever were; the `number` of the next one."""
        return self._count

    @property
    def has_open_calls(self) -> bool:
        """Whether a tool was called that has not answered."""
        return any(call.output is None for call in self._calls.values())

    def since(self, number: int) -> list[Entry]:
        """Entries from this number on."""
        return [entry for entry in self._entries.values() if entry.number >= number]

    @property
    def mark(self) -> Mark:
        """How far it is now."""
        return Mark(self._count, self._answers)

    def changed_since(self, mark: Mark) -> list[Entry]:
        """Entries from then on, and earlier calls that were answered since."""
        return [entry for entry in self._entries.values() if _is_news(entry, mark)]

    def find_call(self, call_id: str) -> Called | None:
        """The call, if it is remembered."""
        return self._calls.get(call_id)

    def find(self, item_id: str) -> Entry | None:
        """The entry, if it is remembered."""
        return self._entries.get(item_id)

    def remembers(self, item_or_call_id: str) -> bool:
        """Whether something of this id is in here."""
        return item_or_call_id in self._entries or item_or_call_id in self._calls

    def restore(self, entries: Iterable[Entry]) -> None:
        """Begin with what was said in an earlier process; for a transcript that is still empty."""
        for entry in entries:
            entry.number = self._count
            self._add(entry)
            if isinstance(entry, Called):
                self._calls[entry.call_id] = entry

    # -- what passes ---------------------------------------------------------------------------

    def record(self, command: ModelCommand) -> None:
        """The agent told the model something, or means to."""
        match command:
            case ours.AddText():
                said = self._said(command.item_id or f"told_{self._count}", command.role)
                said.text, said.has_client_id = command.text, command.item_id is not None
            case ours.AddImage():
                self._show(command)
            case ours.AddToolOutput():
                if (call := self._calls.get(command.call_id)) is not None:
                    call.output = command.output
                    call.answer_number = self._answers
                    self._answers += 1
            case ours.TruncateItem():
                self._cut(command.item_id, float(command.audio_end_ms))
            case ours.DeleteItem():
                self._forget(command.item_id)
            case _:
                pass

    def handle(self, event: ModelEvent) -> None:
        """The provider said something."""
        match event:
            case ours.AudioDelta():
                said = self._said(event.item_id, "assistant")
                said.received_ms += len(event.pcm) * 500 / event.sample_rate_hz
            case ours.TranscriptDelta() | ours.TextDelta():
                said = self._said(event.item_id, "assistant")
                said.text += "" if said.is_cut else event.delta
            case ours.TranscriptDone(transcript=text) | ours.TextDone(text=text):
                said = self._said(event.item_id, "assistant")
                if not said.is_cut and len(text) > len(said.text):
                    said.text = text
            case ours.InputCommitted():
                self._said(event.item_id, "user")
            case ours.InputTranscriptDone():
                self._said(event.item_id, "user").text = event.transcript
            case ours.ToolCallRequested():
                self._call(event)
            case ours.ToolCallCancelled():
                self.forget_calls(event.call_ids)
            case _:
                pass

    def cut_off(self, item_ids: Iterable[str]) -> None:
        """Nothing more comes of these replies."""
        for item_id in item_ids:
            if isinstance(said := self._entries.get(item_id), Said):
                said.is_cut = True

    def forget_calls(self, call_ids: Iterable[str]) -> None:
        """These calls will have no output."""
        for call_id in call_ids:
            call = self._calls.get(call_id)
            if call is not None and call.output is None:
                self._forget(call.item_id)

    def take_back(self, number: int) -> None:
        """Entries from this number on were refused: they never were."""
        for entry in self.since(number):
            self._forget(entry.item_id)

    # -- keeping -------------------------------------------------------------------------------

    def _said(self, item_id: str, role: Literal["user", "assistant", "system"]) -> Said:
        entry = self._entries.get(item_id)
        if not isinstance(entry, Said):
            entry = Said(self._count, item_id, role)
            self._add(entry)
        return entry

    def _show(self, image: ours.AddImage) -> None:
        shown = Shown(self._count, f"shown_{self._count}", image)
        self._add(shown)
        self._images.append(shown)
        if len(self._images) > MAX_IMAGES:
            self._images.popleft().image = None

    def _call(self, event: ours.ToolCallRequested) -> None:
        if event.call_id in self._calls:
            return
        # Some providers name no item; its place is then found by the call alone.
        item_id = event.item_id or f"call_{event.call_id}"
        if item_id in self._entries:
            item_id = f"{item_id}_{event.call_id}"
        call = Called(self._count, item_id, event.call_id, event.name, event.arguments)
        self._add(call)
        self._calls[event.call_id] = call

    def _add(self, entry: Entry) -> None:
        self._entries[entry.item_id] = entry
        self._count += 1
        if len(self._entries) > MAX_ENTRIES:
            self._forget(next(iter(self._entries)))

    def _cut(self, item_id: str, played_ms: float) -> None:
        said = self._entries.get(item_id)
        if said is None and played_ms <= 0:
            # Told before the first piece of it: nothing of it was heard, or ever will be.
            said = self._said(item_id, "assistant")
        if isinstance(said, Said) and said.role == "assistant":
            said.text = self._heard_text(said.text, said.received_ms, played_ms)
            said.received_ms = min(said.received_ms, played_ms)
            said.is_cut = True

    def _forget(self, item_id: str) -> None:
        entry = self._entries.pop(item_id, None)
        if isinstance(entry, Called):
            self._calls.pop(entry.call_id, None)


def _is_news(entry: Entry, mark: Mark) -> bool:
    if entry.number >= mark.entries:
        return True
    # An entry that changed after it was counted as told.
    number = entry.answer_number if isinstance(entry, Called) else None
    return number is not None and number >= mark.answers
