"""Sounds of a call with a model that cannot speak outside of the conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio import write_wav
from config.sounds import Sounds
from conversation.turn_taking.speakers import VoiceChange
from realtime import events as model
from realtime.events import AddToolOutput, CreateResponse
from tests.session.running import OTHER, USER, RunningSession
from tools import ToolContext

RATE_HZ = 24_000


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, ...]:
    for name, value in (("phrase", 2_000), ("hum", 500)):
        pcm = np.full(RATE_HZ // 5, value, np.int16).tobytes()
        write_wav(tmp_path / f"{name}.wav", pcm, RATE_HZ)
    return (tmp_path,)


def session(
    folders: tuple[Path, ...], is_done: asyncio.Event, *, needs_approval: bool = False, **parts: Any
) -> RunningSession:
    async def work() -> str:
        await is_done.wait()
        return "worked"

    tools = ToolContext()
    tools.register_function("work", "Work.", work, needs_approval=needs_approval)
    return RunningSession(tools, sounds=Sounds.model_validate(parts), sound_folders=folders)


def calls_work(running: RunningSession) -> None:
    running.say(
        model.ResponseCreated("r"),
        model.ToolCallRequested("r", "i", "c", "work", "{}"),
        model.ResponseDone("r", model.ResponseStatus.COMPLETED),
    )


def playing(running: RunningSession) -> int | None:
    """The first sample of the single sound that plays now."""
    bed = running.channel.outgoing._bed
    return int(bed._single.clip.samples[-1]) if bed.is_playing and bed._single else None


@pytest.mark.asyncio
async def test_a_recorded_phrase_comes_first_then_the_loop_and_the_model_hears_of_neither(
    folders: tuple[Path, ...],
) -> None:
    is_done = asyncio.Event()
    thinking = {
        "after_s": 0.1,
        "sound": "hum",
        "phrases": "One moment.",
        "phrase_sounds": {"en": ["phrase"]},
    }
    async with session(folders, is_done, thinking=thinking) as running:
        calls_work(running)
        await running.until(lambda: playing(running) == 2_000)
        await running.until(lambda: playing(running) == 500)
        assert running.model.sent == []
        is_done.set()
        await running.until(lambda: playing(running) is None)
        await running.until(lambda: CreateResponse() in running.model.sent)
        assert [type(each) for each in running.model.sent] == [AddToolOutput, CreateResponse]
        assert running.unforeseen == []


@pytest.mark.asyncio
async def test_no_sign_is_given_while_a_person_is_asked_to_approve(
    folders: tuple[Path, ...],
) -> None:
    is_done = asyncio.Event()
    thinking = {"after_s": 0.1, "sound": "hum"}
    async with session(folders, is_done, needs_approval=True, thinking=thinking) as running:
        calls_work(running)
        parts = running.session.parts
        await running.until(lambda: parts.approvals.is_waiting)
        assert not parts.call_sounds._is_working()
        assert playing(running) is None


@pytest.mark.asyncio
async def test_a_background_lasts_as_long_as_a_person_is_there(folders: tuple[Path, ...]) -> None:
    background = {"sound": "hum"}
    async with session(folders, asyncio.Event(), background=background) as running:
        bed = running.channel.outgoing._bed
        assert not bed.is_active
        running.channel._emitter.emit("user_connected", USER)
        await running.until(lambda: bed._is_background_wanted)
        running.channel.lose(USER)
        running.channel._emitter.emit("user_left", None, "left")
        assert bed._is_background_wanted, "there is another one"
        running.channel.lose(OTHER)
        await running.until(lambda: not bed._is_background_wanted)
        await running.until(lambda: not bed.is_active)


@pytest.mark.asyncio
async def test_a_file_that_is_gone_costs_its_sound_and_not_the_call(tmp_path: Path) -> None:
    is_done = asyncio.Event()
    thinking = {"after_s": 0.1, "sound": "hum"}
    async with session((tmp_path,), is_done, thinking=thinking) as running:
        calls_work(running)
        await running.until(lambda: bool(running._lines.lines))
        assert "hum is gone" in running._lines.lines[0]
        is_done.set()
        await running.until(lambda: CreateResponse() in running.model.sent)


@pytest.mark.asyncio
async def test_a_short_noise_ends_the_loop_only_for_a_moment(folders: tuple[Path, ...]) -> None:
    is_done = asyncio.Event()
    thinking = {"after_s": 0.1, "sound": "hum"}
    async with session(folders, is_done, thinking=thinking) as running:
        calls_work(running)
        await running.until(lambda: playing(running) == 500)
        sounds = running.session.parts.call_sounds
        sounds.handle_voice(VoiceChange(USER, is_speaking=True, at_s=0.0))
        assert playing(running) is None
        await running.until(lambda: playing(running) == 500)
        is_done.set()


@pytest.mark.asyncio
async def test_a_key_of_the_telephone_is_a_sign_of_life(folders: tuple[Path, ...]) -> None:
    async with session(folders, asyncio.Event(), idle={"after_s": 600}) as running:
        limits = running.session.parts.limit_enforcer.limits
        limits._quiet_s = 5.0
        running.say(model.DtmfReceived("1", 0.0))
        await running.until(lambda: limits._quiet_s == 0.0)
