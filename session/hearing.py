"""From people to the model: one pump a speaker, mixed, in 20 ms pieces."""

from __future__ import annotations

from conversation.mixer import Mixer
from realtime.events import AppendAudio
from realtime.model import ModelDisconnectedError
from session.context import SessionContext
from utils import OwnedTasks, PcmDump


class Hearing:
    """Listens to every user in the room. A slow provider costs old audio, never memory."""

    def __init__(self, context: SessionContext, dump: PcmDump | None) -> None:
        self._context = context
        self._dump = dump
        self._mixer = Mixer()
        self._tasks = OwnedTasks(context.log)
        self._pumps: dict[int, object] = {}

    def listen_to(self, uid: int) -> None:
        """Start hearing this user; one already heard stays heard."""
        if uid not in self._pumps:
            self._mixer.add(uid)
            self._pumps[uid] = self._tasks.start(self._pump(uid), name=f"hear {uid}")

    async def _pump(self, uid: int) -> None:
        channel, model = self._context.channel, self._context.model
        try:
            await channel.subscribe_audio(uid)
            async for frame in channel.get_audio_frames(uid):
                for pcm in self._mixer.push(uid, frame.pcm):
                    if self._dump is not None:
                        self._dump.write(pcm)
                    await model.send(AppendAudio(pcm))
        except ModelDisconnectedError:
            # The event pump sees the same end with its reason, and decides what follows.
            self._context.log.debug("stopped hearing %d: the model is gone", uid)
        finally:
            self._mixer.remove(uid)
            self._pumps.pop(uid, None)

    async def close(self) -> None:
        """Stop hearing everybody."""
        await self._tasks.close()
