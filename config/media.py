"""Media settings: network paths of the agents' media, and Opus encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from config.secrets import SharedSecret
from rtc.ice_url import parse_ice_url
from rtc.media_network import IpAddress, MediaNetwork, PortRange

OpusBitrate = Annotated[int, Field(ge=6_000, le=256_000)]
OpusComplexity = Annotated[int, Field(ge=0, le=10)]
Percent = Annotated[int, Field(ge=0, le=100)]


class OpusConfig(BaseModel):
    """Encoder options. expected_loss_percent: above 0, in-band FEC is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bitrate_bps: OpusBitrate = 48_000
    complexity: OpusComplexity = 1
    expected_loss_percent: Percent = 10


class MediaSettings(BaseModel):
    """Part of `config.settings.Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Network paths: docs/network.md.
    media_bind_address: IpAddress | None = None
    media_ports: PortRange | None = None
    media_advertised_address: IpAddress | None = None
    media_relay_only: bool = False
    stun_urls: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    turn_secret: SharedSecret | None = None
    turn_credential_ttl_s: int = Field(default=21_600, ge=60, le=7 * 86_400)

    # Encoding: docs/media.md.
    opus_bitrate_bps: OpusBitrate = 48_000
    opus_complexity: OpusComplexity = 1
    opus_expected_loss_percent: Percent = 10

    @field_validator("stun_urls", "turn_urls")
    @classmethod
    def _check_ice_urls(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        is_turn = info.field_name == "turn_urls"
        if any(parse_ice_url(url).is_turn is not is_turn for url in urls):
            raise ValueError(f"need addresses that begin with {'turn' if is_turn else 'stun'}:")
        return urls

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if problems := list(self.contradictions()):
            raise ValueError("\n".join(problems))
        return self

    def contradictions(self) -> Iterator[str]:
        """Yield a line for each contradiction between settings; it begins with one of them."""
        if self.turn_urls and self.turn_secret is None:
            yield "TURN_URLS: needs TURN_SECRET, the secret shared with the TURN server"
        if self.media_relay_only and not self.turn_urls:
            yield "MEDIA_RELAY_ONLY: needs TURN_URLS and TURN_SECRET"

    @property
    def media_network(self) -> MediaNetwork:
        """Network paths that agents' media may take."""
        return MediaNetwork(
            bind_address=self.media_bind_address,
            ports=self.media_ports,
            advertised_address=self.media_advertised_address,
            is_relay_only=self.media_relay_only,
        )

    @property
    def opus(self) -> OpusConfig:
        """Encoder options of agents."""
        return OpusConfig(
            bitrate_bps=self.opus_bitrate_bps,
            complexity=self.opus_complexity,
            expected_loss_percent=self.opus_expected_loss_percent,
        )
