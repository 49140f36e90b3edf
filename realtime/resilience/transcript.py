"""A provider-neutral transcript, built from the commands and events that pass. Pure.

It outlives provider sessions: it is replayed to a new one. Replies are cut to what was heard;
images are kept as long as they may be replayed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from realtime import events as ours
from realtime.events import ModelCommand, ModelEvent

MAX_ENTRIES = 1_000
MAX_IMAGES = 2


@dataclass(slots=True)
class TextEntry:
    """Words of the user or the agent. `is_cut`: the rest was never heard, or never came."""

    number: int
    item_id: str
    role: Literal["user", "assistant", "system"]
    text: str = ""
    is_cut: bool = False
    has_client_id: bool = False
    # Of several agents in one conversation, the one whose reply it is.
    speaker: str = ""


@dataclass(slots=True)
class ImageEntry:
    """A picture; without data once newer ones took its place."""

    number: int
    item_id: str
    image: ours.AddImage | None


@dataclass(slots=True)
class ToolCallEntry:
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


Entry = TextEntry | ImageEntry | ToolCallEntry


class Mark(NamedTuple):
    """A position in the conversation: numbers of entries and of tool outputs."""

    entries: int = 0
    answers: int = 0


class Transcript:
    """Entries oldest first; the oldest are forgotten beyond `MAX_ENTRIES`."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._calls: dict[str, ToolCallEntry] = {}
        self._images: deque[ImageEntry] = deque()
        self._count = 0
        self._answers = 0

    @property
    def count(self) -> int:
        """The number of entries ever made; the `number` of the next one."""
        return self._count

    @property
    def has_open_calls(self) -> bool:
        """True if a tool call has no result yet."""
        return any(call.output is None for call in self._calls.values())

    def since(self, number: int) -> list[Entry]:
        """Entries from this number on."""
        return [entry for entry in self._entries.values() if entry.number >= number]

    @property
    def mark(self) -> Mark:
        """The present position."""
        return Mark(self._count, self._answers)

    def changed_since(self, mark: Mark) -> list[Entry]:
        """Entries from then on, and earlier calls that were answered since."""
        return [entry for entry in self._entries.values() if _is_news(entry, mark)]

    def find_call(self, call_id: str) -> ToolCallEntry | None:
        """The call, if it is remembered."""
        return self._calls.get(call_id)

    def find(self, item_id: str) -> Entry | None:
        """The entry, if it is remembered."""
        return self._entries.get(item_id)

    def remembers(self, item_or_call_id: str) -> bool:
        """True if the transcript has an entry of this id."""
        return item_or_call_id in self._entries or item_or_call_id in self._calls

    def restore(self, entries: Iterable[Entry]) -> None:
        """Begin with what was said in an earlier process; for a transcript that is still empty."""
        for entry in entries:
            entry.number = self._count
            self._add(entry)
            if isinstance(entry, ToolCallEntry):
                self._calls[entry.call_id] = entry

    # -- what passes ---------------------------------------------------------------------------

    def record(self, command: ModelCommand) -> None:
        """Record a command that the agent sent or is about to send."""
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
                self._cut(command)
            case ours.DeleteItem():
                self._forget(command.item_id)
            case _:
                pass

    def handle(self, event: ModelEvent) -> None:
        """The provider said something."""
        match event:
            case ours.AudioDelta():
                # Its words may come later: they belong here.
                self._said(event.item_id, "assistant")
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
            if isinstance(said := self._entries.get(item_id), TextEntry):
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

    def _said(self, item_id: str, role: Literal["user", "assistant", "system"]) -> TextEntry:
        entry = self._entries.get(item_id)
        if not isinstance(entry, TextEntry):
            entry = TextEntry(self._count, item_id, role)
            self._add(entry)
        return entry

    def _show(self, image: ours.AddImage) -> None:
        shown = ImageEntry(self._count, f"shown_{self._count}", image)
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
        call = ToolCallEntry(self._count, item_id, event.call_id, event.name, event.arguments)
        self._add(call)
        self._calls[event.call_id] = call

    def _add(self, entry: Entry) -> None:
        self._entries[entry.item_id] = entry
        self._count += 1
        if len(self._entries) > MAX_ENTRIES:
            self._forget(next(iter(self._entries)))

    def _cut(self, command: ours.TruncateItem) -> None:
        said = self._entries.get(command.item_id)
        if said is None and command.audio_end_ms <= 0:
            # Sent before the first piece of it: nothing of it was heard, or ever will be.
            said = self._said(command.item_id, "assistant")
        if isinstance(said, TextEntry) and said.role == "assistant":
            said.text = command.heard_text
            said.is_cut = True

    def _forget(self, item_id: str) -> None:
        entry = self._entries.pop(item_id, None)
        if isinstance(entry, ToolCallEntry):
            self._calls.pop(entry.call_id, None)


def _is_news(entry: Entry, mark: Mark) -> bool:
    if entry.number >= mark.entries:
        return True
    # An entry that changed after it was counted as replayed.
    number = entry.answer_number if isinstance(entry, ToolCallEntry) else None
    return number is not None and number >= mark.answers
