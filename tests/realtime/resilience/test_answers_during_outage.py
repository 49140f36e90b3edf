"""A tool that answers while the provider's session is being replaced: the model is told, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.model import Capabilities, ModelSettings, RealtimeModelConfig
from realtime.resilience.model import ResilientModel
from tests.deadlines import DEADLINE_S
from tests.realtime.resilience.stage import FAST, collecting
from tests.realtime.scripted_model import Provider, ScriptedModel

CONFIG = RealtimeModelConfig(
    "m", "ws://127.0.0.1:9", settings=ModelSettings(instructions="Be kind.")
)
REPLAYING = Capabilities(24_000, 24_000, has_history_replay=True)
FOLDED = Capabilities(24_000, 24_000)
RESUMING = replace(REPLAYING, has_resumption=True)
BARE = replace(RESUMING, has_history_replay=False, needs_response_after_tool=False)
TALKING_ON = replace(RESUMING, needs_response_after_tool=False)
SPOKEN_TO = replace(FOLDED, has_text_input=False)


class Gated(Provider):
    """Opens no session while its gate is closed."""

    def __init__(self, capabilities: Capabilities) -> None:
        super().__init__(capabilities)
        self.gate = asyncio.Event()
        self.gate.set()
        self.was_asked = asyncio.Event()

    def create(self) -> ScriptedModel:
        return GatedModel(self)


class GatedModel(ScriptedModel):
    async def connect(self, config: RealtimeModelConfig) -> None:
        assert isinstance(self.provider, Gated)
        self.provider.was_asked.set()
        await self.provider.gate.wait()
        await super().connect(config)


def told(model: ScriptedModel, output: str) -> int:
    """How often a session was told this, in any form."""
    assert model.config is not None
    times = (model.config.settings.instructions or "").count(output)
    for command in model.sent:
        match command:
            case ours.AddToolOutput(output=text) | ours.AddText(text=text):
                times += text.count(output)
            case ours.UpdateSettings(changes=changes):
                times = str(changes.get("instructions", "")).count(output)
    return times


async def asked(model: ScriptedModel) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not any(isinstance(command, ours.CreateResponse) for command in model.sent):
            model.news.clear()
            await model.news.wait()


@pytest.mark.asyncio
@pytest.mark.parametrize("when", ["during", "after"])
@pytest.mark.parametrize("has_handle", [True, False])
@pytest.mark.parametrize(
    ("capabilities", "refused"),
    [
        (REPLAYING, ()),
        (FOLDED, ()),
        (RESUMING, ()),
        (TALKING_ON, ()),
        (BARE, (ours.AddToolCall,)),
        (FOLDED, (ours.AddToolCall,)),
        (SPOKEN_TO, (ours.AddToolCall, ours.AddText)),
    ],
    ids=["replay", "folded", "resumed", "talks on", "bare", "folded, no calls", "spoken to"],
)
async def test_the_next_session_is_told_the_output(
    capabilities: Capabilities,
    refused: tuple[type[ModelCommand], ...],
    has_handle: bool,
    when: str,
) -> None:
    provider = Gated(capabilities)
    provider.refused = refused
    model = ResilientModel(provider.create, options=FAST)
    await model.connect(CONFIG)
    async with collecting(model) as talk:
        first = await provider.opened.get()
        first.say(
            ours.InputTranscriptDone("u1", "order a pizza"),
            ours.ResponseCreated("r1"),
            ours.ToolCallRequested("r1", "i1", "c1", "order", "{}"),
            ours.ResponseDone("r1", ours.ResponseStatus.COMPLETED),
        )
        await talk.until(ours.ResponseDone)
        if has_handle:
            first.say(ours.ResumptionUpdated("h1"))
            await talk.until(ours.ResumptionUpdated)
        provider.gate.clear()
        provider.was_asked.clear()
        first.say(ours.SessionEnded("lost"))
        async with asyncio.timeout(DEADLINE_S):
            await provider.was_asked.wait()
        if when == "during":
            await _answer(model, capabilities)
        provider.gate.set()
        async with asyncio.timeout(DEADLINE_S):
            second = await provider.opened.get()
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        if when == "after":
            await _answer(model, capabilities)
        await asked(second)
        assert told(second, "ORDERED") == 1


async def _answer(model: ResilientModel, capabilities: Capabilities) -> None:
    """What an agent does when a tool is done: it asks for a reply where its model needs that."""
    await model.send(ours.AddToolOutput("c1", "ORDERED"))
    if capabilities.needs_response_after_tool:
        await model.send(ours.CreateResponse())


@pytest.mark.asyncio
async def test_an_output_that_a_resumed_session_knows_is_not_told_again() -> None:
    provider = Provider(RESUMING)
    model = ResilientModel(provider.create, options=FAST)
    await model.connect(CONFIG)
    async with collecting(model) as talk:
        first = await provider.opened.get()
        first.say(ours.ToolCallRequested("r1", "i1", "c1", "order", "{}"))
        await talk.until(ours.ToolCallRequested)
        await model.send(ours.AddToolOutput("c1", "ORDERED"))
        first.say(ours.ResumptionUpdated("h1"))
        await talk.until(ours.ResumptionUpdated)
        first.say(ours.SessionEnded("lost"))
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        second = await provider.opened.get()
        assert told(second, "ORDERED") == 0
        assert second.config is not None
        assert second.config.resumption_handle == "h1"


@pytest.mark.asyncio
async def test_a_reply_that_broke_off_after_its_tools_is_owed() -> None:
    provider = Provider(TALKING_ON)
    model = ResilientModel(provider.create, options=FAST)
    await model.connect(CONFIG)
    async with collecting(model) as talk:
        first = await provider.opened.get()
        first.say(
            ours.ResponseCreated("r1"), ours.ToolCallRequested("r1", "i1", "c1", "order", "{}")
        )
        await talk.until(ours.ToolCallRequested)
        await model.send(ours.AddToolOutput("c1", "ORDERED"))
        first.say(ours.SessionEnded("lost"))
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        await asked(await provider.opened.get())
