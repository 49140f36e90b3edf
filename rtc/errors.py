"""What can go wrong on the room side, as one type: `RoomError` with a machine word.

unreachable: nobody answers at the room's address · timeout: it answered too slowly ·
unauthorized, forbidden, room_full, server_full, replaced, invalid, ...: the room refused, in the
protocol's own words · closed: the channel is disconnected.
"""

from __future__ import annotations


class RoomError(Exception):
    """The room could not be joined or used. `code` tells what kind, the text what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
