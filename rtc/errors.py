"""Failures of the room side as one type: `RoomError` with a machine word.

unreachable: no answer at the room's address · timeout: it answered too slowly ·
unauthorized, forbidden, room_full, server_full, replaced, invalid, ...: the room refused, in the
protocol's own words · closed: the channel is disconnected.
"""

from __future__ import annotations

from line.errors import LineError


class RoomError(LineError):
    """The room could not be joined or used. `code` names the kind, the text the remedy."""
