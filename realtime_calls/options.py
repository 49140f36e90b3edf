"""Options of WebRTC calls, and bounds on what a caller may make the server hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rtc.options import MediaOptions
from rtc.signaling.protocol import IceServer

CONNECT_TIMEOUT_S: Final = 15.0
"""From the answer to the connection."""
MAX_WAITING_EVENTS: Final = 256
"""Of a client's events that came over the data channel and are not handled yet."""
MAX_EVENT_BYTES: Final = 256 * 1024
"""Of an event to the client: what the data channels of all browsers carry."""
MAX_SIDEBANDS: Final = 4


@dataclass(frozen=True)
class OpusOptions:
    """Options of the encoder; as of `rtc.options.RtcOptions`."""

    bitrate_bps: int = 48_000
    complexity: int = 1
    expected_loss_percent: int = 10


@dataclass(frozen=True)
class CallOptions:
    """Options of all calls. ice_servers: asked for each call, since credentials expire."""

    media: MediaOptions = field(default_factory=MediaOptions)
    opus: OpusOptions = field(default_factory=OpusOptions)
    ice_servers: Callable[[], Sequence[IceServer]] = tuple
    connect_timeout_s: float = CONNECT_TIMEOUT_S
