"""Between messages and what a socket carries: OpenAI's GA form as it is, others translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from realtime import struct as wire

ServerMessage = wire.KnownServerEvent | wire.UnknownEvent
JsonObject = dict[str, Any]
Note = Callable[[str], None]


class Codec(Protocol):
    """One dialect's way to write and read messages. Holds no state."""

    def encode(self, message: wire.ClientMessage) -> str | None:
        """As text for the socket; None when this dialect has nothing to say for it."""
        ...

    def decode(self, text: str | bytes, note: Note) -> list[ServerMessage]:
        """Return the GA messages that a frame stands for.

        note: takes the path of what was wrong and could be left out

        Raises:
            InvalidEventError: the frame breaks the protocol.
        """
        ...


class GaCodec:
    """OpenAI's GA form: what our messages are made of."""

    def encode(self, message: wire.ClientMessage) -> str | None:
        """See `Codec.encode`."""
        return wire.serialize(message)

    def decode(self, text: str | bytes, note: Note) -> list[ServerMessage]:
        """See `Codec.decode`."""
        return [wire.parse_server_event(text, note=note)]


class TranslatingCodec:
    """A dialect that is GA under other names: two functions on plain JSON objects."""

    def __init__(
        self,
        to_dialect: Callable[[JsonObject], JsonObject | None],
        to_ga: Callable[[JsonObject], list[JsonObject]],
    ) -> None:
        self._to_dialect = to_dialect
        self._to_ga = to_ga

    def encode(self, message: wire.ClientMessage) -> str | None:
        """See `Codec.encode`."""
        translated = self._to_dialect(message.model_dump(mode="json", exclude_unset=True))
        return None if translated is None else wire.to_json_text(translated)

    def decode(self, text: str | bytes, note: Note) -> list[ServerMessage]:
        """See `Codec.decode`."""
        translated = self._to_ga(wire.parse_json_object(text))
        return [wire.read_server_event(message, note=note) for message in translated]
