"""Creates the channel that an agent talks through."""

from __future__ import annotations

from config.agent import AgentConfig
from line.audio_tap import AudioTap
from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.options import MediaOptions, RtcOptions


def create_channel(config: AgentConfig, sample_rate_hz: int, *, tap: AudioTap | None) -> Channel:
    """Return the agent's channel, not yet connected.

    sample_rate_hz: of the audio that is played to it
    tap: gets a copy of all audio, for a recording
    """
    options = RtcOptions(
        channel_name=config.channel_name,
        uid=config.uid,
        role="agent",
        name=config.name,
        token=config.room_token.get_secret_value() if config.room_token else None,
        sample_rate_hz=sample_rate_hz,
        bitrate_bps=config.opus.bitrate_bps,
        complexity=config.opus.complexity,
        expected_loss_percent=config.opus.expected_loss_percent,
        dump_dir=config.rtc_pcm_dir,
        tap=tap,
    )
    media = MediaOptions(network=config.media)
    return RtcEngine(config.room_url, media).create_channel(options)
