"""Several agents in one conversation: each hears what the others said, and one at a time replies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from conversation.events.commands import CommandRefusedError
from conversation.history import ItemStatus
from conversation.moderation import (
    MAX_TURNS,
    AgentTurns,
    ModeratorRule,
    RoomTurn,
    RoomView,
    next_speaker,
)
from conversation.turn_taking.turn_state import TurnState
from realtime import events as model
from realtime.group.model import GroupModel
from realtime.model import RealtimeModel
from session.context import Handlers, SessionContext
from session.reply_output import PlayoutKey, ReplyOutput
from untrusted.boundary import InputKind
from utils import BoundedDict, OwnedTasks


class ModeratorFailedError(Exception):
    """A moderator made no decision."""


Moderator = Callable[[RoomView], Awaitable[str | None]]
"""Returns the name of the agent that speaks next, or None for none; raises ModeratorFailedError."""

_REMEMBERED: Final = 64

MODERATOR_TIMEOUT_S: Final = 3.0
WORDS_TIMEOUT_S: Final = 3.0
"""Longest wait for the words of a turn; after it the turn is answered without a name in it."""


def require_member(model: RealtimeModel, name: str) -> GroupModel:
    """Return the group that has this agent.

    Raises:
        CommandRefusedError: There is no such agent in the call.
    """
    if isinstance(model, GroupModel):
        if name in model.members:
            return model
        known = ", ".join(model.members)
        raise CommandRefusedError("unknown_agent", f"agent: in this call are {known}")
    raise CommandRefusedError("unknown_agent", "agent: this call has one agent; leave it out")


class ChatRoom:
    """Distributes what was said, and asks the moderator for the next speaker."""

    def __init__(
        self,
        context: SessionContext,
        group: GroupModel,
        reply_output: ReplyOutput,
        *,
        rule: ModeratorRule,
        moderator: Moderator | None,
        max_agent_turns: int,
        speaker_of: Callable[[str], int | None],
    ) -> None:
        """
        moderator: an owner's; where it fails, `rule` decides
        speaker_of: returns the uid of the person whose turn an item is
        """
        self._context = context
        self._group = group
        self._reply_output = reply_output
        self._rule = rule
        self._moderator = moderator
        self._turns: deque[RoomTurn] = deque(maxlen=MAX_TURNS)
        self._agent_turns = AgentTurns(max_agent_turns)
        self._speaker_of = speaker_of
        # A reply is asked for only when its member has got all that was said before.
        self._distribution = asyncio.Lock()
        # Item of the last turn of a person, if its words are not known yet.
        self._awaited: str | None = None
        self._words_known = asyncio.Event()
        # Turns whose words were known before they were complete.
        self._known: BoundedDict[str, None] = BoundedDict(_REMEMBERED)
        # Replies that are not heard to their end, with what is known of them.
        self._open: dict[str, bool] = {}
        self._deciding: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks(context.log)
        group.on_reply_due = self._handle_reply_due
        context.publisher.speaker_of = self._agent_fields

    @property
    def is_deciding(self) -> bool:
        """True while the next speaker is being chosen."""
        return self._deciding is not None and not self._deciding.done()

    def input_handlers(self) -> Handlers:
        """Reactions to model events before a turn is answered."""
        return {model.InputCommitted: self._handle_committed}

    def handlers(self) -> Handlers:
        """Reactions to model events after a turn was judged."""
        return {
            model.InputTranscriptDone: self._handle_words,
            model.InputTranscriptFailed: self._handle_no_words,
            model.ResponseCreated: self._handle_response_created,
            model.ResponseDone: self._handle_response_done,
        }

    def _agent_fields(self, response_id: str) -> dict[str, str] | None:
        """Return the fields of events by which clients know the agent that speaks."""
        member = self._group.owner_of(response_id)
        if member is None:
            return None
        agent_id = f"{self._context.config.agent_id}:{member.name}"
        return {"agent_id": agent_id, "agent_name": member.spoken_name}

    # -- what people say ---------------------------------------------------------------------------

    async def _handle_committed(self, event: model.InputCommitted) -> None:
        if event.item_id not in self._known:
            self._awaited = event.item_id
            self._words_known.clear()

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        item = self._context.history.get(event.item_id)
        # Noise and echoes are dropped from the history.
        if item is not None and item.text:
            name = self._name(self._speaker_of(event.item_id))
            self._note(RoomTurn(name, item.text, is_agent=False))
            async with self._distribution:
                await self._group.hear(name, item.text)
        self._end_wait(event.item_id)

    async def _handle_no_words(self, event: model.InputTranscriptFailed) -> None:
        self._end_wait(event.item_id)

    def _end_wait(self, item_id: str) -> None:
        self._known[item_id] = None
        if item_id == self._awaited:
            self._awaited = None
            self._words_known.set()

    def note_written(self, uid: int | None, text: str) -> None:
        """Note what a person wrote, which all models have got already."""
        self._note(RoomTurn(self._name(uid), text, is_agent=False))

    def _note(self, turn: RoomTurn) -> None:
        self._turns.append(turn)
        self._agent_turns.note(turn)

    def _name(self, uid: int | None) -> str:
        user = None if uid is None else self._context.line.remote_users.get(uid)
        return "" if user is None else user.name

    # -- what agents say ---------------------------------------------------------------------------

    async def _handle_response_created(self, event: model.ResponseCreated) -> None:
        self._open[event.response_id] = False

    async def _handle_response_done(self, event: model.ResponseDone) -> None:
        if event.response_id in self._open:
            self._open[event.response_id] = True
            self._follow_playout()

    def handle_playout_done(self, _key: PlayoutKey) -> None:
        """Note that a part of a reply was heard to its end."""
        self._follow_playout()

    def _follow_playout(self) -> None:
        """Distribute replies that are complete and were heard; the playout may have more of them."""
        if self._reply_output.is_playing:
            return
        ended = [response_id for response_id, is_done in self._open.items() if is_done]
        for response_id in ended:
            del self._open[response_id]
            self._tasks.start(self._end_reply(response_id), name="reply heard")

    async def handle_interrupt(self) -> None:
        """Distribute what was heard of the replies that a person cut, and let the person speak."""
        if self._deciding is not None:
            self._deciding.cancel()
        cut, self._open = list(self._open), {}
        for response_id in cut:
            await self._distribute(response_id)

    async def _end_reply(self, response_id: str) -> None:
        with self._context.boundary.guard(InputKind.INTERNAL, "reply heard"):
            if await self._distribute(response_id) and not self._agent_turns.is_spent:
                self._decide(is_due=False)

    async def _distribute(self, response_id: str) -> bool:
        """Give the others the words of a reply that were heard; return false if there are none."""
        items = [one for one in self._context.history.items if one.response_id == response_id]
        text = " ".join(one.text for one in items if one.text).strip()
        member = self._group.owner_of(response_id)
        if member is None or not text:
            return False
        is_cut = any(one.status is ItemStatus.INTERRUPTED for one in items)
        self._note(RoomTurn(member.name, text, is_agent=True, is_cut=is_cut))
        async with self._distribution:
            await self._group.hear(member.spoken_name, text, of=member.name)
        return True

    # -- who speaks next ---------------------------------------------------------------------------

    async def _handle_reply_due(self) -> None:
        """A turn of a person is to be answered."""
        self._decide(is_due=True)

    def _decide(self, *, is_due: bool) -> None:
        if self._deciding is not None:
            self._deciding.cancel()
        self._deciding = self._tasks.start(self._ask_next(is_due=is_due), name="next speaker")

    async def _ask_next(self, *, is_due: bool) -> None:
        with self._context.boundary.guard(InputKind.INTERNAL, "next speaker"):
            if self._awaited is not None:
                await self._wait_words()
            name = await self._next_speaker()
            if name is None and is_due:
                name = self._group.floor
            is_person_speaking = self._context.turns.state is TurnState.USER_SPEAKING
            if name is not None and (is_due or not is_person_speaking):
                async with self._distribution:
                    await self._group.speak(name)

    async def _wait_words(self) -> None:
        try:
            async with asyncio.timeout(WORDS_TIMEOUT_S):
                await self._words_known.wait()
        except TimeoutError:
            self._context.log.info("the words of a turn did not come in time")

    async def _next_speaker(self) -> str | None:
        agents = {name: one.spoken_name for name, one in self._group.members.items()}
        if not self._turns:
            return self._group.floor
        view = RoomView(agents, tuple(self._turns))
        if self._moderator is not None:
            try:
                return await self._moderator(view)
            except ModeratorFailedError as error:
                self._context.log.info("the rule decides, not the moderator: %s", error)
        return next_speaker(self._rule, view)

    async def close(self) -> None:
        """Ask for no further replies."""
        await self._tasks.close()
