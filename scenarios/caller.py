"""One simulated person who calls an agent over real WebRTC, and remembers all that was said and heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from line.participants import RemoteUser
from line.statistics import UserStatistics
from rtc.bad_network import BadNetwork, Conditions
from rtc.engine import RtcEngine
from rtc.errors import RoomError
from rtc.options import MediaOptions, RtcOptions
from scenarios.format import Network, Noise
from scenarios.microphone import Microphone, Utterance
from scenarios.reply_log import ReplyLog
from scenarios.sound import SAMPLE_RATE_HZ, HeardSound
from untrusted.json_reader import InvalidJsonError, read_object
from utils import OwnedTasks

CONNECT_TIMEOUT_S: Final = 30.0
"""From joining to media with the agent, and its `agent_ready`."""

QUIET_WITHIN_S: Final = 60.0
"""Longest wait for the end of what the agent says."""

MAX_EVENTS: Final = 20_000
"""Kept of a call; later ones are followed, but not kept."""

_POLL_S: Final = 0.1
"""Between two looks at conditions that time alone can meet, such as silence."""

_log = logging.getLogger("scenario")


class CallerError(Exception):
    """The person could not join, or the agent is not there. The text is for the user."""


class Caller:
    """Join once, leave once, then it is spent. All times are loop times, in seconds.

    Attributes:
        events: Server events that came, with their times, oldest first.
        heard: The agent's sound.
        log: Replies and tool calls, as the agent's events tell of them.
        utterances: All that this person said aloud.
        connect_s: From joining to media with the agent.
    """

    def __init__(
        self,
        server_url: str,
        channel_name: str,
        *,
        name: str = "caller",
        uid: int | None = None,
        token: str | None = None,
        network: Network | None = None,
        noise: Noise | None = None,
        keeps_sound: bool = True,
        on_event: Callable[[dict[str, Any], float], None] | None = None,
    ) -> None:
        """network: None: as it is, and `set_network` cannot be used
        keeps_sound: False where nothing of it is looked at afterwards but when it was loud"""
        self.name = name
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.heard = HeardSound(keeps_pcm=keeps_sound)
        self.log = ReplyLog()
        self.utterances: list[Utterance] = []
        self.joined_s = 0.0
        self.connect_s: float | None = None
        self.agent_left_s: float | None = None
        self.statistics: UserStatistics | None = None
        self._network = None if network is None else BadNetwork(_conditions(network))
        self._channel = RtcEngine(
            server_url, MediaOptions(bad_network=self._network)
        ).create_channel(
            RtcOptions(
                channel_name=channel_name,
                uid=uid,
                role="user",
                name=name,
                token=token,
                sample_rate_hz=SAMPLE_RATE_HZ,
            )
        )
        self._microphone = Microphone(self._channel, noise)
        self._on_event = on_event
        self._agent_uid: int | None = None
        self._is_agent_there = False
        self._connected = asyncio.Event()
        self._refusal: str | None = None
        self._changed = asyncio.Event()
        self._last_activity_s = 0.0
        self._tasks = OwnedTasks(_log)

    # -- coming and going ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def join(self, within_s: float = CONNECT_TIMEOUT_S) -> None:
        """Join the room, and return when the agent is there and can be heard.

        Raises:
            CallerError: There is no room, or no agent in it.
        """
        channel, loop = self._channel, asyncio.get_running_loop()
        channel.on("user_joined", self._handle_user_joined)
        channel.on("user_left", self._handle_user_left)
        channel.on("user_connected", self._handle_connected)
        channel.on("media_refused", self._handle_media_refused)
        channel.on("event", self._handle_event)
        self.joined_s = loop.time()
        try:
            await channel.connect()
        except RoomError as error:
            raise CallerError(f"{self.name} cannot join: {error}") from error
        for user in list(channel.remote_users.values()):
            self._handle_user_joined(user)
        is_there = await self.until(
            lambda: self._connected.is_set() and self.log.ready_s, within_s=within_s
        )
        if not is_there:
            missing = "no agent in this channel" if self._agent_uid is None else "no media with it"
            raise CallerError(f"{self.name}: {self._refusal or missing} within {within_s:g} s")
        self._microphone.start()
        # Who reports its playout is told what of each reply is heard.
        self.send({"type": "client_playout_report", "playout_delay_ms": 20.0})

    async def leave(self) -> None:
        """Hang up. Idempotent."""
        self._note_statistics()
        self._microphone.close()
        await self._tasks.close()
        await self._channel.disconnect()
        if self._network is not None:
            self._network.close()

    @property
    def uid(self) -> int:
        """The person's number in the room."""
        return self._channel.uid

    @property
    def is_agent_there(self) -> bool:
        """True while the agent is in the room."""
        return self._is_agent_there

    # -- what the person does ----------------------------------------------------------------------

    async def say(self, pcm: bytes, text: str = "", *, is_push_to_talk: bool = False) -> Utterance:
        """Say something (PCM16 mono at 24 kHz), and return when the last of it has left."""
        if is_push_to_talk:
            self.send({"type": "client_activity_start"})
        utterance = self._microphone.say(pcm, text)
        self.utterances.append(utterance)
        await utterance.done.wait()
        if is_push_to_talk:
            self.send({"type": "client_activity_end"})
        return utterance

    def stop_speaking(self) -> None:
        """Fall silent in the middle of a word."""
        self._microphone.stop()

    def type(self, text: str) -> None:
        """Send a text, as one who writes does."""
        self.send({"type": "client_text_append", "text": text})

    def send(self, event: Mapping[str, Any]) -> None:
        """Send a client event (docs/events.md).

        Raises:
            CallerError: The agent could not be reached.
        """
        if not self._channel.send_event(json.dumps(event)):
            raise CallerError(f"{self.name}: the agent could not be reached")

    def set_network(self, network: Network) -> None:
        """From now on the network is like this.

        Raises:
            CallerError: The caller was made without one.
        """
        if self._network is None:
            raise CallerError(f"{self.name} has no network that can be changed")
        self._network.set_conditions(_conditions(network))

    # -- waiting -----------------------------------------------------------------------------------

    async def until(self, is_met: Callable[[], object], *, within_s: float) -> bool:
        """Return true as soon as `is_met()` is true, and false when it was not in time."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        while not is_met():
            left_s = end_s - loop.time()
            if left_s <= 0:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _POLL_S)):
                    await self._changed.wait()
        return True

    async def until_speaking(
        self, *, within_s: float, since_s: float | None = None, for_ms: float = 0.0
    ) -> bool:
        """Wait until the agent's voice has sounded for so long since then (None: from now on)."""
        start_s = self._now_s() if since_s is None else since_s
        return await self.until(
            lambda: (
                self.heard.first_loud_s(start_s) is not None
                and self.heard.loud_ms(start_s) >= for_ms
            ),
            within_s=within_s,
        )

    async def until_heard(
        self, word: str, *, within_s: float, since_s: float | None = None
    ) -> bool:
        """Wait until a word of the agent's has been heard, by its transcript and what has sounded."""
        start_s = self._now_s() if since_s is None else since_s
        return await self.until(
            lambda: self.log.has_heard(word, start_s, self.heard.loud_ms(start_s) / 1000),
            within_s=within_s,
        )

    async def until_quiet(self, quiet_s: float, *, within_s: float) -> bool:
        """Wait until the agent has nothing more to say, and has been silent for so long."""
        begin_s = self._now_s()

        def is_quiet() -> bool:
            last_s = max(begin_s, self.heard.last_loud_s or 0.0, self._last_activity_s)
            return not self.log.is_busy and self._now_s() - last_s >= quiet_s

        return await self.until(is_quiet, within_s=within_s)

    async def until_answered(self, since_s: float, *, quiet_s: float, within_s: float) -> bool:
        """Wait until the agent has replied since then and is quiet; false: no reply began in time."""

        def has_reply() -> bool:
            return any(at_s >= since_s for at_s, _ in self.log.responses)

        if not await self.until(lambda: has_reply() or not self.is_agent_there, within_s=within_s):
            return False
        await self.until_quiet(quiet_s, within_s=max(within_s, QUIET_WITHIN_S))
        return has_reply()

    async def until_back(self, since_s: float, *, within_s: float) -> bool:
        """Wait until the agent, in another process, is ready again."""
        return await self.until(
            lambda: (
                self.is_agent_there
                and self._connected.is_set()
                and any(at_s > since_s for at_s in self.log.ready_s)
            ),
            within_s=within_s,
        )

    # -- what was -----------------------------------------------------------------------------------

    @property
    def sent(self) -> list[tuple[float, bytes]]:
        """All sound that this person made, with its noise."""
        return self._microphone.sent

    def latency_s(self, since_s: float) -> float | None:
        """Return how long after that moment the agent was first heard; None: not, or it was speaking."""
        if self.heard.was_loud(since_s):
            return None
        first_s = self.heard.first_loud_s(since_s)
        return None if first_s is None else first_s - since_s

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    # -- what happens -------------------------------------------------------------------------------

    def _handle_user_joined(self, user: RemoteUser) -> None:
        if user.role != "agent" or self._agent_uid not in (None, user.uid) or self._is_agent_there:
            return
        self._agent_uid, self._is_agent_there = user.uid, True
        self._tasks.start(self._listen(user.uid), name="listen")
        self._changed.set()

    def _handle_user_left(self, user: RemoteUser, _reason: str) -> None:
        if user.uid == self._agent_uid:
            self._note_statistics()
            self._is_agent_there = False
            self._connected.clear()
            self.agent_left_s = self._now_s()
            self.log.handle_agent_left()
            self._changed.set()

    def _handle_connected(self, uid: int) -> None:
        if self._agent_uid is None:
            users = self._channel.remote_users
            if uid in users:
                self._handle_user_joined(users[uid])
        if uid == self._agent_uid:
            if self.connect_s is None:
                self.connect_s = self._now_s() - self.joined_s
            self._connected.set()
            self._changed.set()

    def _handle_media_refused(self, reason: str, uid: int) -> None:
        if uid == self._agent_uid:
            self._refusal = f"the agent refused a media connection: {reason}"

    def _handle_event(self, text: str, _uid: int) -> None:
        now_s = self._now_s()
        try:
            event = read_object(text)
            self.log.handle(event, now_s)
        except (InvalidJsonError, KeyError, TypeError, ValueError) as error:
            _log.warning("an event of the agent was not understood: %s", type(error).__name__)
            return
        if event.get("type") != "agent_playout_progress":
            self._last_activity_s = now_s
            if len(self.events) < MAX_EVENTS:
                self.events.append((now_s, event))
        if self._on_event is not None:
            self._on_event(event, now_s)
        self._changed.set()

    async def _listen(self, uid: int) -> None:
        with contextlib.suppress(RoomError):
            await self._channel.subscribe_audio(uid)
            async for frame in self._channel.get_audio_frames(uid):
                self.heard.add(frame.pcm, frame.received_at)
                self._changed.set()

    def _note_statistics(self) -> None:
        """Keep the media figures of the agent's last stay."""
        with contextlib.suppress(RoomError):
            users = self._channel.statistics().users
            if self._agent_uid is not None:
                self.statistics = users.get(self._agent_uid)


def _conditions(network: Network) -> Conditions:
    return Conditions(
        loss=network.loss,
        delay_s=network.delay_ms / 1000,
        jitter_s=network.jitter_ms / 1000,
        seed=network.seed,
    )
