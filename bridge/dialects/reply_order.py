"""Ends of replies after their audio, as protocols have them whose servers do not pace the voice. Pure.

The session reports at once that a model has sent all audio of a reply, and that it is done; the audio
itself follows at the speed of speech. Here both reports wait until it was played or cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Event = Mapping[str, Any]

MAX_HELD: Final = 64
"""Reports that wait; of more, all are passed on."""


class ReplyOrder:
    """Passes events on in the order of the voice."""

    def __init__(self) -> None:
        # Reports that wait: of the end of an item's audio, and of the end of a reply.
        self._audio_ends: list[Event] = []
        self._reply_ends: list[Event] = []
        # The reply that was interrupted last: what it still reports waits for nothing.
        self._cut_reply: str | None = None

    def put(self, event: Event) -> list[Event]:
        """Return the events that are due now that `event` has come."""
        match event.get("type"):
            case "agent_response_audio_done" if event["response_id"] != self._cut_reply:
                self._audio_ends.append(event)
                return self._all() if len(self._audio_ends) > MAX_HELD else []
            case "agent_response_done" if self._is_playing(event):
                self._reply_ends.append(event)
                return []
            case "agent_response_done":
                return [*self._release(response_id=event["response_id"]), event]
            case "agent_playout_done":
                return [*self._release(item_id=event["item_id"]), event]
            case "agent_interrupted":
                self._cut_reply = event["response_id"]
                return [event, *self._release(response_id=event["response_id"])]
            case "agent_response_created" | "agent_ended":
                return [*self._all(), event]
            case _:
                return [event]

    def _is_playing(self, done: Event) -> bool:
        """True if the reply came to its end by itself, and audio of it has not been played yet."""
        return self._awaits(done["response_id"]) and done.get("status") == "completed"

    def _awaits(self, response_id: str) -> bool:
        return any(each["response_id"] == response_id for each in self._audio_ends)

    def _release(self, **fields: str) -> list[Event]:
        """Return the ends of audio with these fields, and of replies of which none is left."""
        ((name, value),) = fields.items()
        due = [each for each in self._audio_ends if each[name] == value]
        self._audio_ends = [each for each in self._audio_ends if each[name] != value]
        ended = [each for each in self._reply_ends if not self._awaits(each["response_id"])]
        self._reply_ends = [each for each in self._reply_ends if self._awaits(each["response_id"])]
        return due + ended

    def _all(self) -> list[Event]:
        replies = dict.fromkeys(each["response_id"] for each in self._audio_ends)
        return [event for reply in replies for event in self._release(response_id=reply)]
