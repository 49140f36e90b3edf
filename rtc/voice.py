"""The agent's voice for the room: frames of playout become Opus packets for the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from line.playout.buffer import PlayoutFrame
from line.playout.listener_delay import ListenerDelay
from line.playout.pacer import Slot
from rtc.opus import OpusEncoder

_DTX_BYTES: Final = 2


class OpusVoice:
    """An `Audience`. Encodes only while a listener is connected: other transports take PCM."""

    def __init__(
        self,
        encoder: OpusEncoder,
        *,
        listeners: Callable[[], Mapping[int, ListenerDelay]],
        is_heard: Callable[[], bool],
        on_packet: Callable[[bytes, int], None],
    ) -> None:
        """is_heard: true while packets reach a peer; on_packet: gets each and its RTP time."""
        self.codec_s = encoder.lookahead_samples / encoder.sample_rate_hz
        self.delays = listeners
        self._encoder = encoder
        self._is_heard = is_heard
        self._on_packet = on_packet
        self._is_dtx = False

    def play(self, frame: PlayoutFrame, slot: Slot) -> None:
        """Encode one frame and send it."""
        if not self._is_heard():
            self._is_dtx = False
            return
        packet = self._encoder.encode(frame.pcm)
        # The first packet of a discontinuous transmission informs the decoder; the rest carries nothing.
        is_dtx, was_dtx = len(packet) <= _DTX_BYTES, self._is_dtx
        self._is_dtx = is_dtx
        if not (is_dtx and was_dtx):
            self._on_packet(packet, slot.ticks)

    def close(self) -> None:
        """Free the encoder. Idempotent."""
        self._encoder.close()
