"""Terminal caller: joins a channel as a user, plays a WAV file, records the agent's audio."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from audio import read_wav, write_wav
from line.participants import RemoteUser
from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.errors import RoomError
from rtc.options import RtcOptions
from untrusted.json_reader import InvalidJsonError, read_object
from utils import OwnedTasks, run_unless

SAMPLE_RATE_HZ = 24_000
# From joining to media with the agent: ICE, DTLS and a slow machine.
_CONNECT_TIMEOUT_S = 10.0
# A greeting begins so soon after the connection, or there is none.
_GREETING_WITHIN_S = 1.0
# Silence that ends a call; a reply after a tool call may follow one before it.
_QUIET_AFTER_REPLY_S = 1.5
# Playout key of the question, reported back when it has been sent.
_QUESTION = "question"

_log = logging.getLogger("call")


class CallError(Exception):
    """The call failed or got no reply; the text is for the user."""


def _speaker(event: dict[str, Any]) -> str:
    """Return the agent's name where it is one of several in the call."""
    is_one_of_several = ":" in str(event["agent_id"])
    return str(event["agent_name"]) if is_one_of_several else "agent"


class Transcript:
    """Prints events of a call as lines, and tracks whether a reply is still expected."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._open_responses: set[str] = set()
        self._unplayed: set[str] = set()
        self.has_reply = False
        self.changed = asyncio.Event()
        self.reply_began = asyncio.Event()

    @property
    def is_waiting(self) -> bool:
        """True if a reply is being generated or played."""
        return bool(self._open_responses or self._unplayed)

    def handle_agent_left(self) -> None:
        """Forget open replies: their end will not be reported."""
        self._open_responses.clear()
        self._unplayed.clear()
        self.changed.set()

    def handle_event(self, text: str, _uid: int) -> None:
        """Handle one server event from the data channel."""
        self.changed.set()
        try:
            event = read_object(text)
            if (handler := getattr(self, f"_handle_{event.get('type')}", None)) is not None:
                handler(event)
        except (InvalidJsonError, KeyError, TypeError) as error:
            _log.warning("an event of the agent was not understood: %s", type(error).__name__)

    def _handle_agent_input_transcription_done(self, event: dict[str, Any]) -> None:
        self._on_line(f"you:   {event['transcript']}")

    def _handle_agent_response_created(self, event: dict[str, Any]) -> None:
        self._open_responses.add(event["response_id"])
        self.reply_began.set()

    def _handle_agent_response_done(self, event: dict[str, Any]) -> None:
        self._open_responses.discard(event["response_id"])

    def _handle_agent_response_audio_transcript_delta(self, event: dict[str, Any]) -> None:
        self._unplayed.add(event["item_id"])

    def _handle_agent_response_audio_transcript_done(self, event: dict[str, Any]) -> None:
        self._on_line(f"{_speaker(event)}: {event['transcript']}")

    def _handle_agent_interrupted(self, event: dict[str, Any]) -> None:
        self._unplayed.discard(event["item_id"])
        self.has_reply = True
        self._on_line(f"{_speaker(event)}, interrupted, was heard saying: {event['heard']}")

    def _handle_agent_playout_done(self, event: dict[str, Any]) -> None:
        self._unplayed.discard(event["item_id"])
        self.has_reply = True

    def _handle_agent_response_tool_use_done(self, event: dict[str, Any]) -> None:
        use = event["tool_use"]
        # Also empty if the start's `show_tools` hides arguments.
        given = f"({json.dumps(use['input'])})" if use["input"] else ""
        self._on_line(f"tool:  {use['name']}{given}")

    def _handle_agent_response_tool_result(self, event: dict[str, Any]) -> None:
        if output := event["tool_result"]["output"]:
            self._on_line(f"tool:  -> {output}")

    def _handle_agent_error(self, event: dict[str, Any]) -> None:
        self._on_line(f"error: {event['code']}: {event['message']}")


class Call:
    """One call from start to hang-up."""

    def __init__(
        self,
        server_url: str,
        *,
        channel_name: str,
        on_line: Callable[[str], None],
        uid: int | None = None,
        token: str | None = None,
        max_wait_s: float = 20.0,
    ) -> None:
        """max_wait_s: longest wait for a reply after the end of the question"""
        self._channel = RtcEngine(server_url).create_channel(
            RtcOptions(
                channel_name=channel_name,
                uid=uid,
                role="user",
                name="terminal caller",
                token=token,
                sample_rate_hz=SAMPLE_RATE_HZ,
            )
        )
        self._max_wait_s = max_wait_s
        self._transcript = Transcript(on_line)
        self._heard = bytearray()
        self._stopped: asyncio.Future[None] | None = None
        self._agent_uid: int | None = None
        self._is_recording = False
        self._connected = asyncio.Event()
        self._refusal: str | None = None
        self._asked = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    def stop(self) -> None:
        """Hang up; audio recorded so far is still written."""
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def run(self, question: Path, answer: Path) -> None:
        """Play `question`, wait for the reply, write all received audio to `answer`.

        Raises:
            CallError: Unreadable file, no room, no agent, or no reply in time.
        """
        pcm = _load(question)
        _require_writable(answer)
        self._stopped = asyncio.get_running_loop().create_future()
        try:
            async with self._joined():
                await run_unless(self._stopped, self._talk(pcm))
        except RoomError as error:
            raise CallError(str(error)) from error
        finally:
            if self._heard:
                _save(answer, bytes(self._heard))

    async def _talk(self, pcm: bytes) -> None:
        if not await _happens(self._connected, _CONNECT_TIMEOUT_S):
            raise CallError(self._refusal or "no agent in this channel")
        await self._listen_to_greeting()
        self._channel.push_audio_frame(pcm, key=_QUESTION)
        self._channel.finish_audio(_QUESTION)
        length_s = len(pcm) / 2 / SAMPLE_RATE_HZ
        await _wait(self._asked, length_s + 5, "the question could not be sent")
        await self._wait_for_reply()

    @contextlib.asynccontextmanager
    async def _joined(self) -> AsyncIterator[None]:
        channel: Channel = self._channel
        channel.on("user_joined", self._handle_user_joined)
        channel.on("user_left", self._handle_user_left)
        channel.on("user_connected", lambda _uid: self._connected.set())
        channel.on("media_refused", self._handle_media_refused)
        channel.on("event", self._transcript.handle_event)
        channel.on("playout_done", lambda _key: self._asked.set())
        await channel.connect()
        try:
            for user in list(channel.remote_users.values()):
                self._handle_user_joined(user)
            yield
        finally:
            await self._tasks.close()
            await channel.disconnect()

    def _handle_user_joined(self, user: RemoteUser) -> None:
        is_ours = user.role == "agent" and self._agent_uid in (None, user.uid)
        if is_ours and not self._is_recording:
            self._agent_uid, self._is_recording = user.uid, True
            self._tasks.start(self._record(user.uid), name="record")

    def _handle_user_left(self, user: RemoteUser, _reason: str) -> None:
        """Stop recording; an agent that comes back under its uid continues the call."""
        if user.uid == self._agent_uid:
            self._is_recording = False
            self._transcript.handle_agent_left()

    def _handle_media_refused(self, reason: str, uid: int) -> None:
        if uid == self._agent_uid:
            self._refusal = f"the agent refused a media connection: {reason}"

    async def _record(self, uid: int) -> None:
        await self._channel.subscribe_audio(uid)
        async for frame in self._channel.get_audio_frames(uid):
            self._heard += frame.pcm

    async def _listen_to_greeting(self) -> None:
        """Wait until a greeting, if there is one, has been played."""
        transcript = self._transcript
        await _happens(transcript.reply_began, _GREETING_WITHIN_S)
        while transcript.is_waiting:
            transcript.changed.clear()
            await _wait(transcript.changed, self._max_wait_s, "the greeting does not end")
        transcript.has_reply = False

    async def _wait_for_reply(self) -> None:
        """Wait until the agent has replied and then been silent for a moment."""
        transcript = self._transcript
        while True:
            transcript.changed.clear()
            if transcript.is_waiting or not transcript.has_reply:
                problem = f"no reply within {self._max_wait_s:.0f} s"
                await _wait(transcript.changed, self._max_wait_s, problem)
            elif not await _happens(transcript.changed, _QUIET_AFTER_REPLY_S):
                return


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _wait(event: asyncio.Event, timeout_s: float, problem: str) -> None:
    if not await _happens(event, timeout_s):
        raise CallError(problem)


def _load(path: Path) -> bytes:
    """Return the samples of a WAV file as PCM16 mono at `SAMPLE_RATE_HZ`."""
    try:
        return read_wav(path, SAMPLE_RATE_HZ)
    except OSError as error:
        raise CallError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CallError(str(error)) from error


def _require_writable(path: Path) -> None:
    """Check before the call that its recording can be written."""
    is_new = not path.exists()
    try:
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()
    except OSError as error:
        raise CallError(f"{path}: the answer cannot be written ({error.strerror})") from error


def _save(path: Path, pcm: bytes) -> None:
    """Write the recording; into a temporary file if its path has become unwritable."""
    try:
        write_wav(path, pcm, SAMPLE_RATE_HZ)
    except OSError as error:
        descriptor, name = tempfile.mkstemp(prefix="parley-answer-", suffix=".wav")
        os.close(descriptor)
        write_wav(Path(name), pcm, SAMPLE_RATE_HZ)
        problem = f"{path}: the answer could not be written ({error.strerror})"
        raise CallError(f"{problem}; it is in {name}") from error
