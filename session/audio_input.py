"""Audio from the room to the model: one pump per speaker, mixed, in batches of 20 ms frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from audio import PcmDump, Resampler
from conversation.heard_text import pcm_ms
from conversation.mixer import Mixer
from conversation.turn_taking.speakers import Speakers, VoiceChange
from line.errors import LineError
from line.frames import PcmAudioFrame
from line.timing import HOLD_PACKETS, SAVING_HOLD_PACKETS
from realtime.events import AppendAudio
from realtime.model import ModelDisconnectedError
from session.context import SessionContext
from session.turn_policy import TurnPolicy
from untrusted.boundary import InputKind
from utils import OwnedTasks


class AudioInput:
    """Subscribes to every user in the room. Under back-pressure old audio is dropped; memory stays
    bounded.

    With manual turns, users are forwarded between `start_activity` and `end_activity` only.
    """

    def __init__(
        self,
        context: SessionContext,
        dump: PcmDump | None,
        speakers: Speakers,
        *,
        policy: TurnPolicy,
        on_voice: Callable[[VoiceChange], None],
    ) -> None:
        self._policy = policy
        self._context = context
        self._dump = dump
        self._speakers = speakers
        self._on_voice = on_voice
        self._mixer = Mixer()
        # Created with the first frame, which brings the room's rate.
        self._to_model: Resampler | None = None
        self._tasks = OwnedTasks(context.log)
        self._pumps: dict[int, object] = {}
        # Users with an open manual turn.
        self._active: set[int] = set()
        self._activity_ms = 0.0
        self._is_saving_work = False
        # While a person has the call: what people say is not for the model.
        self.is_deaf = False
        # What `_hold_silence` applied last.
        self._settled_after_s = policy.settled_after_s

    def listen_to(self, uid: int) -> None:
        """Start forwarding this user; idempotent."""
        if uid not in self._pumps:
            self._pumps[uid] = self._tasks.start(self._pump(uid), name=f"hear {uid}")
            self._hold_silence()

    def is_speaking(self, uid: int) -> bool:
        """Return true while this user has a voice."""
        return self._speakers.is_speaking(uid)

    @property
    def is_saving_work(self) -> bool:
        """True while silence is taken in larger batches, to save processor time."""
        return self._is_saving_work

    def save_work(self, *, is_wanted: bool) -> None:
        """Take silence in larger batches while that is wanted. Idempotent."""
        if is_wanted != self._is_saving_work:
            self._is_saving_work = is_wanted
            self._hold_silence()

    # -- manual turns ------------------------------------------------------------------------------

    @property
    def is_manual(self) -> bool:
        """True if clients mark turns themselves."""
        return self._policy.is_manual

    @property
    def is_any_active(self) -> bool:
        """True while any user has a manual turn open."""
        return bool(self._active)

    @property
    def activity_ms(self) -> float:
        """Audio that the model received since the last activity began."""
        return self._activity_ms

    def start_activity(self, uid: int) -> None:
        """Forward this user from now on."""
        if not self._active:
            self._activity_ms = 0.0
        self._active.add(uid)

    def end_activity(self, uid: int) -> bool:
        """Stop forwarding this user; return false if there was no activity."""
        is_active = uid in self._active
        self._active.discard(uid)
        self._mixer.remove(uid)
        return is_active

    # -- pumps -------------------------------------------------------------------------------------

    async def _pump(self, uid: int) -> None:
        line = self._context.line
        self._speakers.add(uid)
        try:
            await line.subscribe_audio(uid)
            self._hold_silence()
            await line.deliver_audio(uid, self._take)
        except LineError as error:
            self._context.log.debug("cannot hear %d: %s", uid, error)
        finally:
            self._remove(uid)

    async def _take(self, frames: list[PcmAudioFrame]) -> bool:
        """Forward frames; returns False when the model is gone."""
        with self._context.boundary.guard(InputKind.ROOM_EVENT, "voice"):
            try:
                await self._forward(frames)
            except ModelDisconnectedError:
                # The event pump sees the same end with its reason, and decides what follows.
                self._context.log.debug("stopped hearing %d: the model is gone", frames[0].uid)
                return False
        return True

    def _remove(self, uid: int) -> None:
        self._pumps.pop(uid, None)
        self._active.discard(uid)
        self._mixer.remove(uid)
        self._hold_silence()
        if (change := self._speakers.remove(uid, asyncio.get_running_loop().time())) is not None:
            self._on_voice(change)

    def _hold_silence(self) -> None:
        """Take a lone user's silence in batches; in a mix, a late frame would delay the others."""
        self._settled_after_s = after_s = self._policy.settled_after_s
        max_frames = SAVING_HOLD_PACKETS if self._is_saving_work else HOLD_PACKETS
        for uid in self._pumps:
            wanted_s = after_s if len(self._pumps) == 1 else None
            self._context.line.hold_silence(uid, wanted_s, max_frames)

    async def _forward(self, frames: list[PcmAudioFrame]) -> None:
        if self._policy.settled_after_s != self._settled_after_s:
            self._hold_silence()
        if self.is_deaf:
            return
        mixed = b"".join([pcm for frame in frames for pcm in self._mix(frame)])
        if not mixed:
            return
        sample_rate_hz = frames[0].sample_rate_hz
        if self._dump is not None:
            self._dump.write(mixed)
        self._activity_ms += pcm_ms(len(mixed), sample_rate_hz)
        if resampled := self._for_model(mixed, sample_rate_hz):
            await self._context.model.send(AppendAudio(resampled))

    def _mix(self, frame: PcmAudioFrame) -> list[bytes]:
        if (change := self._speakers.push(frame.uid, frame.pcm, frame.received_at)) is not None:
            self._on_voice(change)
        if self._policy.is_manual and frame.uid not in self._active:
            return []
        add = self._mixer.fill if frame.is_idle else self._mixer.push
        return add(frame.uid, frame.pcm, frame.received_at)

    def _for_model(self, pcm: bytes, sample_rate_hz: int) -> bytes:
        """Return the mix at the model's sample rate."""
        if self._to_model is None:
            wanted_hz = self._context.model.capabilities.input_sample_rate_hz
            self._to_model = Resampler(sample_rate_hz, wanted_hz)
        return self._to_model.push(pcm)

    async def close(self) -> None:
        """Stop all pumps."""
        await self._tasks.close()
