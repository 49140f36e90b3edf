"""Base of all wire messages: unknown fields pass, and an absent field differs from null."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


def new_id(prefix: str) -> str:
    """A fresh id in the provider's style, such as `item_4f1c…`."""
    return f"{prefix}_{uuid.uuid4().hex[:20]}"


class WireObject(BaseModel):
    """A JSON object inside a message. Fields we do not know are kept, so an echo loses nothing.

    A field whose default is None is absent on the wire until it is given, and then it may also be
    an explicit null; a field with any other default is always sent.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    _always_sent: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        cls._always_sent = frozenset(
            name
            for name, field in cls.model_fields.items()
            if not field.is_required()
            and (field.default_factory is not None or field.default is not None)
        )

    def model_post_init(self, _context: Any, /) -> None:
        """Count constants such as `type` as given, so that serialising keeps them."""
        self.model_fields_set.update(self._always_sent)


class WireEvent(WireObject):
    """A whole message. Unknown fields are tolerated and dropped."""

    model_config = ConfigDict(extra="ignore")


class ClientMessage(WireEvent):
    """A message to the provider; its `event_id` comes back in an `error` about it."""

    event_id: str | None = Field(default=None, max_length=512)


class ServerMessage(WireEvent):
    """A message from the provider. One built by us gets a fresh id."""

    event_id: str | None = Field(default_factory=lambda: new_id("event"))
