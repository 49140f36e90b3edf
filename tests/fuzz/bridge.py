"""Bytes of a client of the bridge, through its WebSocket, its dialect and its decoders."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Final

from websockets.frames import Frame, Opcode

from bridge.adoption import Adoption
from bridge.dialect import Dialect
from bridge.participant import BridgeParticipant, ParticipantCallbacks, Place
from bridge.websocket import BridgeSocket

_CREATE: Final = json.dumps({"type": "client_session_create", "config": {"audio_in": "ulaw"}})


class _Transport(asyncio.Transport):
    """Takes what is sent, for nobody."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _NoSocket() if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class _NoSocket:
    family = 0


def message(opcode: Opcode, data: bytes | str, *, fin: bool = True) -> bytes:
    """A frame as a client sends it."""
    payload = data.encode() if isinstance(data, str) else data
    return Frame(opcode, payload, fin=fin).serialize(mask=True)


def feed_frames(data: bytes) -> object:
    """A connection whose first message is sound, then any bytes."""
    return asyncio.run(_feed(data, is_whole=False))


def feed_messages(data: bytes) -> object:
    """The same with whole messages: what follows must be read, unless the connection was ended.

    data: one message in each line, the first byte even for text
    """
    kinds = (Opcode.TEXT, Opcode.BINARY)
    frames = [message(kinds[line[0] % 2], line[1:]) for line in data.split(b"\n") if line]
    return asyncio.run(_feed(b"".join(frames), is_whole=True))


async def _feed(data: bytes, *, is_whole: bool) -> None:
    got: list[str] = []
    callbacks = ParticipantCallbacks(
        on_joined=lambda _: None,
        on_left=lambda *_: None,
        on_event=lambda text, _uid: got.append(text),
    )
    first = message(Opcode.TEXT, _CREATE)
    adoption = Adoption(
        dialect="parley",
        received=base64.b64encode(b""),
        session_id="s1",
        secret="x",
        uid=7,
    )
    place = Place("demo", "a1", "Parley", 24_000, None)
    participant = BridgeParticipant(adoption, place, callbacks)
    connection = participant.new_connection(adoption, is_resumed=False)
    bridge_socket = BridgeSocket(first, connection.callbacks)
    connection.set(bridge_socket)
    bridge_socket.connection_made(_Transport())
    try:
        participant.audio.subscribe()
        bridge_socket.data_received(data)
        if is_whole and bridge_socket.is_open:
            event = '{"type": "client_activity_start"}'
            count = len(got)
            bridge_socket.data_received(message(Opcode.TEXT, event))
            assert len(got) == count + 1
    finally:
        bridge_socket.connection_lost(None)
        participant.leave("left")


def feed_opening(dialect: Dialect, data: bytes) -> object:
    """A first message, and what follows from it."""
    return dialect.open(data.decode(errors="replace"), {})
