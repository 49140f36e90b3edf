"""`GroupModel`: the models of several agents in one conversation, seen as one model.

The first member is the listener: it alone hears the people's sound, so that the end of a turn, a
false alarm and the words of a turn are one fact for all. The others get what was said as text, with
the speaker's name (`hear`), as each gets what the others said as far as it was heard. Every member
replies in its own voice, and only when it is asked to: `on_reply_due` is called for each reply that
nobody in particular was asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from audio import Resampler
from realtime import events as ours
from realtime.events import ModelCommand, ModelEvent
from realtime.group.ids import split, with_owner
from realtime.model import (
    Capabilities,
    ModelConnectError,
    RealtimeModel,
    RealtimeModelConfig,
    RealtimeModelError,
    UnsupportedCommandError,
)
from realtime.resilience.options import ResilienceStatistics
from realtime.resilience.response_tracker import PendingReply
from realtime.resilience.transcript import Entry, TextEntry, ToolCallEntry, Transcript
from utils import BoundedDict, OwnedTasks

MAX_MEMBERS: Final = 8

# Events of the people's turns and of the session: those of the listener count for all.
_OF_LISTENER: Final = (
    ours.SessionOpened,
    ours.SessionUpdated,
    ours.GoAwayReceived,
    ours.ResumptionUpdated,
    ours.ConnectionChanged,
    ours.SpeechStarted,
    ours.SpeechStopped,
    ours.InputCommitted,
    ours.InputTimeoutTriggered,
    ours.InputTranscriptDelta,
    ours.InputTranscriptDone,
    ours.InputTranscriptFailed,
    ours.Interrupted,
)
_MAX_EVENTS: Final = 1_024
_MAX_BESIDE: Final = 64

_log = logging.getLogger("realtime")


class MemberModel(RealtimeModel, Protocol):
    """Part of `realtime.resilience.model.ResilientModel` that a group uses."""

    @property
    def transcript(self) -> Transcript:
        """The conversation as it would be replayed to a new session."""
        ...

    @property
    def statistics(self) -> ResilienceStatistics:
        """Counts of reconnects, rotations and losses so far."""
        ...

    @property
    def last_event_s(self) -> float | None:
        """Monotonic time of the provider's last event."""
        ...

    @property
    def is_reply_due(self) -> bool:
        """True while a reply is being made or awaited."""
        ...

    def renew(self, reason: str) -> None:
        """Replace the provider's session by another one."""
        ...

    async def request_pending(self, reply: PendingReply) -> None:
        """Ask for a reply that an earlier process did not finish."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of the group. spoken_name: by which the others know it"""

    name: str
    spoken_name: str
    model: MemberModel


class GroupModel:
    """See `realtime.model.RealtimeModel`; ids of events are those of `realtime.group.ids`."""

    def __init__(self, members: Sequence[Member]) -> None:
        """
        Raises:
            UnsupportedCommandError: The listener answers by itself, or a member takes no text.
        """
        _require_fit(members)
        self.on_reply_due: Callable[[], Awaitable[None]] | None = None
        self.transcript = Transcript()
        # Opening configurations of the members.
        self.configs: dict[str, RealtimeModelConfig] = {}
        self._members = {member.name: member for member in members}
        self._listener = members[0]
        # The member that spoke last, or speaks.
        self._floor = members[0].name
        # Members that were given tool outputs and were not asked to go on yet.
        self._with_outputs: set[str] = set()
        self._active: dict[str, str] = {}
        self._beside: BoundedDict[str, None] = BoundedDict(_MAX_BESIDE)
        self._rate_hz = members[0].model.capabilities.output_sample_rate_hz
        self._resamplers: dict[str, Resampler] = {}
        self._events: asyncio.Queue[ModelEvent | None] = asyncio.Queue(_MAX_EVENTS)
        self._tasks = OwnedTasks(_log)

    @property
    def capabilities(self) -> Capabilities:
        """The listener's capabilities, and those that one member needs to have for all."""
        members = [member.model.capabilities for member in self._members.values()]
        return replace(
            self._listener.model.capabilities,
            image_types=frozenset().union(*(each.image_types for each in members)),
            # A member that goes on by itself is not asked to (`_request_reply`).
            needs_response_after_tool=True,
        )

    @property
    def instructions(self) -> str:
        """Empty: each member has its own, so that a change of them names its member."""
        return ""

    @property
    def members(self) -> dict[str, Member]:
        """Members that can still be asked for replies, by name; the listener first."""
        return dict(self._members)

    @property
    def floor(self) -> str:
        """Name of the member that spoke last, or speaks."""
        return self._floor

    @property
    def statistics(self) -> ResilienceStatistics:
        """The listener's counts of reconnects, rotations and losses."""
        return self._listener.model.statistics

    @property
    def last_event_s(self) -> float | None:
        """Monotonic time of the listener's last event."""
        return self._listener.model.last_event_s

    @property
    def is_reply_due(self) -> bool:
        """True while any member's reply is being made or awaited."""
        return any(member.model.is_reply_due for member in self._members.values())

    def owner_of(self, group_id: str) -> Member | None:
        """Return the member to which a response, item or call belongs."""
        return self._members.get(split(group_id)[0] or "")

    def renew(self, reason: str) -> None:
        """Replace the providers' sessions by new ones with the same conversation."""
        for member in self._members.values():
            member.model.renew(reason)

    def restore(self, entries: Iterable[Entry]) -> None:
        """Begin with what was said in an earlier process, given to each member from its side."""
        known = list(entries)
        for name, member in self._members.items():
            member.model.transcript.restore(_seen_by(name, known, self._members))
        self.transcript.restore(known)
        spoken = [one.speaker for one in known if isinstance(one, TextEntry) and one.speaker]
        if spoken and spoken[-1] in self._members:
            self._floor = spoken[-1]

    # -- a life --------------------------------------------------------------------------------

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the sessions of all members, with `config` for one that has none in `configs`.

        Raises:
            ModelConnectError: One of them cannot be opened.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for name, member in self._members.items():
                    group.create_task(_connect(member, self.configs.get(name, config)))
        except* ModelConnectError as failures:
            raise failures.exceptions[0] from failures
        for member in self._members.values():
            self._tasks.start(self._pump(member), name=f"events of {member.name}")

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Events of all members, those of people's turns from the listener alone."""
        while (event := await self._events.get()) is not None:
            yield event
            if isinstance(event, ours.SessionEnded):
                return

    async def close(self) -> None:
        """Close all sessions; safe at any time and again."""
        await asyncio.gather(*(member.model.close() for member in self._members.values()))
        await self._tasks.close()
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait(None)

    async def _pump(self, member: Member) -> None:
        async for event in member.model.events():
            if member is self._listener or not isinstance(event, _OF_LISTENER):
                for each in self._seen(member, event):
                    await self._events.put(each)

    def _seen(self, member: Member, event: ModelEvent) -> list[ModelEvent]:
        """Return what the group's consumer gets of a member's event."""
        if isinstance(event, ours.SessionEnded) and member is not self._listener:
            return [self._lose(member, event)]
        if isinstance(event, ours.ItemAdded) and event.role == "user":
            return [with_owner(event, member.name)] if member is self._listener else []
        if isinstance(event, ours.AudioDelta):
            event = self._at_rate(member.name, event)
        seen = with_owner(event, member.name)
        self._note(member.name, seen)
        return [seen]

    def _lose(self, member: Member, event: ours.SessionEnded) -> ours.ProviderError:
        """Go on without a member whose provider is gone."""
        del self._members[member.name]
        self._with_outputs.discard(member.name)
        if self._floor == member.name:
            self._floor = self._listener.name
        return ours.ProviderError(event.code, f"{member.name} left the call: {event.reason}")

    def _is_beside(self, event: Any) -> bool:
        """Whether the event is of a reply outside of the conversation, of which nothing is kept."""
        response_id = getattr(event, "response_id", None)
        if getattr(event, "out_of_band", None) is None:
            return response_id in self._beside
        if isinstance(event, ours.ResponseCreated):
            self._beside[event.response_id] = None
        else:
            self._beside.pop(event.response_id, None)
        return True

    def _note(self, name: str, event: ModelEvent) -> None:
        if self._is_beside(event):
            return
        self.transcript.handle(event)
        match event:
            case ours.ResponseCreated():
                self._floor, self._active[name] = name, event.response_id
                self._with_outputs.discard(name)
            case ours.ResponseDone():
                self._active.pop(name, None)
            case (
                ours.AudioDelta()
                | ours.TranscriptDelta()
                | ours.TranscriptDone()
                | ours.TextDelta()
                | ours.TextDone()
            ):
                entry = self.transcript.find(event.item_id)
                if isinstance(entry, TextEntry):
                    entry.speaker = name
            case _:
                pass

    def _at_rate(self, name: str, event: ours.AudioDelta) -> ours.AudioDelta:
        if event.sample_rate_hz == self._rate_hz:
            return event
        if name not in self._resamplers:
            self._resamplers[name] = Resampler(event.sample_rate_hz, self._rate_hz)
        pcm = self._resamplers[name].push(event.pcm)
        return replace(event, pcm=pcm, sample_rate_hz=self._rate_hz)

    # -- sending -------------------------------------------------------------------------------

    async def send(self, command: ModelCommand) -> None:
        """Send a command to the members that it concerns; see `RealtimeModel.send`.

        Raises:
            ModelDisconnectedError: The listener's session is gone for good.
            UnsupportedCommandError: No member can do that.
        """
        match command:
            case ours.AppendAudio() | ours.CommitAudio() | ours.ClearAudio():
                await self._listener.model.send(command)
            case ours.AddText():
                self.transcript.record(command)
                await self._send_to(self._members.values(), command)
            case ours.AddImage():
                await self._show(command)
            case ours.AddToolOutput():
                await self._answer_tool(command)
            case ours.CreateResponse():
                await self._request_reply(command)
            case ours.CancelResponse():
                await self._cancel(command)
            case ours.UpdateSettings():
                await self._update(command)
            case ours.TruncateItem() | ours.DeleteItem():
                self.transcript.record(command)
                await self._send_to_owner(command.item_id, command, "item_id")
            case ours.AnswerToolApproval():
                await self._send_to_owner(command.request_id, command, "request_id")
            case _:
                await self._listener.model.send(command)

    async def speak(self, name: str, command: ours.CreateResponse | None = None) -> None:
        """Ask this member for a reply; one that has left is passed over for the listener."""
        member = self._members.get(name, self._listener)
        self._floor = member.name
        await member.model.send(command or ours.CreateResponse())

    async def hear(self, speaker: str, text: str, *, of: str | None = None) -> None:
        """Give the other members what was said, as text with the speaker's name.

        of: name of the member that said it; None: a person did, whom the listener heard
        """
        own = of or self._listener.name
        others = [member for name, member in self._members.items() if name != own]
        said = f"{speaker}: {text}" if speaker else text
        await self._send_to(others, ours.AddText(said))

    async def request_pending(self, reply: PendingReply) -> None:
        """Ask the member that spoke last for a reply that an earlier process did not finish."""
        await self._members[self._floor].model.request_pending(reply)

    async def _send_to(self, members: Iterable[Member], command: ModelCommand) -> None:
        """Send to several members: one that fails does not keep it from the others."""
        for member in list(members):
            try:
                await member.model.send(command)
            except RealtimeModelError as error:
                if member is self._listener:
                    raise
                _log.info("%s did not get a message: %s", member.name, error.code)

    async def _send_to_owner(self, group_id: str, command: ModelCommand, field: str) -> None:
        owner, own_id = split(group_id)
        if owner is None:
            await self._send_to(self._members.values(), command)
        elif owner in self._members:
            own = replace(command, **{field: own_id})  # type: ignore[arg-type]
            await self._members[owner].model.send(own)

    async def _show(self, command: ours.AddImage) -> None:
        seeing = [one for one in self._members.values() if one.model.capabilities.has_image_input]
        if not seeing:
            raise UnsupportedCommandError("none of these models can see images")
        self.transcript.record(command)
        await self._send_to(seeing, command)

    async def _answer_tool(self, command: ours.AddToolOutput) -> None:
        self.transcript.record(command)
        owner, _ = split(command.call_id)
        await self._send_to_owner(command.call_id, command, "call_id")
        if owner in self._members and command.start_response:
            self._with_outputs.add(owner)

    async def _request_reply(self, command: ours.CreateResponse) -> None:
        if command.out_of_band is not None:
            # What people hear has the voice of the conversation; the rest asks what the group can do.
            name = self._floor if command.out_of_band.is_spoken else self._listener.name
            member = self._members.get(name, self._listener)
            await member.model.send(_with_own_items(command, member.name))
        elif self._with_outputs:
            name = self._with_outputs.pop()
            # Some providers go on after tool outputs by themselves.
            if self._members[name].model.capabilities.needs_response_after_tool:
                await self.speak(name, command)
        elif not command.is_plain or self.on_reply_due is None:
            await self.speak(self._floor, _with_own_items(command, self._floor))
        else:
            await self.on_reply_due()

    async def _cancel(self, command: ours.CancelResponse) -> None:
        active = [command.response_id] if command.response_id else list(self._active.values())
        for response_id in active:
            owner, own_id = split(response_id)
            if (member := self._members.get(owner or "")) is not None:
                await member.model.send(ours.CancelResponse(own_id))

    async def _update(self, command: ours.UpdateSettings) -> None:
        if set(command.changes) != {"turn_detection"}:
            raise UnsupportedCommandError("several agents share this call: name the one to change")
        await self._listener.model.send(command)

    async def update(self, name: str, command: ours.UpdateSettings) -> None:
        """Change the session of one member.

        Raises:
            UnsupportedCommandError: There is no such member, or its model cannot change this.
        """
        if name not in self._members:
            raise UnsupportedCommandError(f"there is no agent {name} in this call")
        await self._members[name].model.send(command)


def _require_fit(members: Sequence[Member]) -> None:
    if not members[0].model.capabilities.has_turn_control:
        text = (
            f"{members[0].name}: the first agent of several needs a model whose replies we ask for"
        )
        raise UnsupportedCommandError(text)
    for member in members[1:]:
        if not member.model.capabilities.has_text_input:
            text = (
                f"{member.name}: an agent beside others needs a model that takes written messages"
            )
            raise UnsupportedCommandError(text)


async def _connect(member: Member, config: RealtimeModelConfig) -> None:
    try:
        await member.model.connect(config)
    except ModelConnectError as error:
        raise ModelConnectError(
            f"{member.name}: {error}", code=error.code, is_retryable=error.is_retryable
        ) from error


def _seen_by(name: str, entries: Iterable[Entry], members: dict[str, Member]) -> Iterable[Entry]:
    """Yield the conversation as one member saw it: others' replies are what it heard them say."""
    for entry in entries:
        match entry:
            case TextEntry(speaker=speaker) if speaker and speaker != name:
                spoken = members[speaker].spoken_name if speaker in members else speaker
                yield replace(entry, role="user", text=f"{spoken}: {entry.text}", speaker="")
            case ToolCallEntry():
                owner, own_id = split(entry.call_id)
                if owner == name:
                    yield replace(entry, call_id=own_id, item_id=split(entry.item_id)[1])
            case _:
                yield replace(entry)


def _with_own_items(command: ours.CreateResponse, name: str) -> ours.CreateResponse:
    """The request with this member's own ids; it cannot be shown what others have."""
    if command.input_items is None:
        return command
    items: list[ours.InputItem] = []
    for item in command.input_items:
        owner, own_id = split(item.item_id) if isinstance(item, ours.ItemReference) else (name, "")
        if owner in (name, None):
            items.append(ours.ItemReference(own_id) if own_id else item)
    return replace(command, input_items=tuple(items))
