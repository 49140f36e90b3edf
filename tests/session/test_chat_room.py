"""Several agents in one conversation: who replies, and what each gets of what was heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from config.chat_room import ChatRoomConfig, MemberConfig
from config.providers import ProviderConfig
from conversation.events.commands import CommandRefusedError, Say, Update
from conversation.moderation import ModeratorRule
from realtime import events as ours
from realtime.events import ModelCommand, ResponseStatus
from realtime.group.model import GroupModel, Member
from realtime.resilience.model import ResilientModel
from tests.deadlines import DEADLINE_S
from tests.realtime.scripted_model import Provider, ScriptedModel
from tests.session.running import CAPABILITIES, USER, RunningSession
from tools import ToolContext

TONE = b"\x10\x27\xf0\xd8" * 1_200
"""0.1 s at 24 kHz."""


class Room:
    """A running conversation with Ada, who hears the people, and Ben."""

    def __init__(self, rule: ModeratorRule, max_agent_turns: int) -> None:
        self.providers = {
            "ada": Provider(CAPABILITIES),
            "ben": Provider(replace(CAPABILITIES, has_turn_control=False)),
        }
        members = [
            Member(name, name.title(), ResilientModel(provider.create))
            for name, provider in self.providers.items()
        ]
        self.group = GroupModel(members)
        place = ProviderConfig(name="openai", model="m", base_uri="ws://127.0.0.1:9")
        wanted = ChatRoomConfig(
            members=tuple(
                MemberConfig(definition=name, spoken_name=name.title(), provider=place)
                for name in self.providers
            ),
            moderator=rule,
            max_agent_turns=max_agent_turns,
        )
        self.session = RunningSession(ToolContext(), model=self.group, chat_room=wanted)
        self.models: dict[str, ScriptedModel] = {}
        self._replies = 0

    def say(self, text: str, item_id: str) -> None:
        """Have a person say this, as Ada's model hears it."""
        self.models["ada"].say(
            ours.SpeechStarted(item_id, 0),
            ours.SpeechStopped(item_id, 500),
            ours.InputCommitted(item_id),
            ours.InputTranscriptDone(item_id, text),
        )

    def reply(self, name: str, text: str, *, sound: bytes = TONE, is_done: bool = True) -> None:
        """Have an agent's model say this."""
        self._replies += 1
        response, item = f"r{self._replies}", f"i{self._replies}"
        self.models[name].say(
            ours.ResponseCreated(response),
            ours.AudioDelta(response, item, 0, sound, 24_000),
            ours.TranscriptDone(response, item, 0, text),
        )
        if is_done:
            self.models[name].say(
                ours.AudioDone(response, item, 0),
                ours.ResponseDone(response, ResponseStatus.COMPLETED),
            )

    async def until(self, name: str, condition: Callable[[list[ModelCommand]], bool]) -> None:
        """Until an agent's model was sent what `condition` looks for."""
        model = self.models[name]
        async with asyncio.timeout(DEADLINE_S):
            while not condition(model.sent):
                model.news.clear()
                await model.news.wait()

    async def heard(self, name: str, text: str) -> None:
        await self.until(name, lambda sent: text in texts(sent))

    async def asked(self, name: str, times: int = 1) -> None:
        await self.until(name, lambda sent: requests(sent) >= times)

    def requests(self, name: str) -> int:
        return requests(self.models[name].sent)


@asynccontextmanager
async def chat_room(
    rule: ModeratorRule = ModeratorRule.ADDRESSED, max_agent_turns: int = 4
) -> AsyncIterator[Room]:
    room = Room(rule, max_agent_turns)
    async with room.session:
        for name, provider in room.providers.items():
            room.models[name] = provider.opened.get_nowait()
        yield room
        assert room.session.unforeseen == []


def texts(sent: list[ModelCommand]) -> list[str]:
    return [one.text for one in sent if isinstance(one, ours.AddText)]


def requests(sent: list[ModelCommand]) -> int:
    return sum(isinstance(one, ours.CreateResponse) for one in sent)


@pytest.mark.asyncio
async def test_the_agent_that_a_person_names_replies_and_the_others_hear_it() -> None:
    async with chat_room() as room:
        room.say("Ben, who are you?", "u1")
        await room.asked("ben")
        assert texts(room.models["ben"].sent) == ["Ben, who are you?"]
        room.reply("ben", "I am the second one")
        await room.heard("ada", "Ben: I am the second one")
        room.say("I see", "u2")
        await room.asked("ben", 2)
        assert room.requests("ada") == 0


@pytest.mark.asyncio
async def test_agents_go_on_when_they_address_one_another_until_their_turns_are_spent() -> None:
    async with chat_room(max_agent_turns=2) as room:
        room.say("hello", "u1")
        await room.asked("ada")
        room.reply("ada", "What do you say, Ben?")
        await room.asked("ben")
        assert texts(room.models["ben"].sent) == ["hello", "Ada: What do you say, Ben?"]
        room.reply("ben", "Ask Ada again")
        await room.heard("ada", "Ben: Ask Ada again")
        room.say("go on, Ben", "u2")
        await room.asked("ben", 2)
        assert room.requests("ada") == 1


@pytest.mark.asyncio
async def test_in_turn_each_agent_speaks_once_before_the_people_do() -> None:
    async with chat_room(ModeratorRule.ROUND_ROBIN, max_agent_turns=2) as room:
        room.say("introduce yourselves", "u1")
        await room.asked("ada")
        room.reply("ada", "I am the first")
        await room.asked("ben")
        room.reply("ben", "and I the second")
        await room.heard("ada", "Ben: and I the second")
        assert room.requests("ada") == 1


@pytest.mark.asyncio
async def test_a_person_who_interrupts_cuts_all_and_the_others_get_what_was_heard() -> None:
    async with chat_room() as room:
        room.say("Ben, tell a story", "u1")
        await room.asked("ben")
        room.reply("ben", "once upon a time there was Ada", sound=TONE * 50, is_done=False)
        await room.session.channel.wait_event("agent_response_audio_transcript_done")
        room.say("Stop, Ada shall go on", "u2")
        await room.asked("ada")
        [cut] = [one for one in texts(room.models["ada"].sent) if one.startswith("Ben:")] or [""]
        assert cut in ("", *(f"Ben: {part}" for part in prefixes("once upon a time there was Ada")))
        assert ours.CancelResponse("r1") in room.models["ben"].sent
        assert "Stop, Ada shall go on" in texts(room.models["ben"].sent)


def prefixes(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[:count]) for count in range(1, len(words))]


@pytest.mark.asyncio
async def test_events_say_which_agent_speaks() -> None:
    async with chat_room() as room:
        room.say("Ben?", "u1")
        await room.asked("ben")
        room.reply("ben", "yes")
        await room.session.channel.wait_event("agent_response_done")
        named = {
            event["agent_name"]
            for event, _ in room.session.channel.sent
            if event["type"].startswith("agent_response")
        }
        assert named == {"Ben"}


@pytest.mark.asyncio
async def test_clients_and_the_api_name_the_agent_that_is_meant() -> None:
    async with chat_room() as room:
        line = room.session.channel
        text = {"type": "client_text_append", "text": "who are you?", "agent": "ben"}
        line.hear_event(json.dumps(text), USER)
        await room.asked("ben")
        assert "who are you?" in texts(room.models["ada"].sent)
        line.hear_event(json.dumps(text | {"agent": "cleo"}), USER)
        await line.wait_event("agent_error")
        [refused] = [event for event, _ in line.sent if event["type"] == "agent_error"]
        assert (refused["code"], "ada, ben" in refused["message"]) == ("unknown_agent", True)
        await room.session.execute(Say(text="hello", agent="ada"))
        await room.asked("ada")
        await room.session.execute(Update(instructions="Be brief.", agent="ben"))
        [change] = [
            each for each in room.models["ben"].sent if isinstance(each, ours.UpdateSettings)
        ]
        assert change.changes["instructions"].startswith("Be brief.\n\nYou are Ben, one of several")
        assert room.requests("ben") == 1


@pytest.mark.asyncio
async def test_a_lone_agent_is_not_named() -> None:
    async with RunningSession(ToolContext()) as session:
        with pytest.raises(CommandRefusedError, match="one agent"):
            await session.session.requests.execute(Say(text="hello", agent="ada"))
