"""Statistics of a channel, assembled from its parts."""

from __future__ import annotations

from collections.abc import Mapping

from line.playout.outgoing import Outgoing, OutgoingStatistics
from line.statistics import LineStatistics, UserStatistics
from rtc.peer.peer import Peer
from rtc.receive.remote_audio import RemoteAudio


def channel_statistics(
    outgoing: Outgoing | None,
    *,
    connection_state: str,
    is_muted: bool,
    users: Mapping[int, UserStatistics],
) -> LineStatistics:
    """The whole; outgoing None: not connected yet."""
    audio = OutgoingStatistics() if outgoing is None else outgoing.statistics
    return LineStatistics(
        connection_state=connection_state,
        is_muted=is_muted,
        queued_ms=audio.queued_ms,
        played_ms=audio.played_ms,
        packets_sent=audio.frames_sent,
        underruns=audio.underruns,
        overrun_ms=audio.overrun_ms,
        playout_stalls=audio.stalls,
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
