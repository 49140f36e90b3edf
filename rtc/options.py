"""What a channel is told and what it tells: options, participants, chat messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from config import ChannelName, Uid
from rtc.media_network import MediaNetwork
from rtc.opus import OPUS_RATES_HZ
from rtc.signals import Role, describe_validation
from rtc.tap import AudioTap

_CHANNEL: TypeAdapter[str] = TypeAdapter(ChannelName)
_UID: TypeAdapter[int] = TypeAdapter(Uid)


@dataclass(frozen=True)
class MediaOptions:
    """How media travels. has_loopback: offer 127.0.0.1 too; None: when the room is on it.

    network: addresses, ports and relaying, as configured.
    """

    has_loopback: bool | None = None
    network: MediaNetwork = field(default_factory=MediaNetwork)

    def relay_only(self) -> MediaOptions:
        """The same, through TURN servers only."""
        network = self.network.model_copy(update={"is_relay_only": True})
        return replace(self, network=network)


@dataclass(frozen=True)
class RtcOptions:
    """One participation. uid None: the room picks one. Audio is PCM16 mono both ways.

    Raises:
        ValueError: a name, uid or rate is out of range.
    """

    channel_name: str
    uid: int | None = None
    role: Role = "agent"
    name: str = ""
    token: str | None = field(default=None, repr=False)
    sample_rate_hz: int = 24_000
    bitrate_bps: int = 48_000
    complexity: int = 1
    expected_loss_percent: int = 10
    dump_dir: Path | None = None
    """Where raw PCM of everything sent and received is written, when set."""
    tap: AudioTap | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            _CHANNEL.validate_python(self.channel_name)
            if self.uid is not None:
                _UID.validate_python(self.uid)
        except ValidationError as error:
            raise ValueError(f"channel_name or uid: {describe_validation(error)}") from error
        if self.sample_rate_hz not in OPUS_RATES_HZ:
            raise ValueError(f"sample_rate_hz: one of {OPUS_RATES_HZ}")


@dataclass(frozen=True)
class RemoteUser:
    """Another participant of the channel."""

    uid: int
    name: str
    role: Role
    is_muted: bool = False


@dataclass(frozen=True)
class ChatMessage:
    """A text to everybody else in the channel. sent_at_ms: the room's stamp, when received."""

    text: str
    message_id: str | None = None
    sent_at_ms: int | None = None


@dataclass(frozen=True)
class UserStatistics:
    """One participant's media. `audio` as in `remote_audio`, ages in seconds."""

    connection: str
    packets_received: int
    packets_lost: int
    packets_late: int
    frames_recovered: int
    frames_concealed: int
    frames_filled: int
    frames_dropped: int
    packets_corrupt: int
    reorder_wait_ms: float
    delay_ms: float
    last_packet_age_s: float | None
    events_dropped: int
    heard_after_ms: float | None
    """How long after it left our voice is heard there, as far as is known."""


@dataclass(frozen=True)
class ChannelStatistics:
    """The media of this participation at this moment."""

    connection_state: str
    is_muted: bool
    queued_ms: float
    played_ms: float
    packets_sent: int
    underruns: int
    overrun_ms: float
    playout_stalls: int
    users: Mapping[int, UserStatistics]
