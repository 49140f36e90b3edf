"""The way into rooms: an engine knows where they are and makes channels in them."""

from __future__ import annotations

from rtc.channel import Channel
from rtc.options import MediaOptions, RtcOptions
from rtc.signaling.client import room_socket_url


class RtcEngine:
    """Holds an address and media settings, nothing open."""

    def __init__(self, room_url: str, media: MediaOptions | None = None) -> None:
        """room_url: `http://HOST:PORT` (or https, ws, wss) of the server with the rooms.

        Raises:
            ValueError: not such an address.
        """
        room_socket_url(room_url, "check")
        self._room_url = room_url
        self._media = media or MediaOptions()

    def create_channel(self, options: RtcOptions) -> Channel:
        """A channel that is not connected yet."""
        return Channel(self._room_url, options, self._media)
