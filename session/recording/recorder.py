"""Records a call while it goes on: frames in from the media path, a WAV file out in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from config.agent import AgentConfig
from realtime.model import RealtimeModel
from session.recording.path import recording_path
from session.recording.timeline import Block, Timeline
from session.recording.wav import NotARecordingError
from session.recording.wav_file import WavFile
from utils import OwnedTasks, wall_clock_ms

# A crash loses at most so much of the recording, plus `_HOLD_S`.
FLUSH_S: Final = 0.5
# Frames of the last moments may still arrive.
_HOLD_S: Final = 0.4
# A start waits for the file, but not for a hanging disk.
_OPEN_TIMEOUT_S: Final = 1.0
# A restarted process of the call is back sooner, or never.
_LONGEST_GAP_S: Final = 600.0

T = TypeVar("T")


def recorder_of(config: AgentConfig, model: RealtimeModel, log: logging.Logger) -> Recorder | None:
    """Return the recorder of an agent's call; None if the call is not recorded."""
    if config.recordings_dir is None:
        return None
    path = recording_path(config.recordings_dir, config.agent_id)
    return Recorder(path, model.capabilities.output_sample_rate_hz, log)


class RecordingState(StrEnum):
    """INCOMPLETE: part of the audio is missing, and the rest will be."""

    OFF = "off"
    ON = "on"
    INCOMPLETE = "incomplete"


class Recorder:
    """An `line.audio_tap.AudioTap`. A failing disk never stops the call."""

    def __init__(self, path: Path, sample_rate_hz: int, log: logging.Logger) -> None:
        self.state = RecordingState.ON
        self._path = path
        self._sample_rate_hz = sample_rate_hz
        self._log = log
        self._file: WavFile | None = None
        # Created with the first frame.
        self._timeline: Timeline | None = None
        self._tasks = OwnedTasks(log)
        # One thread: file calls stay in order and never block the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording")

    async def open(self) -> None:
        """Create the file, or continue that of the call's last process; a failure marks the
        recording as incomplete.
        """
        description = f"Call {self._path.stem}"
        self._file = await self._try(
            lambda: WavFile.open(self._path, self._sample_rate_hz, description), _OPEN_TIMEOUT_S
        )
        if self._file is not None:
            self._tasks.start(self._run(), name="recording")

    def handle_received_audio(self, uid: int, pcm: bytes, at_s: float) -> None:
        """Add a frame of a participant."""
        if (timeline := self._going_on(at_s)) is not None:
            timeline.add_user(uid, pcm, at_s)

    def handle_sent_audio(self, pcm: bytes, at_s: float) -> None:
        """Add a frame of the agent."""
        if (timeline := self._going_on(at_s)) is not None:
            timeline.add_agent(pcm, at_s)

    async def close(self) -> None:
        """Write all waiting frames and close the file. Idempotent."""
        await self._tasks.close()
        try:
            if self._timeline is not None:
                await self._flush(self._timeline.end_s)
            file, self._file, self._timeline = self._file, None, None
            if file is not None:
                await self._try(file.close)
        finally:
            self._thread.shutdown(wait=False)

    # -- beginning ---------------------------------------------------------------------------------

    def _going_on(self, at_s: float) -> Timeline | None:
        if self._timeline is None and self._file is not None:
            self._timeline = self._begin(self._file, at_s)
        return self._timeline

    def _begin(self, file: WavFile, at_s: float) -> Timeline:
        """Return the timeline: sample 0 is now; in a file with samples, it is placed by the wall
        clock.
        """
        now_ms = wall_clock_ms()
        if not file.samples:
            file.begin(now_ms)
            return Timeline(self._sample_rate_hz, origin_s=min(at_s, self._now_s()))
        length_s = file.samples / self._sample_rate_hz
        gap_s = (now_ms - file.head.began_ms) / 1000 - length_s
        # The clock may have been set meanwhile.
        age_s = length_s + min(max(gap_s, 0.0), _LONGEST_GAP_S)
        self._log.info("the recording goes on after %.1f s", gap_s)
        return Timeline(
            self._sample_rate_hz,
            origin_s=at_s - age_s,
            first_sample=round(age_s * self._sample_rate_hz),
        )

    # -- writing -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._flush(self._now_s() - _HOLD_S)

    async def _flush(self, until_s: float) -> None:
        timeline, file = self._timeline, self._file
        while timeline is not None and file is not None:
            if (block := timeline.take(until_s)) is None:
                return
            await self._write(file, block)
            if timeline.lost_samples:
                await self._mark_incomplete("the disk was too slow")

    async def _write(self, file: WavFile, block: Block) -> None:
        await self._try(lambda: file.write(block))

    async def _try(self, work: Callable[[], T], timeout_s: float | None = None) -> T | None:
        """Run `work` in the recording thread; return None if the disk fails."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._in_thread(work)
        except TimeoutError:
            await self._mark_incomplete("the disk does not answer")
        except (OSError, NotARecordingError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            await self._mark_incomplete(reason or str(error))
        return None

    async def _mark_incomplete(self, reason: str) -> None:
        if self.state is RecordingState.INCOMPLETE:
            return
        self.state = RecordingState.INCOMPLETE
        self._log.warning("the recording is incomplete, the call goes on: %s", reason)
        if (file := self._file) is not None:
            at_s = file.samples / self._sample_rate_hz
            text = f"{file.head.description}; incomplete from {at_s:.1f} s: {reason}"
            await self._in_thread(lambda: file.describe(text))

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
