"""`call`: an agent in a call with people that the test moves, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Unpack

from audio import Resampler
from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from conversation.owner_failure import OwnerFailure
from conversation.snapshot import SnapshotText
from line.playout.buffer import PlayoutFrame
from parley.agent import Agent
from parley.call import HeardTurn
from parley.chat_room import ChatRoom
from parley.in_process.live_call import (
    USER_UID,
    CallItem,
    CallOver,
    LiveCall,
    VoiceCleared,
    VoiceDelta,
    VoiceDone,
)
from parley.in_process.run import open_call
from parley.live_input import LiveInputQueue
from parley.live_options import LiveOptions
from parley.testing.replies import SAMPLE_RATE_HZ, Reply, new_id
from parley.testing.scripted_model import ScriptedModel, Step
from parley.testing.virtual_time import VirtualTime
from realtime import events as model
from utils import BoundedDict

Script = ScriptedModel | Sequence[Step | Reply]

QUIET_S: Final = 0.5
"""Virtual seconds without anything happening, after which the agent has said all."""

FAILS_AFTER_S: Final = 120.0
"""Virtual seconds that a test waits for anything."""

CHARACTERS_PER_S: Final = 16.0
"""How fast people speak."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model. output: None as long as there is none"""

    id: str
    name: str
    arguments: Mapping[str, Any]
    output: str | None = None
    is_error: bool = False


@contextlib.asynccontextmanager
async def call(
    agent: Agent | ChatRoom,
    script: Script | Mapping[str, Script] = (),
    *,
    has_user: bool = True,
    is_real_time: bool = False,
    **options: Unpack[LiveOptions],
) -> AsyncIterator[CallUnderTest]:
    """Run `agent` in a call until the end of the block, with no sound, network or key.

    script: of the model, or the steps of one; for a chat room, by the agents' names
    has_user: a person with the uid 1 is there from the beginning on
    is_real_time: let seconds last as long as they do
    options: as of `Agent.arealtime`

    Raises:
        AssertionError: The agent asked for a reply that the script does not have, or the script was
            not played to its end.
    """
    models = _models_of(agent, script)
    with contextlib.ExitStack() as clock:
        if not is_real_time:
            clock.enter_context(VirtualTime())
        test = CallUnderTest(models)
        # The settings of the machine that runs the tests are none of theirs.
        options["settings"] = {"PARLEY_ENV_FILE": "", **options.get("settings", {})}
        async with open_call(
            agent,
            test.queue,
            test.handle_item,
            create_model={name: one.create for name, one in models.items()}
            if isinstance(agent, ChatRoom)
            else test.model.create,
            on_played=test.handle_played,
            quiet_s=QUIET_S,
            **options,
        ) as live:
            await test.begin(live, has_user=has_user)
            yield test
            if not test.is_over:
                await test.quiet()
    for each in models.values():
        each.assert_complete()


def _models_of(
    agent: Agent | ChatRoom, script: Script | Mapping[str, Script]
) -> dict[str, ScriptedModel]:
    """Return the model of each agent, by name, that of the listener first."""
    names = agent.member_names if isinstance(agent, ChatRoom) else [agent.name]
    scripts = script if isinstance(script, Mapping) else {names[0]: script}
    assert scripts.keys() <= set(names), f"scripts are for {', '.join(names)}"
    given = {name: scripts.get(name, ()) for name in names}
    return {
        name: one if isinstance(one, ScriptedModel) else ScriptedModel(one)
        for name, one in given.items()
    }


class CallUnderTest:
    """The people's side of a call, and all that was said in it.

    Attributes:
        model: The scripted model; in a chat room that of the first agent, which hears the people.
        models: Those of all agents, by name.
        events: Server events, oldest first.
        played: The agent's voice as it sounded, PCM16 at 24 kHz.
        owner_failures: What tools, hooks and guardrails raised.
        reason: Why the call ended; empty before.
    """

    def __init__(self, models: Mapping[str, ScriptedModel]) -> None:
        self.models = dict(models)
        self.model = next(iter(models.values()))
        self.events: list[ServerEvent] = []
        self.owner_failures: list[OwnerFailure] = []
        self.played = bytearray()
        self.reason = ""
        self.failure: BaseException | None = None
        self.queue = LiveInputQueue()
        self._live: LiveCall | None = None
        self._news = asyncio.Event()
        self._uids = itertools.count(USER_UID + 1)
        self._resamplers: BoundedDict[tuple[int, int], Resampler] = BoundedDict(64)

    # -- people ------------------------------------------------------------------------------------

    async def says(self, text: str, *, uid: int = USER_UID, wait: bool = True) -> None:
        """A person speaks and is understood. wait: until the agent has answered and is silent"""
        item_id = await self.starts_speaking(uid=uid)
        await self.passes(len(text) / CHARACTERS_PER_S)
        await self.stops_speaking(item_id, text, wait=wait)

    async def starts_speaking(self, *, uid: int = USER_UID) -> str:
        """A person begins to speak; returns the id for `stops_speaking`."""
        self._require_there(uid)
        item_id = new_id("item")
        self.model.emit(model.SpeechStarted(item_id, self._now_ms()))
        await self._settle()
        return item_id

    async def stops_speaking(self, item_id: str, text: str, *, wait: bool = True) -> None:
        """The person is done, and has said `text`; empty: it was a noise."""
        self.model.emit(
            model.SpeechStopped(item_id, self._now_ms()),
            model.InputCommitted(item_id),
            model.InputTranscriptDone(item_id, text),
        )
        await self._settle()
        if wait:
            await self.quiet()

    async def writes(self, text: str, *, wait: bool = True) -> None:
        """The application sends a text."""
        self.queue.send_text(text)
        await self._settle()
        if wait:
            await self.quiet()

    async def shows(self, image: bytes, mime_type: str = "image/jpeg") -> None:
        """The application sends a picture."""
        self.queue.send_image(image, mime_type)
        await self._settle()

    async def plays(
        self, pcm: bytes, *, sample_rate: int = SAMPLE_RATE_HZ, uid: int = USER_UID
    ) -> None:
        """A person sends sound (PCM16 mono); returns when it was spoken."""
        self._require_there(uid)
        resampler = self._resamplers.setdefault(
            (uid, sample_rate), Resampler(sample_rate, self.live.line.sample_rate_hz)
        )
        step = max(2, sample_rate // 50 * 2)
        for at in range(0, len(pcm), step):
            self.live.line.push_user_audio(uid, resampler.push(pcm[at : at + step]))
            await self.passes(len(pcm[at : at + step]) / 2 / sample_rate)

    async def joins(self, name: str = "", *, uid: int | None = None) -> int:
        """A person joins; returns the uid."""
        uid = next(self._uids) if uid is None else uid
        self.live.line.join(uid, name)
        await self._settle()
        return uid

    async def leaves(self, uid: int = USER_UID) -> None:
        """A person leaves."""
        self._require_there(uid)
        self.live.line.leave(uid)
        await self._settle()

    async def sends(self, event: Mapping[str, Any], *, uid: int = USER_UID) -> None:
        """A person's client sends a client event, as a JSON object with a `type`."""
        self.live.line.push_user_event(uid, json.dumps(event))
        await self._settle()

    async def approves(self, call_id: str, *, always: bool = False) -> None:
        """A person allows a tool call."""
        self.queue.send_tool_approval(call_id, approve=True, always=always)
        await self._settle()

    async def rejects(self, call_id: str, reason: str = "") -> None:
        """A person forbids a tool call."""
        self.queue.send_tool_approval(call_id, approve=False, reason=reason)
        await self._settle()

    async def hangs_up(self) -> None:
        """The application ends its input; returns when the call is over."""
        self.queue.close()
        await self.until(lambda: self.is_over)

    # -- time --------------------------------------------------------------------------------------

    async def passes(self, seconds: float) -> None:
        """Let so much time pass."""
        await asyncio.sleep(seconds)

    async def quiet(self) -> None:
        """Return when nothing is going on any more: no reply, no tool, and the voice is silent."""
        async with asyncio.timeout(FAILS_AFTER_S):
            await self.live.wait_until_idle()
            while self.is_speaking and not self.is_over:
                await self._next()
                await self.live.wait_until_idle()
        for each in self.models.values():
            each.assert_expected()

    async def until(self, is_met: Callable[[], object]) -> None:
        """Return when `is_met()` is true, which is looked at after everything that happens."""
        try:
            async with asyncio.timeout(FAILS_AFTER_S):
                while not is_met():
                    await self._next()
        except TimeoutError:
            raise AssertionError(f"it did not come within {FAILS_AFTER_S:g} s") from None

    async def until_event(self, kind: type[ServerEvent] | str) -> Any:
        """Return the first event of this class or type string, once it has come."""
        await self.until(lambda: self.all_events(kind))
        return self.all_events(kind)[0]

    async def until_speaking(self) -> None:
        """Return when the agent's voice sounds."""
        await self.until(lambda: self.live.line.playout_position() is not None)

    # -- what happened -----------------------------------------------------------------------------

    @property
    def live(self) -> LiveCall:
        """The call itself."""
        assert self._live is not None, "the call has not begun"
        return self._live

    @property
    def is_over(self) -> bool:
        """True once the call has ended; `reason` says why."""
        return self.reason != ""

    @property
    def is_speaking(self) -> bool:
        """True while the agent's voice sounds or is to sound."""
        line = self.live.line
        return line.playout_position() is not None or line.statistics().queued_ms > 0

    @property
    def state(self) -> dict[str, Any]:
        """`Call.state` as the agent's process would store it, half a second after a change at the latest."""
        return self.live.call_state

    @property
    def said(self) -> list[str]:
        """The agent's replies as the model made them, heard or not."""
        return [each.transcript for each in self.all_events(out.AgentResponseAudioTranscriptDone)]

    @property
    def transcript(self) -> list[HeardTurn]:
        """The conversation as it was heard."""
        return [
            HeardTurn(entry.role, entry.text, is_cut=entry.is_cut)
            for entry in self.live.agent.conversation()
            if isinstance(entry, SnapshotText) and entry.role != "system" and entry.text
        ]

    @property
    def heard(self) -> list[str]:
        """The agent's replies as far as they were heard."""
        return [turn.text for turn in self.transcript if turn.role == "assistant"]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Calls of tools, with their outputs as far as there are any."""
        results = {
            each.tool_result.id: each.tool_result
            for each in self.all_events(out.AgentResponseToolResult)
        }
        found = []
        for event in self.all_events(out.AgentResponseToolUseDone):
            use, result = event.tool_use, results.get(event.tool_use.id)
            if result is None:
                found.append(ToolCall(use.id, use.name, use.input))
            else:
                output, is_error = result.output, result.is_error
                found.append(ToolCall(use.id, use.name, use.input, output, is_error))
        return found

    def all_events(self, kind: type | str) -> list[Any]:
        """Return the events of this class or type string so far."""
        if isinstance(kind, str):
            return [event for event in self.events if event.type == kind]
        return [event for event in self.events if isinstance(event, kind)]

    # -- the call's side ---------------------------------------------------------------------------

    async def begin(self, live: LiveCall, *, has_user: bool) -> None:
        """Start the call and return when the agent is there."""
        self._live = live
        if not has_user:
            live.line.leave(USER_UID)
        for name in ("playout_started", "playout_done"):
            live.line.on(name, lambda _key: self._news.set())
        live.start()
        await self.until(lambda: self.is_over or bool(self.all_events(out.AgentReady)))
        if self.failure is not None:
            raise self.failure
        await self._settle()

    def handle_item(self, item: CallItem) -> None:
        """Take what happens in the call."""
        match item:
            case CallOver():
                self.reason, self.failure = item.reason, item.failure
            case OwnerFailure():
                self.owner_failures.append(item)
            case VoiceDelta() | VoiceDone() | VoiceCleared():
                pass
            case _:
                self.events.append(item)
        self._news.set()

    def handle_played(self, frame: PlayoutFrame) -> None:
        """Take a frame that sounds now."""
        self.played += frame.pcm

    def _require_there(self, uid: int) -> None:
        assert uid in self.live.line.remote_users, f"no participant with uid {uid} is there"

    def _now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _settle(self) -> None:
        """Let what was sent be handled."""
        await asyncio.sleep(0.001)
