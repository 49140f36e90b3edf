"""The model is given the name of the person who spoke, where several people are in the call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from realtime.events import AddText, InputCommitted
from session.context import SessionContext
from session.speaker_notes import SpeakerNotes
from session.turn_policy import TurnPolicy
from tests.session.running import CAPABILITIES, OTHER, USER, RunningSession
from tools import ToolContext

REPLAYING = replace(CAPABILITIES, has_history_replay=True)


class Notes:
    """Notes of a call with two people, whose turns are named after the uid of the speaker."""

    def __init__(
        self, running: RunningSession, context: SessionContext, policy: TurnPolicy
    ) -> None:
        self.running = running
        self.part = SpeakerNotes(context, policy, speaker_of=int)

    async def commit(self, uid: int) -> None:
        handler = self.part.handlers()[InputCommitted]
        await handler(InputCommitted(str(uid)))

    @property
    def texts(self) -> list[str]:
        sent = self.running.model.sent
        return [each.text for each in sent if isinstance(each, AddText) and each.role == "system"]


@asynccontextmanager
async def notes(*, mode: str = "confirm", can_replay: bool = True) -> AsyncIterator[Notes]:
    running = RunningSession(ToolContext(), interrupt={"mode": mode})
    async with running:
        running.model.provider.capabilities = REPLAYING if can_replay else CAPABILITIES
        policy = TurnPolicy.of(running.config, running.model.capabilities)
        yield Notes(running, running.context, policy)


@pytest.mark.asyncio
async def test_each_change_of_the_speaker_is_noted_once() -> None:
    async with notes() as made:
        for uid in (USER, USER, OTHER, USER):
            await made.commit(uid)
        assert made.texts == [
            f"The last words were spoken by user {uid}." for uid in (USER, OTHER, USER)
        ]


@pytest.mark.asyncio
async def test_a_lone_person_is_not_named_until_another_was() -> None:
    async with notes() as made:
        made.running.channel.lose(OTHER)
        await made.commit(USER)
        assert made.texts == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("mode", "can_replay"), [("immediate", True), ("confirm", False)])
async def test_no_note_where_it_would_come_too_late_or_cannot_be_taken(
    mode: str, can_replay: bool
) -> None:
    async with notes(mode=mode, can_replay=can_replay) as made:
        await made.commit(USER)
        assert made.texts == []
