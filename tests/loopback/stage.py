"""A stage for one agent: a real room server, a real agent, a scripted model, people who call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from aiohttp import web
from pydantic import SecretStr

from agent import RealtimeKitAgent
from config.agent import AgentConfig
from config.providers import ProviderConfig
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState, ExitReason
from conversation.owner_failure import OwnerFailure
from line.participants import RemoteUser
from parley import Agent
from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from rtc.room_server.server import RoomServer
from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import HttpServer
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults
from tests.loopback.ear import listen
from utils import cancel_and_wait

AGENT_UID = 1000
API_KEY = "sk-test"

T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """The result, or a failure when it does not come within the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        return await awaitable


class Person:
    """Somebody in the room, who records events and all that comes from the agent."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.events: list[dict[str, Any]] = []
        self.connected = asyncio.Event()
        self._changed = asyncio.Event()
        now = asyncio.get_running_loop().time
        self.ear = listen(channel, AGENT_UID, on_news=self._changed.set, now=now)
        # How often the agent came into the room after them, and after which of these it was ready.
        self._arrivals = 0
        self._ready_after: set[int] = set()
        channel.on("user_joined", self._handle_user_joined)
        channel.on("event", self._handle_event)
        channel.on("user_connected", lambda _uid: self.connected.set())

    async def join(self) -> None:
        """Join, and wait for media with the agent."""
        await self.channel.connect()
        await soon(self.connected.wait())

    async def leave(self) -> None:
        """Leave the room."""
        await self.channel.disconnect()

    def _handle_user_joined(self, user: RemoteUser) -> None:
        self._arrivals += user.uid == AGENT_UID

    def _handle_event(self, text: str, _uid: int) -> None:
        event = json.loads(text)
        if event["type"] == "agent_ready":
            self._ready_after.add(self._arrivals)
        self.events.append(event)
        self._changed.set()

    @property
    def ready_agents(self) -> int:
        """How many of the agent's processes told them that they are ready; one may do so again."""
        return len(self._ready_after)

    async def wait_ready_agents(self, count: int) -> None:
        """Until so many of the agent's processes, one after the other, have been ready."""
        await self.until(lambda: self.ready_agents >= count)

    async def until(self, condition: Callable[[], object]) -> None:
        """Until something holds that an event or a packet brings about."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"the last events are: {self._last_events()}") from None

    def _last_events(self) -> str:
        told = ("type", "transcript", "heard", "item_id", "code", "message", "reason")
        last = [{key: event[key] for key in told if key in event} for event in self.events[-40:]]
        return json.dumps(last, indent=1)

    def all_of(self, event_type: str) -> list[dict[str, Any]]:
        """Every event of this type so far."""
        return [event for event in self.events if event["type"] == event_type]

    async def wait_event(self, event_type: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of this type."""
        await self.until(lambda: len(self.all_of(event_type)) >= count)
        return self.all_of(event_type)[count - 1]

    async def wait_loud(self, duration_ms: float) -> None:
        """Until this much loud audio came."""
        await self.until(lambda: self.loud_ms >= duration_ms)

    @property
    def loud_ms(self) -> float:
        """How much of what came is loud, in 5 ms steps."""
        return self.ear.loud_ms

    def send(self, **event: Any) -> None:
        """Send a client event to the agent."""
        assert self.channel.send_event(json.dumps(event))


class Stage:
    """Everything one agent needs, on loopback. Ends with nothing left."""

    def __init__(self, faults: Faults | None = None, *, host: str = "127.0.0.1") -> None:
        """host: where the room server listens."""
        self.provider = FakeRealtimeServer(faults=faults)
        self.states: list[AgentState] = []
        self.published: list[ServerEvent] = []
        self.people: list[Person] = []
        self.call_states: list[tuple[dict[str, Any], str]] = []
        self.owner_failures: list[OwnerFailure] = []
        self.room_url = ""
        self.agent: RealtimeKitAgent | None = None
        self._running: asyncio.Task[ExitReason] | None = None
        self._ready = asyncio.Event()
        self._rooms = HttpServer(host)

    async def __aenter__(self) -> Self:
        await self.provider.__aenter__()
        app = web.Application()
        RoomServer().add_routes(app)
        await self._rooms.start(app)
        self.room_url = f"http://127.0.0.1:{self._rooms.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for person in self.people:
            await person.leave()
        if self.agent is not None and self._running is not None and not self._running.done():
            self.agent.stop()
            await soon(asyncio.wait([self._running]))
        await self._rooms.stop()
        await self.provider.__aexit__()

    # -- the agent -----------------------------------------------------------------------------

    def config(self, **changes: Any) -> AgentConfig:
        """An agent of this stage."""
        values: dict[str, Any] = {
            "agent_id": "a1",
            "channel_name": "demo",
            "uid": AGENT_UID,
            "room_url": self.room_url,
            "provider": ProviderConfig(
                name="openai",
                model="gpt-realtime-2.1",
                base_uri=self.provider.uri,
                api_key=SecretStr(API_KEY),
            ),
            # People of the stage stand for the programs that answer tools, too.
            "tool_results_from": "anyone",
            "show_tools": "full",
        }
        return AgentConfig(**(values | changes))

    def run(self, *, definition: Agent | None = None, **changes: Any) -> asyncio.Task[ExitReason]:
        """Start the agent; its end is the task's result."""
        self._ready = asyncio.Event()
        self.agent = RealtimeKitAgent(self.config(**changes), self, definition=definition)
        self._running = asyncio.get_running_loop().create_task(self.agent.run())
        return self._running

    @property
    def channel(self) -> Channel:
        """What the agent talks through."""
        assert self.agent is not None
        assert isinstance(self.agent._line, Channel)
        return self.agent._line

    async def wait_ready(self) -> None:
        """Until the agent is ready."""
        await self._ready.wait()

    async def run_until_ready(self, **changes: Any) -> None:
        """Start the agent and wait until it is ready."""
        running = self.run(**changes)
        waiting = asyncio.get_running_loop().create_task(self._ready.wait())
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(waiting)
        assert self._ready.is_set(), f"the agent did not start: {running.exception()}"

    async def start(self, **changes: Any) -> FakeSession:
        """Start the agent and wait until it is ready; returns the model's side."""
        await self.run_until_ready(**changes)
        return await self.provider.next_session()

    async def ended(self) -> ExitReason:
        """Why the agent ended."""
        assert self._running is not None
        return await soon(self._running)

    def handle_state(self, _old: AgentState, new: AgentState) -> None:
        self.states.append(new)
        if new is AgentState.READY:
            self._ready.set()

    def handle_event(self, event: ServerEvent) -> None:
        self.published.append(event)

    def handle_call_state(self, state: str, agent: str) -> None:
        self.call_states.append((json.loads(state), agent))

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        self.owner_failures.append(failure)

    # -- people --------------------------------------------------------------------------------

    async def join(self, uid: int = 7) -> Person:
        """Somebody joins and has media with the agent."""
        options = RtcOptions(channel_name="demo", uid=uid, role="user", name=f"user {uid}")
        person = Person(RtcEngine(self.room_url).create_channel(options))
        self.people.append(person)
        await person.join()
        return person
