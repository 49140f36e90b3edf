"""Options of a channel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from line.audio_tap import AudioTap
from line.participants import Role
from rtc.bad_network import BadNetwork
from rtc.identifiers import ChannelName, Uid
from rtc.media_network import MediaNetwork
from rtc.opus import OPUS_RATES_HZ
from untrusted.validation import first_validation_error

_CHANNEL: TypeAdapter[str] = TypeAdapter(ChannelName)
_UID: TypeAdapter[int] = TypeAdapter(Uid)


@dataclass(frozen=True)
class MediaOptions:
    """Media options. has_loopback: offer 127.0.0.1 too; None: when the room is on it.

    network: addresses, ports and relaying, as configured.
    bad_network: what loses and delays media, for tests.
    """

    has_loopback: bool | None = None
    network: MediaNetwork = field(default_factory=MediaNetwork)
    bad_network: BadNetwork | None = None

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
    """Folder for raw PCM of everything sent and received, when set."""
    tap: AudioTap | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            _CHANNEL.validate_python(self.channel_name)
            if self.uid is not None:
                _UID.validate_python(self.uid)
        except ValidationError as error:
            raise ValueError(f"channel_name or uid: {first_validation_error(error)}") from error
        if self.sample_rate_hz not in OPUS_RATES_HZ:
            raise ValueError(f"sample_rate_hz: one of {OPUS_RATES_HZ}")
