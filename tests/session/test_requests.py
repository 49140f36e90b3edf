"""Whatever people, the provider, the owner and the room say, a running session goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from conversation.events.client_events import (
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
)
from conversation.events.commands import Mute, Say, Update
from realtime import events as model
from realtime.events import ModelEvent
from tests.fuzz.inputs import inputs
from tests.fuzz.targets import TARGETS
from tests.session.running import OTHER, STRANGER, USER, RunningSession
from tools import ToolContext

CLIENT_EVENT = next(target for target in TARGETS if target.name == "client_event")
ENDING = (model.SessionEnded,)
"""What is meant to end a session."""

EVENTS = [
    event
    for event in get_args(ModelEvent)
    if dataclasses.is_dataclass(event) and event not in ENDING
]
UIDS = st.sampled_from([USER, OTHER, STRANGER, 0])
IDS = st.sampled_from(["", "a", "b", "c", "\ud83d", "\x00\n", "x" * 300])
TEXTS = st.one_of(
    IDS,
    st.text(max_size=20),
    st.sampled_from(["{}", "[" * 500, '{"a": 1}', r'{"q": "\ud83d"}', "nan", "🙂" * 9_000]),
)
INTS = st.one_of(st.integers(-3, 3), st.sampled_from([2**31, -(2**63), 10**30, 24_000]))
TOOL_NAMES = st.sampled_from(
    ["", "good", "bad", "odd", "slow", "paid", "theirs", "nothing", "\ud83d"]
)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that an adapter could put into such a field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, type(int | str)):
        return st.one_of(*map(values_of, arguments))
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin in (dict, Mapping):
        return st.dictionaries(TEXTS, values_of(arguments[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if dataclasses.is_dataclass(hint):
        return events_of(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        int: INTS,
        float: st.one_of(st.floats(), INTS.map(float)),
        bool: st.booleans(),
        bytes: st.binary(max_size=1_001),
        type(None): st.none(),
        Any: TEXTS,
    }
    return plain[hint]


def events_of(kind: Any) -> st.SearchStrategy[Any]:
    fields = {name: values_of(hint) for name, hint in get_type_hints(kind).items()}
    for name in fields:
        if name.endswith("_id"):
            fields[name] = IDS
    if kind is model.ToolCallRequested:
        fields["name"] = TOOL_NAMES
    if kind is model.AudioDelta:
        # Adapters join what is cut within a sample, and know the rate.
        fields["pcm"] = st.binary(max_size=1_000).map(lambda pcm: pcm[: len(pcm) // 2 * 2])
        fields["sample_rate_hz"] = st.just(24_000)
    return st.builds(kind, **fields)


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that happens to a session."""

    name: str
    do: Callable[[RunningSession], Any]

    def __repr__(self) -> str:
        return self.name


def _said(event: Any) -> Step:
    return Step(repr(event), lambda session: session.say(event))


def _told(data: bytes, uid: int) -> Step:
    text = data.decode(errors="replace")
    return Step(
        f"event {text!r:.300} of {uid}", lambda session: session.channel.hear_event(text, uid)
    )


def _sent(event: dict[str, Any], uid: int) -> Step:
    text = json.dumps(event)
    return Step(
        f"event {text:.300} of {uid}", lambda session: session.channel.hear_event(text, uid)
    )


def _written(text: str, uid: int) -> Step:
    return Step(
        f"chat {text!r:.100} of {uid}", lambda session: session.channel.hear_chat(text, uid)
    )


def _ordered(command: Any) -> Step:
    return Step(repr(command), lambda session: session.execute(command))


TOOL = st.fixed_dictionaries(
    {"name": TOOL_NAMES}, optional={"parameters": st.just({"type": "object"})}
)
COMMANDS = st.one_of(
    st.builds(Say, text=st.text(min_size=1, max_size=9), should_interrupt=st.booleans()),
    st.builds(Mute, is_muted=st.booleans()),
    st.builds(
        Update,
        instructions=st.none() | st.text(max_size=9),
        voice=st.none() | st.text(max_size=9),
        tools=st.none() | st.lists(TOOL, max_size=2).map(tuple),
        turn_detection=st.none() | st.dictionaries(st.text(max_size=9), INTS, max_size=2),
    ),
    st.builds(ClientTextAppend, text=st.text(min_size=1, max_size=9)),
    st.just(ClientResponseCancel()),
    st.builds(ClientToolResult, id=st.sampled_from("abc"), name=st.just(""), output=st.text()),
    st.builds(ClientToolApproval, id=st.sampled_from("abc"), approve=st.booleans()),
)
SOUND_EVENTS = st.sampled_from(
    [
        {"type": "client_response_create"},
        {"type": "client_response_cancel"},
        {"type": "client_audio_commit"},
        {"type": "client_activity_start"},
        {"type": "client_activity_end"},
        {"type": "client_playout_report", "playout_delay_ms": 10_000},
        {"type": "client_playout_report", "item_id": "a", "content_index": 0, "played_ms": 1e7},
        {"type": "client_image_append", "image": "é"},
        {"type": "client_image_append", "image": "A"},
        {"type": "client_image_append", "image": "AAA_-"},
        {"type": "client_text_append", "text": "\ud83d"},
        {"type": "client_tool_result", "id": "a", "name": "theirs", "output": "\ud83d"},
        {"type": "client_tool_result", "id": "b", "name": "", "output": [{"a": [[[1]]]}]},
        {"type": "client_tool_approval", "id": "a", "approve": True, "always": True},
    ]
)
STEPS = st.one_of(
    st.one_of(*map(events_of, EVENTS)).map(_said),
    st.builds(_told, inputs(CLIENT_EVENT), UIDS),
    st.builds(_sent, SOUND_EVENTS, UIDS),
    st.builds(_written, st.text(max_size=20), UIDS),
    COMMANDS.map(_ordered),
    st.builds(lambda uid: Step(f"{uid} leaves", lambda session: session.channel.lose(uid)), UIDS),
    st.just(Step("a moment", lambda _session: asyncio.sleep(0.001))),
)


def odd_tools() -> ToolContext:
    """Tools that answer, and tools that do whatever else foreign code may do."""

    async def bad() -> None:
        raise asyncio.CancelledError

    def odd() -> Any:
        raise SystemExit(3)

    async def slow() -> None:
        await asyncio.Event().wait()

    tools = ToolContext(client_timeout_s=0.01, approval_timeout_s=0.01)
    tools.register_function("good", "Good.", lambda: {"it": {1.5, float("nan")}}, {})
    tools.register_function("bad", "Bad.", bad)
    tools.register_function("odd", "Odd.", odd, {})
    tools.register_function("slow", "Slow.", slow, timeout_s=0.01, cancel_on_interrupt=True)
    tools.register_function("paid", "Paid.", lambda: "paid", {}, needs_approval=True)
    tools.register_client_function({"name": "theirs"})
    return tools


async def live_through(steps: list[Step]) -> None:
    async with RunningSession(odd_tools()) as session:
        for step in steps:
            if (work := step.do(session)) is not None:
                await work
            await asyncio.sleep(0)
        await session.require_answers("are you there?")
        assert session.unforeseen == []


@given(steps=st.lists(STEPS, min_size=1, max_size=12))
def test_a_session_lives_through_anything(steps: list[Step]) -> None:
    asyncio.run(live_through(steps))
