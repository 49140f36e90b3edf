"""Completion of replies whose server omits events that the protocol demands. Pure.

The protocol announces a reply (`response.created`), names it and its item in each event, and ends it
(`response.done`). Some servers leave out any of these. The missing events are added here, so that
all other code may rely on the pair: a reply begins with the first event that belongs to it, and
ends with the next one's beginning at the latest.

Ids of replies are taken for unique only while one is open: a server may give the next the same.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from realtime import struct as wire
from realtime.openai.codec import ServerMessage
from realtime.openai.wire.base import new_id
from utils import BoundedDict

_REMEMBERED: Final = 64

_BEGINNINGS: Final = (
    wire.ResponseOutputItemAdded,
    wire.ResponseContentPartAdded,
    wire.ResponseOutputTextDelta,
    wire.ResponseOutputAudioTranscriptDelta,
    wire.ResponseOutputAudioDelta,
    wire.ResponseFunctionCallArgumentsDelta,
    wire.ResponseFunctionCallArgumentsDone,
    wire.ResponseOutputItemDone,
    wire.ResponseOutputTextDone,
    wire.ResponseOutputAudioTranscriptDone,
)
"""Of a reply that was not announced, what shows that it began."""

_FAILURES: Final = frozenset(
    {"classifier_failed", "inference_failed", "prediction_failed", "tts_error"}
)
"""Codes of errors that end a reply in place of `response.done` (LocalAI)."""


class ReplySequence:
    """Follows one session's replies."""

    def __init__(self) -> None:
        # Open replies, and the item that each speaks of now.
        self._open: OrderedDict[str, str] = OrderedDict()
        # Those of which something came since they were announced.
        self._fruitful: set[str] = set()
        # Open ones that the server did not announce, or not yet.
        self._unannounced: set[str] = set()
        self._ended: BoundedDict[str, None] = BoundedDict(_REMEMBERED)

    def expect_reply(self) -> None:
        """A reply was asked for, or is due: it may have the id of one that is over."""
        self._ended.clear()

    def complete(self, message: ServerMessage) -> list[ServerMessage]:
        """`message` with what it lacks, after what should have come before it."""
        match message:
            case wire.ResponseCreated():
                return self._created(message)
            case wire.ResponseDone():
                return self._done(message)
            case wire.InputAudioBufferCommitted():
                self.expect_reply()
            case wire.ErrorEvent() if message.error.code in _FAILURES:
                return [self._failed(message)]
            case _ if "response_id" in type(message).model_fields:
                return self._within(message)
        return [message]

    def _created(self, message: wire.ResponseCreated) -> list[ServerMessage]:
        response_id = message.response.id
        if response_id in self._open and response_id not in self._fruitful:
            return []  # repeated
        if response_id in self._unannounced:
            self._unannounced.discard(response_id)
            return []  # announced after its first words
        events: list[ServerMessage] = []
        if response_id in self._open:
            # The same id again, and no word of how the last one ended.
            events.append(_ended(response_id))
            self._note_end(response_id)
        response_id = response_id or new_id("resp")
        self._begin(response_id)
        response = message.response.model_copy(update={"id": response_id})
        return [*events, message.model_copy(update={"response": response})]

    def _done(self, message: wire.ResponseDone) -> list[ServerMessage]:
        response_id = message.response.id or self._current
        if response_id is None:
            return [_malformed("response.id: field required")]
        if response_id in self._ended:
            return []  # repeated
        events: list[ServerMessage] = []
        if response_id not in self._open:
            events.append(self._announce(response_id))
        self._note_end(response_id)
        response = message.response.model_copy(update={"id": response_id})
        return [*events, message.model_copy(update={"response": response})]

    def _failed(self, message: wire.ErrorEvent) -> ServerMessage:
        """Return the end of the reply that is being made, if any, in place of the error."""
        if (response_id := self._current) is None:
            return message
        self._note_end(response_id)
        error = wire.StatusError(code=message.error.code, message=message.error.message)
        details = wire.StatusDetails(type="failed", error=error)
        response = wire.Response(id=response_id, status="failed", status_details=details)
        return wire.ResponseDone(response=response)

    def _within(self, message: Any) -> list[ServerMessage]:
        events: list[ServerMessage] = []
        response_id = message.response_id or self._current or ""
        if response_id in self._ended:
            return []  # late
        if response_id not in self._open and isinstance(message, _BEGINNINGS):
            response_id = response_id or new_id("resp")
            events.append(self._announce(response_id))
        changes: dict[str, Any] = {}
        if response_id != message.response_id:
            changes["response_id"] = response_id
        if response_id in self._open:
            self._fruitful.add(response_id)
            changes |= self._item_changes(message, response_id)
        return [*events, message.model_copy(update=changes) if changes else message]

    def _item_changes(self, message: Any, response_id: str) -> dict[str, Any]:
        """The item that `message` is about, named if it is not."""
        if isinstance(message, wire.ResponseOutputItemAdded | wire.ResponseOutputItemDone):
            is_begun = isinstance(message, wire.ResponseOutputItemDone)
            item_id = message.item.id or (is_begun and self._open[response_id]) or new_id("item")
            self._open[response_id] = item_id
            if message.item.id == item_id:
                return {}
            return {"item": message.item.model_copy(update={"id": item_id})}
        if "item_id" not in type(message).model_fields:
            return {}
        item_id = message.item_id or self._open[response_id] or new_id("item")
        self._open[response_id] = item_id
        return {} if item_id == message.item_id else {"item_id": item_id}

    @property
    def _current(self) -> str | None:
        return next(reversed(self._open), None)

    def _announce(self, response_id: str) -> wire.ResponseCreated:
        self._begin(response_id)
        self._unannounced.add(response_id)
        response = wire.Response(id=response_id, status="in_progress")
        return wire.ResponseCreated(response=response)

    def _begin(self, response_id: str) -> None:
        self._ended.pop(response_id, None)
        self._fruitful.discard(response_id)
        self._open[response_id] = ""
        self._unannounced.discard(response_id)
        while len(self._open) > _REMEMBERED:
            oldest, _ = self._open.popitem(last=False)
            self._fruitful.discard(oldest)
            self._unannounced.discard(oldest)

    def _note_end(self, response_id: str) -> None:
        self._open.pop(response_id, None)
        self._fruitful.discard(response_id)
        self._unannounced.discard(response_id)
        self._ended[response_id] = None


def _malformed(text: str) -> wire.ErrorEvent:
    details = wire.ErrorDetails(type="protocol_error", code="malformed_event", message=text)
    return wire.ErrorEvent(error=details)


def _ended(response_id: str) -> wire.ResponseDone:
    return wire.ResponseDone(response=wire.Response(id=response_id, status="incomplete"))
