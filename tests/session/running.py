"""A running session without a network: a real channel that is in no room, a model that is scripted."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Self

from config.agent import AgentConfig
from config.providers import ProviderConfig
from conversation.events.commands import CommandRefusedError, LiveCommand
from conversation.events.server_events import ServerEvent
from realtime.events import AddText, CreateResponse, ModelCommand, ModelEvent
from realtime.group.model import GroupModel
from realtime.model import Capabilities, RealtimeModel, RealtimeModelConfig
from rtc.channel import Channel, ChatMessage, MediaOptions, RemoteUser, RtcOptions
from session.context import SessionContext
from session.publisher import Publisher
from session.session import Session
from tests.deadlines import DEADLINE_S
from tests.realtime.scripted_model import Provider
from tools import ToolContext
from untrusted.boundary import Boundary

USER, OTHER, STRANGER = 7, 8, 9
CAPABILITIES = Capabilities(
    input_sample_rate_hz=24_000,
    output_sample_rate_hz=24_000,
    image_types=frozenset({"image/jpeg", "image/png"}),
    has_hosted_tools=True,
    has_truncation=True,
    has_turn_control=True,
)


class _Lines(logging.Handler):
    """Keeps what is logged, away from all other logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class RoomlessChannel(Channel):
    """A channel whose room is this test: it records what would be sent and takes any message."""

    def __init__(self) -> None:
        options = RtcOptions(channel_name="demo", uid=1000, role="agent", sample_rate_hz=24_000)
        super().__init__("http://127.0.0.1:9", options, MediaOptions())
        self.sent: list[tuple[dict[str, Any], int | None]] = []
        self._has_news = asyncio.Event()

    def open(self) -> None:
        """Start playout without a listener."""
        self._outgoing = self._create_outgoing()
        self._outgoing.start()
        for uid in (USER, OTHER):
            self._handle_joined_user(RemoteUser(uid, f"user {uid}", "user"))

    def _handle_joined_user(self, user: RemoteUser) -> None:
        self._mesh.users[user.uid] = user
        self._handle_joined(user)

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        self.sent.append((json.loads(text), uid))
        self._has_news.set()
        return True

    async def wait_event(self, event_type: str) -> None:
        """Until an event of this type was sent."""
        async with asyncio.timeout(DEADLINE_S):
            while not any(event["type"] == event_type for event, _ in self.sent):
                self._has_news.clear()
                await self._has_news.wait()

    def hear_event(self, text: str, uid: int) -> None:
        """Deliver a data channel message of a participant."""
        self._emitter.emit("event", text, uid)

    def hear_chat(self, text: str, uid: int) -> None:
        """Deliver a chat message of a participant."""
        self._emitter.emit("message", ChatMessage(text), uid)

    def lose(self, uid: int) -> None:
        """Remove a participant."""
        if (user := self._mesh.users.pop(uid, None)) is not None:
            self._handle_left(user, "left")

    def told(self, uid: int) -> list[dict[str, Any]]:
        """Events that this participant alone got."""
        return [event for event, to in self.sent if to == uid]


class RunningSession:
    """Leaves nothing behind."""

    def __init__(
        self, tools: ToolContext, *, model: GroupModel | None = None, **config: Any
    ) -> None:
        provider = ProviderConfig(name="openai", model="m", base_uri="ws://127.0.0.1:9")
        values: dict[str, Any] = {
            "agent_id": "a1",
            "channel_name": "demo",
            "uid": 1000,
            "room_url": "http://127.0.0.1:9",
            "provider": provider,
            "tool_results_from": "anyone",
        }
        self.config = AgentConfig(**(values | config))
        self.channel = RoomlessChannel()
        # Without what outlives a provider's session: this is about what the session itself does.
        self.model = Provider(CAPABILITIES).create()
        self._shown: RealtimeModel = model or self.model
        self.published: list[ServerEvent] = []
        self._lines = _Lines()
        self.log = logging.getLogger("tests.session")
        self.log.propagate = False
        self.log.handlers = [self._lines]
        self.boundary = Boundary(self.log)
        self.is_over = False
        self._tools = tools

    async def __aenter__(self) -> Self:
        self.channel.open()
        publisher = Publisher(
            self.channel,
            agent_id="a1",
            agent_name="Ada",
            on_event=self.published.append,
            boundary=self.boundary,
        )
        self.context = context = SessionContext(
            self.config, self.channel, self._shown, publisher, self.log, self.boundary
        )
        self.session = Session(
            context,
            self._tools,
            on_model_gone=self._handle_end,
            on_client_end=self._handle_end,
            on_written=lambda: None,
            on_limit=lambda _reason: self._handle_end(),
        )
        config = RealtimeModelConfig(model="m", base_uri="ws://127.0.0.1:9")
        await self._shown.connect(config)
        self.running = asyncio.get_running_loop().create_task(self.session.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])
        await self.session.close()
        await self._shown.close()
        await self.channel.disconnect()

    @property
    def unforeseen(self) -> list[str]:
        """What failed in a way that the session has no words for, its tools left out."""
        return [line for line in self._lines.lines if " failed: " in line and "tool" not in line]

    def _handle_end(self) -> None:
        self.is_over = True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until what the session does has this effect."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - the state of many parts
                await asyncio.sleep(0.005)

    async def execute(self, command: LiveCommand) -> None:
        """Have the owner's command carried out; refusals are answers, too."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.session.requests.execute(command)
        except CommandRefusedError:
            pass

    def say(self, *events: ModelEvent) -> None:
        """Let the provider say something."""
        self.model.say(*events)

    async def require_answers(self, word: str) -> None:
        """The session still takes a written question to the model, and nothing of it has failed."""
        self.channel.hear_event(json.dumps({"type": "client_text_append", "text": word}), STRANGER)
        await self._wait_sent(lambda sent: word in _texts(sent))
        await self._wait_sent(lambda sent: CreateResponse in map(type, sent))
        assert not self.running.done(), self.running

    async def _wait_sent(self, condition: Callable[[list[ModelCommand]], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition(self.model.sent):
                self.model.news.clear()
                await self.model.news.wait()


def _texts(sent: list[ModelCommand]) -> list[str]:
    return [command.text for command in sent if isinstance(command, AddText)]
