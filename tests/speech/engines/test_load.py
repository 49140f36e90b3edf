"""The figures by which new sessions are refused before running ones stutter."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from speech.engine_pool import EnginePool
from speech.engines.load import MAX_USE, MAX_WAIT_S, WINDOW_S, EngineLoad
from speech.settings import SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.real_server import poll
from tests.speech.engines.fake_engines import FakeEars, FakeVoice, fake_engines
from tests.speech.local_model import model_server


def test_an_idle_engine_takes_more() -> None:
    figures = EngineLoad(2).figures(100.0, None)
    assert (figures.use, figures.longest_wait_s, figures.is_overloaded) == (0.0, 0.0, False)


def test_use_is_the_worked_share_of_all_slots() -> None:
    load = EngineLoad(2)
    load.begin("a", 100.0, 0.0)
    load.end("a", 104.0)
    load.begin("b", 105.0, None)
    figures = load.figures(110.0, None)
    assert figures.use == pytest.approx((4 + 5) / 20)
    assert not figures.is_overloaded
    # What ended before the window no longer counts, what runs does.
    assert load.figures(104.0 + WINDOW_S + 0.1, None).use == pytest.approx(9.1 / 20)
    assert load.figures(130.0, None).use == pytest.approx(0.5)


def test_an_engine_that_is_always_busy_is_overloaded() -> None:
    load = EngineLoad(1)
    load.begin("a", 100.0, None)
    assert not load.figures(100.0 + WINDOW_S * MAX_USE - 0.1, None).is_overloaded
    assert load.figures(100.0 + WINDOW_S * MAX_USE + 0.1, None).is_overloaded


def test_waits_of_listeners_count_for_a_while_and_at_once() -> None:
    load = EngineLoad(2)
    load.begin("a", 100.0, MAX_WAIT_S + 0.01)
    load.end("a", 100.1)
    assert load.figures(101.0, None).is_overloaded
    assert not load.figures(101.0 + WINDOW_S, None).is_overloaded
    assert load.figures(120.0, 120.0 - MAX_WAIT_S - 0.01).is_overloaded
    assert not load.figures(120.0, 120.0 - MAX_WAIT_S + 0.01).is_overloaded


@pytest.mark.asyncio
async def test_few_sessions_are_taken_however_busy_the_engines_are() -> None:
    ears = FakeEars()
    ears.go.clear()
    pool = EnginePool(fake_engines(ears, FakeVoice(), slots=1), SpeechSettings(worker_threads=2))
    sessions = [pool.session() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for session in sessions:
            group.create_task(session.transcribe(b""))
        await asyncio.sleep(MAX_WAIT_S + 0.05)
        assert pool.overload() is None
        sessions.append(pool.session())
        assert "recogniser is at its limit with 4 sessions" in str(pool.overload())
        ears.go.set()
    assert len(ears.languages) == 3
    await pool.close()


@pytest.mark.asyncio
async def test_a_slow_engine_has_further_clients_refused_and_not_those_it_serves() -> None:
    ears = FakeEars()
    engines = fake_engines(ears, FakeVoice(), slots=1)
    settings = SpeechSettings(worker_threads=1)
    async with (
        model_server(engines, settings) as (server, port),
        aiohttp.ClientSession() as http,
    ):
        url = f"http://127.0.0.1:{port}"
        first = await http.ws_connect(f"{url}/v1/realtime?model=m")
        second = await http.ws_connect(f"{url}/v1/realtime?model=m")
        for each in (first, second):
            assert (await each.receive_json(timeout=DEADLINE_S))["type"] == "session.created"
        assert (await _health(http, url))["accepts_sessions"]
        ears.go.clear()
        audio = {"type": "input_audio", "audio": "AAAA" * 4_000}
        item = {"type": "message", "role": "user", "content": [audio]}
        for each in (first, second):
            await each.send_json({"type": "conversation.item.create", "item": item})

        async def is_refusing() -> bool:
            return not (await _health(http, url))["accepts_sessions"]

        await poll(is_refusing, DEADLINE_S)
        response = await http.get(
            f"{url}/v1/realtime?model=m", headers={"Upgrade": "websocket", "Connection": "Upgrade"}
        )
        assert response.status == 503
        error = (await response.json())["error"]
        assert error["code"] == "too_many_sessions"
        assert "recogniser is at its limit with 2 sessions" in error["message"]
        ears.go.set()
        for each in (first, second):
            while True:
                event = await each.receive_json(timeout=DEADLINE_S)
                if event["type"] == "conversation.item.input_audio_transcription.completed":
                    break
            await each.close()
        assert server.is_ready


async def _health(http: aiohttp.ClientSession, url: str) -> dict[str, bool]:
    async with http.get(f"{url}/healthz") as response:
        health: dict[str, bool] = await response.json()
        return health
