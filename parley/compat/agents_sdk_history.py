"""History of a session in the items of the Agents SDK, kept from our server events. Pure."""

from __future__ import annotations

import json
from typing import Final

from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from parley.compat.agents_sdk_events import ContentPart, RealtimeItem, RealtimeMessageItem
from parley.compat.agents_sdk_events import RealtimeToolCallItem as ToolCallItem

MAX_ITEMS: Final = 5_000
"""Of more, the oldest are forgotten."""


class History:
    """Items in their order. `handle` says which item an event added, and whether one changed."""

    def __init__(self) -> None:
        self.items: list[RealtimeItem] = []
        self._spoken: set[str] = set()

    def handle(self, event: ServerEvent) -> tuple[RealtimeItem | None, bool]:
        """Follow an event; return the new item, if any, and true if a known one changed."""
        match event:
            case out.AgentInputStarted():
                self._spoken.add(event.item_id)
            case out.AgentItemAdded():
                return self._message(event.item_id, event.role)
            case out.AgentInputTranscriptionDone():
                return self._write(event.item_id, "user", event.transcript, "completed")
            case out.AgentResponseAudioTranscriptDelta():
                self._add_words(event.item_id, event.delta)
            case out.AgentItemUpdated():
                status = "completed" if event.status == "completed" else "incomplete"
                return self._write(event.item_id, event.role, event.text, status)
            case out.AgentItemDeleted():
                kept = [item for item in self.items if item.item_id != event.item_id]
                is_known, self.items = len(kept) < len(self.items), kept
                return None, is_known
            case out.AgentResponseToolUseDone():
                use = event.tool_use
                arguments = json.dumps(use.input)
                return self._append(ToolCallItem(event.item_id, use.id, use.name, arguments)), False
            case out.AgentResponseToolResult():
                return None, self._finish_call(event.tool_result.id, event.tool_result.output)
        return None, False

    def _message(self, item_id: str, role: str) -> tuple[RealtimeItem | None, bool]:
        if self._find(item_id) is not None:
            return None, False
        item = RealtimeMessageItem(item_id, role, status="in_progress")
        return self._append(item), False

    def _write(
        self, item_id: str, role: str, text: str, status: str
    ) -> tuple[RealtimeItem | None, bool]:
        added, _ = self._message(item_id, role)
        item = self._find(item_id)
        if isinstance(item, RealtimeMessageItem):
            item.content, item.status = [self._part(item, text)], status
        return added, added is None

    def _add_words(self, item_id: str, delta: str) -> None:
        item = self._find(item_id)
        if isinstance(item, RealtimeMessageItem):
            said = (item.content[0].transcript or "") if item.content else ""
            item.content = [self._part(item, said + delta)]

    def _part(self, item: RealtimeMessageItem, text: str) -> ContentPart:
        if item.role == "assistant":
            return ContentPart("audio", transcript=text)
        if item.item_id in self._spoken:
            return ContentPart("input_audio", transcript=text)
        return ContentPart("input_text", text=text)

    def _finish_call(self, call_id: str, output: str) -> bool:
        for item in reversed(self.items):
            if isinstance(item, ToolCallItem) and item.call_id == call_id:
                item.output, item.status = output, "completed"
                return True
        return False

    def _find(self, item_id: str) -> RealtimeItem | None:
        return next((item for item in reversed(self.items) if item.item_id == item_id), None)

    def _append(self, item: RealtimeItem) -> RealtimeItem:
        item.previous_item_id = self.items[-1].item_id if self.items else None
        self.items.append(item)
        if len(self.items) > MAX_ITEMS:
            self._spoken.discard(self.items.pop(0).item_id)
        return item
