"""The figures of a channel, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping

from rtc.options import ChannelStatistics, UserStatistics
from rtc.outgoing import Outgoing
from rtc.peer import Peer
from rtc.remote_audio import RemoteAudio


def channel_statistics(
    outgoing: Outgoing | None,
    *,
    connection_state: str,
    is_muted: bool,
    users: Mapping[int, UserStatistics],
) -> ChannelStatistics:
    """The whole; outgoing None: not connected yet."""
    clock = None if outgoing is None else outgoing.clock
    counts = None if clock is None else clock.buffer.statistics
    per_ms = 1 if clock is None else clock.buffer.sample_rate_hz / 1000
    return ChannelStatistics(
        connection_state=connection_state,
        is_muted=is_muted,
        queued_ms=0.0 if clock is None else clock.buffer.queued_ms,
        played_ms=0.0 if counts is None else counts.played_samples / per_ms,
        packets_sent=0 if clock is None else clock.line.packets_sent,
        underruns=0 if counts is None else counts.underruns,
        overrun_ms=0.0 if counts is None else counts.overrun_samples / per_ms,
        playout_stalls=0 if clock is None else clock.line.stalls,
        users=users,
    )


def user_statistics(audio: RemoteAudio, peer: Peer | None, now_s: float) -> UserStatistics:
    """One participant; peer None: no connection at the moment."""
    counts, jitter = audio.statistics, audio.statistics.jitter
    last_s = audio.last_packet_at_s
    return UserStatistics(
        connection="none" if peer is None else peer.state,
        packets_received=jitter.received,
        packets_lost=jitter.lost,
        packets_late=jitter.late,
        frames_recovered=counts.recovered,
        frames_concealed=counts.concealed,
        frames_filled=jitter.filled,
        frames_dropped=audio.dropped + jitter.dropped,
        packets_corrupt=counts.corrupt,
        reorder_wait_ms=audio.reorder_wait_ms,
        delay_ms=audio.delay_ms,
        last_packet_age_s=None if last_s is None else now_s - last_s,
        events_dropped=0 if peer is None else peer.events_dropped,
        heard_after_ms=None if peer is None else peer.delay.delay_s * 1000,
    )
