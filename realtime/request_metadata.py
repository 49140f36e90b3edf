"""What requests for replies say of themselves, for providers that do not say it again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from realtime.events import CreateResponse, ModelEvent, ResponseCreated, ResponseDone
from utils import BoundedDict

_REMEMBERED: Final = 64


class RequestMetadata:
    """Follows one session's replies."""

    def __init__(self) -> None:
        self._of_replies: BoundedDict[str, Mapping[str, str]] = BoundedDict(_REMEMBERED)

    def handle_created(self, response_id: str, request: CreateResponse | None) -> None:
        """A reply began that was asked for with `request`; None: the provider's own."""
        if request is not None and request.metadata:
            self._of_replies[response_id] = request.metadata

    def added(self, events: Iterable[ModelEvent]) -> list[ModelEvent]:
        """The events of a reply with what its request said."""
        return [self._added(event) for event in events]

    def _added(self, event: ModelEvent) -> ModelEvent:
        match event:
            case ResponseCreated(response_id) if response_id in self._of_replies:
                return replace(event, metadata=self._of_replies[response_id])
            case ResponseDone(response_id) if response_id in self._of_replies:
                return replace(event, metadata=self._of_replies.pop(response_id))
            case _:
                return event
