"""Publishes the provider's session and item events to clients, in the agent's own vocabulary."""

from __future__ import annotations

from collections.abc import Callable

from conversation.events import server_events as out
from conversation.history import Item
from realtime import events as model
from session.context import Handlers, SessionContext
from untrusted.boundary import InputKind

# Notes to the model (`system`) and tool items are not of the room: tool calls have events of their
# own, which respect `show_tools`.
_PUBLISHED_ROLES = ("user", "assistant")


class EventForwarder:
    """Publishes what changes no other part: item events, silence timeouts, the session's end to come.

    A resumption handle is a credential of the provider's session, so that clients get to know only
    whether there is one.
    """

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._publisher = context.publisher
        # Called with each event as the provider sent it, where the configuration asks for these;
        # they must return at once.
        self.raw_listeners: list[Callable[[model.RawEventReceived], object]] = []
        context.history.on_update = self._publish_update

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.GoAwayReceived: self._handle_go_away,
            model.ResumptionUpdated: self._handle_resumption,
            model.InputTimeoutTriggered: self._handle_input_timeout,
            model.ItemAdded: self._handle_item_added,
            model.ItemDeleted: self._handle_item_deleted,
            model.UnknownEventReceived: self._handle_unknown,
            model.RawEventReceived: self._handle_raw,
        }

    async def _handle_go_away(self, event: model.GoAwayReceived) -> None:
        self._publisher.publish(out.ServerSessionGoAway, time_left_ms=event.time_left_ms)

    async def _handle_resumption(self, event: model.ResumptionUpdated) -> None:
        self._publisher.publish(
            out.ServerSessionResumptionUpdated, is_resumable=event.handle is not None
        )

    async def _handle_input_timeout(self, event: model.InputTimeoutTriggered) -> None:
        self._publisher.publish(
            out.AgentInputTimeoutTriggered,
            item_id=event.item_id,
            audio_start_ms=event.audio_start_ms,
            audio_end_ms=event.audio_end_ms,
        )

    async def _handle_item_added(self, event: model.ItemAdded) -> None:
        if event.kind == "message" and event.role in _PUBLISHED_ROLES:
            self._publisher.publish(
                out.AgentItemAdded,
                item_id=event.item_id,
                role=event.role,
                response_id=event.response_id,
            )

    async def _handle_item_deleted(self, event: model.ItemDeleted) -> None:
        self._publisher.publish(out.AgentItemDeleted, item_id=event.item_id)

    async def _handle_unknown(self, event: model.UnknownEventReceived) -> None:
        if self._context.config.shows_provider_events:
            self._publisher.publish(
                out.AgentProviderEvent, provider_type=event.type, data=dict(event.data)
            )

    async def _handle_raw(self, event: model.RawEventReceived) -> None:
        for listener in self.raw_listeners:
            with self._context.boundary.guard(InputKind.HOOK, "raw event"):
                listener(event)

    def _publish_update(self, item: Item) -> None:
        if item.role in _PUBLISHED_ROLES:
            self._publisher.publish(
                out.AgentItemUpdated,
                item_id=item.item_id,
                role=item.role,
                status=item.status.value,
                text=item.text,
            )
