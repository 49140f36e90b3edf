"""From people to the model: one pump a speaker, mixed, in 20 ms pieces or a few of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from boundary import InputKind
from conversation.heard import pcm_ms
from conversation.mixer import Mixer
from conversation.speakers import Speakers, VoiceChange
from realtime.events import AppendAudio
from realtime.model import ModelDisconnectedError
from realtime.resampling import Resampler
from rtc.channel import PcmAudioFrame
from rtc.errors import RoomError
from session.context import SessionContext
from session.turn_policy import TurnPolicy
from utils import OwnedTasks, PcmDump


class Hearing:
    """Listens to every user in the room. A slow provider costs old audio, never memory.

    With manual turns people are heard only between `start_activity` and `end_activity`.
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
        self._to_model: Resampler | None = None
        self._tasks = OwnedTasks(context.log)
        self._pumps: dict[int, object] = {}
        self._active: set[int] = set()
        self._activity_ms = 0.0

    def listen_to(self, uid: int) -> None:
        """Start hearing this user; one already heard stays heard."""
        if uid not in self._pumps:
            self._pumps[uid] = self._tasks.start(self._pump(uid), name=f"hear {uid}")

    # -- manual turns --------------------------------------------------------------------------

    @property
    def is_manual(self) -> bool:
        """Whether people say themselves when they speak."""
        return self._policy.is_manual

    @property
    def is_anybody_active(self) -> bool:
        """Whether somebody has the floor by hand."""
        return bool(self._active)

    @property
    def activity_ms(self) -> float:
        """How much the model was given to hear since the last activity began."""
        return self._activity_ms

    def start_activity(self, uid: int) -> None:
        """From now on this user is heard."""
        if not self._active:
            self._activity_ms = 0.0
        self._active.add(uid)

    def end_activity(self, uid: int) -> bool:
        """This user is no longer heard; False when it was not anyway."""
        is_active = uid in self._active
        self._active.discard(uid)
        self._mixer.remove(uid)
        return is_active

    # -- pumps ---------------------------------------------------------------------------------

    async def _pump(self, uid: int) -> None:
        channel = self._context.channel
        self._speakers.add(uid)
        try:
            await channel.subscribe_audio(uid)
            async for frames in channel.get_audio_batches(uid):
                with self._context.boundary.guard(InputKind.ROOM_EVENT, "voice"):
                    try:
                        await self._hear(frames)
                    except ModelDisconnectedError:
                        # The event pump sees the same end with its reason, and decides what follows.
                        self._context.log.debug("stopped hearing %d: the model is gone", uid)
                        return
        except RoomError as error:
            self._context.log.debug("cannot hear %d: %s", uid, error)
        finally:
            self._forget(uid)

    def _forget(self, uid: int) -> None:
        self._pumps.pop(uid, None)
        self._active.discard(uid)
        self._mixer.remove(uid)
        if (change := self._speakers.remove(uid, asyncio.get_running_loop().time())) is not None:
            self._on_voice(change)

    async def _hear(self, frames: list[PcmAudioFrame]) -> None:
        mixed = b"".join([pcm for frame in frames for pcm in self._mix(frame)])
        if not mixed:
            return
        sample_rate_hz = frames[0].sample_rate_hz
        if self._dump is not None:
            self._dump.write(mixed)
        self._activity_ms += pcm_ms(len(mixed), sample_rate_hz)
        if heard := self._for_model(mixed, sample_rate_hz):
            await self._context.model.send(AppendAudio(heard))

    def _mix(self, frame: PcmAudioFrame) -> list[bytes]:
        if (change := self._speakers.push(frame.uid, frame.pcm, frame.received_at)) is not None:
            self._on_voice(change)
        if self._policy.is_manual and frame.uid not in self._active:
            return []
        add = self._mixer.fill if frame.is_idle else self._mixer.push
        return add(frame.uid, frame.pcm, frame.received_at)

    def _for_model(self, pcm: bytes, sample_rate_hz: int) -> bytes:
        """The mix at the model's rate, which need not be the room's."""
        if self._to_model is None:
            wanted_hz = self._context.model.capabilities.input_sample_rate_hz
            self._to_model = Resampler(sample_rate_hz, wanted_hz)
        return self._to_model.push(pcm)

    async def close(self) -> None:
        """Stop hearing everybody."""
        await self._tasks.close()
