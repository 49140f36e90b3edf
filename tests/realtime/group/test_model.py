"""Several models as one: who hears what, who is asked, and whose event it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from realtime import events as ours
from realtime.events import ModelCommand, ModelEvent
from realtime.group.model import GroupModel, Member
from realtime.model import Capabilities, RealtimeModelConfig, UnsupportedCommandError
from realtime.resilience.model import ResilienceOptions, ResilientModel
from realtime.resilience.transcript import TextEntry, ToolCallEntry
from tests.deadlines import DEADLINE_S
from tests.realtime.scripted_model import Provider, ScriptedModel

LISTENER = Capabilities(24_000, 24_000, has_truncation=True, has_turn_control=True)
JPEG = frozenset({"image/jpeg"})
OTHER = Capabilities(16_000, 24_000, image_types=JPEG, needs_response_after_tool=False)
CONFIG = RealtimeModelConfig(model="m", base_uri="ws://127.0.0.1:9")


class Group:
    """A connected group of two scripted models, Ada (the listener) and Ben."""

    def __init__(self) -> None:
        self.providers = {"ada": Provider(LISTENER), "ben": Provider(OTHER)}
        members = [
            Member(name, name.title(), ResilientModel(provider.create, options=ResilienceOptions()))
            for name, provider in self.providers.items()
        ]
        self.model = GroupModel(members)
        self.model.configs["ben"] = replace(CONFIG, model="other")
        self.scripted: dict[str, ScriptedModel] = {}
        self.events: list[ModelEvent] = []
        self._news = asyncio.Event()

    async def open(self) -> None:
        await self.model.connect(CONFIG)
        for name, provider in self.providers.items():
            self.scripted[name] = provider.opened.get_nowait()

    async def read(self) -> None:
        async for event in self.model.events():
            self.events.append(event)
            self._news.set()

    def sent(self, name: str) -> list[ModelCommand]:
        return self.scripted[name].sent

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def seen(self, event: ModelEvent) -> None:
        """Until the group's consumer got this event."""
        await self.until(lambda: event in self.events)


@asynccontextmanager
async def group() -> AsyncIterator[Group]:
    made = Group()
    await made.open()
    reading = asyncio.get_running_loop().create_task(made.read())
    try:
        yield made
    finally:
        await made.model.close()
        await reading


def texts(sent: list[ModelCommand]) -> list[str]:
    return [one.text for one in sent if isinstance(one, ours.AddText)]


def requests(sent: list[ModelCommand]) -> int:
    return sum(isinstance(one, ours.CreateResponse) for one in sent)


@pytest.mark.asyncio
async def test_sound_goes_to_the_listener_and_words_to_the_others_by_name() -> None:
    async with group() as room:
        await room.model.send(ours.AppendAudio(b"\0\0"))
        await room.model.hear("Anna", "hello")
        await room.model.hear("Ben", "hi Anna", of="ben")
        await room.model.send(ours.AddText("typed"))
        assert room.sent("ada") == [
            ours.AppendAudio(b"\0\0"),
            ours.AddText("Ben: hi Anna"),
            ours.AddText("typed"),
        ]
        assert texts(room.sent("ben")) == ["Anna: hello", "typed"]


@pytest.mark.asyncio
async def test_ids_say_whose_they_are_and_commands_find_their_owner() -> None:
    async with group() as room:
        for name in ("ada", "ben"):
            room.scripted[name].say(
                ours.ResponseCreated("r1"),
                ours.AudioDelta("r1", "i1", 0, b"\0\0", 24_000),
                ours.TranscriptDone("r1", "i1", 0, f"I am {name}"),
            )
        await room.seen(ours.TranscriptDone("ada:r1", "ada:i1", 0, "I am ada"))
        await room.seen(ours.TranscriptDone("ben:r1", "ben:i1", 0, "I am ben"))
        assert {room.model.owner_of(f"{name}:r1") for name in ("ada", "ben")} == set(
            room.model.members.values()
        )
        await room.model.send(ours.TruncateItem("ada:i1", 0, 100, "I"))
        assert ours.TruncateItem("i1", 0, 100, "I") in room.sent("ada")
        await room.model.send(ours.CancelResponse())
        assert all(ours.CancelResponse("r1") in room.sent(name) for name in ("ada", "ben"))
        entry = room.model.transcript.find("ada:i1")
        assert isinstance(entry, TextEntry)
        assert (entry.text, entry.speaker, entry.is_cut) == ("I", "ada", True)


@pytest.mark.asyncio
async def test_turns_of_people_are_those_that_the_listener_noticed() -> None:
    async with group() as room:
        room.scripted["ben"].say(ours.SpeechStarted("i9", 0), ours.ProviderError("x", "y"))
        room.scripted["ada"].say(ours.SpeechStarted("i1", 0))
        await room.seen(ours.SpeechStarted("ada:i1", 0))
        await room.seen(ours.ProviderError("x", "y"))
        assert ours.SpeechStarted("ben:i9", 0) not in room.events


@pytest.mark.asyncio
async def test_a_reply_is_asked_of_the_moderators_choice_or_of_the_member_whose_tools_ended() -> (
    None
):
    async with group() as room:
        asked: list[str] = []

        async def decide() -> None:
            asked.append("decide")
            await room.model.speak("ben")

        room.model.on_reply_due = decide
        await room.model.send(ours.CreateResponse())
        assert (asked, requests(room.sent("ada")), requests(room.sent("ben"))) == (["decide"], 0, 1)
        # Words for the present speaker only, such as those of `say`.
        await room.model.send(ours.CreateResponse("Say exactly: hello"))
        assert requests(room.sent("ben")) == 2
        # Ada's tool: Ada goes on, without the moderator.
        room.scripted["ada"].say(ours.ToolCallRequested("r1", "i1", "c1", "find", "{}"))
        await room.seen(ours.ToolCallRequested("ada:r1", "ada:i1", "ada:c1", "find", "{}"))
        await room.model.send(ours.AddToolOutput("ada:c1", "found"))
        assert ours.AddToolOutput("c1", "found") in room.sent("ada")
        await room.model.send(ours.CreateResponse())
        assert (asked, requests(room.sent("ada"))) == (["decide"], 1)


@pytest.mark.asyncio
async def test_a_model_that_goes_on_after_tools_by_itself_is_not_asked_to() -> None:
    async with group() as room:
        room.scripted["ben"].say(ours.ToolCallRequested("r1", "i1", "c1", "find", "{}"))
        await room.seen(ours.ToolCallRequested("ben:r1", "ben:i1", "ben:c1", "find", "{}"))
        await room.model.send(ours.AddToolOutput("ben:c1", "found"))
        await room.model.send(ours.CreateResponse())
        assert [requests(room.sent(name)) for name in ("ada", "ben")] == [0, 0]


@pytest.mark.asyncio
async def test_pictures_go_to_those_who_see_them() -> None:
    async with group() as room:
        picture = ours.AddImage(b"jpeg")
        await room.model.send(picture)
        assert picture in room.sent("ben")
        assert picture not in room.sent("ada")


@pytest.mark.asyncio
async def test_a_change_of_settings_names_its_agent() -> None:
    async with group() as room:
        change = ours.UpdateSettings({"voice": "sage"})
        with pytest.raises(UnsupportedCommandError, match="name the one"):
            await room.model.send(change)
        with pytest.raises(UnsupportedCommandError, match="no agent cleo"):
            await room.model.update("cleo", change)
        await room.model.update("ben", change)
        assert change in room.sent("ben")


def test_the_listener_must_leave_replies_to_us_and_the_others_take_text() -> None:
    def members(*capabilities: Capabilities) -> list[Member]:
        return [
            Member(name, name, ResilientModel(Provider(each).create))
            for name, each in zip("ab", capabilities, strict=True)
        ]

    with pytest.raises(UnsupportedCommandError, match="a: the first agent"):
        GroupModel(members(OTHER, LISTENER))
    with pytest.raises(UnsupportedCommandError, match="b: an agent beside"):
        GroupModel(members(LISTENER, replace(OTHER, has_text_input=False)))


@pytest.mark.asyncio
async def test_a_restored_conversation_is_seen_by_each_member_from_its_side() -> None:
    room = Group()
    room.model.restore(
        [
            TextEntry(0, "u1", "user", "hello"),
            TextEntry(1, "a1", "assistant", "I am Ada", speaker="ada"),
            ToolCallEntry(2, "ben:i2", "ben:c1", "find", "{}", "found"),
            TextEntry(3, "b1", "assistant", "I am Ben", speaker="ben"),
        ]
    )
    seen = {
        name: [
            (one.role, one.text) if isinstance(one, TextEntry) else one.call_id
            for one in member.model.transcript.since(0)
            if isinstance(one, TextEntry | ToolCallEntry)
        ]
        for name, member in room.model.members.items()
    }
    assert seen == {
        "ada": [("user", "hello"), ("assistant", "I am Ada"), ("user", "Ben: I am Ben")],
        "ben": [("user", "hello"), ("user", "Ada: I am Ada"), "c1", ("assistant", "I am Ben")],
    }
    assert room.model.floor == "ben"
    await room.model.close()


@pytest.mark.asyncio
async def test_a_reply_outside_of_the_conversation_takes_no_floor_and_is_not_heard() -> None:
    able = replace(LISTENER, reply_options=frozenset({"out_of_band", "input_items"}))
    mark = ours.OutOfBand("side1")
    async with group() as room:
        room.providers["ada"].capabilities = able
        room.model.members["ada"].model._outside = able  # type: ignore[attr-defined]
        items = (ours.AddText("hi"), ours.ItemReference("ada:i1"), ours.ItemReference("ben:i2"))
        room.scripted["ada"].say(ours.ItemAdded("i1", "message", "user"))
        await room.seen(ours.ItemAdded("ada:i1", "message", "user"))
        await room.model.send(ours.CreateResponse(input_items=items, out_of_band=mark))
        assert room.sent("ada") == [
            ours.CreateResponse(
                input_items=(ours.AddText("hi"), ours.ItemReference("i1")), out_of_band=mark
            )
        ]
        done = ours.ResponseDone("r", ours.ResponseStatus.COMPLETED, out_of_band=mark)
        room.scripted["ada"].say(
            ours.ResponseCreated("r", out_of_band=mark), ours.TextDone("r", "i", 0, "angry"), done
        )
        await room.seen(replace(done, response_id="ada:r"))
        assert ours.TextDone("ada:r", "ada:i", 0, "angry") in room.events
        assert room.model.transcript.find("ada:i") is None
        assert texts(room.sent("ben")) == []
        await room.model.send(ours.CancelResponse())
        assert not [one for one in room.sent("ada") if isinstance(one, ours.CancelResponse)]
