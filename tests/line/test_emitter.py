"""Listeners: called, called once, forgotten, and never able to harm."""

from __future__ import annotations

import asyncio
import logging

import pytest

from line.emitter import Emitter


@pytest.mark.asyncio
async def test_calls_listeners_until_they_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter(frozenset({"event"}))
    heard: list[str] = []
    async_heard = asyncio.Event()

    def fail(_text: str) -> None:
        raise ValueError("bad listener")

    async def listen(_text: str) -> None:
        async_heard.set()

    keep = heard.append
    emitter.on("event", fail)
    emitter.on("event", keep)
    emitter.once("event", lambda text: heard.append(f"once {text}"))
    emitter.on("event", listen)
    with caplog.at_level(logging.ERROR):
        emitter.emit("event", "a")
    assert "a listener of event failed" in caplog.text
    await asyncio.wait_for(async_heard.wait(), 1)
    emitter.off("event", fail)
    emitter.emit("event", "b")
    emitter.off("event", keep)
    emitter.off("event", keep)
    emitter.emit("event", "c")
    assert heard == ["a", "once a", "b"]
    await emitter.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), RecursionError()]
)
async def test_no_failure_of_a_listener_reaches_who_emits(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = Emitter(frozenset({"event"}))
    heard: list[str] = []

    def fail() -> None:
        raise error

    async def fail_later() -> None:
        heard.append("later")
        raise error

    for listener in (fail, fail_later, lambda: heard.append("kept")):
        emitter.on("event", listener)
    emitter.emit("event")
    await asyncio.sleep(0)
    assert heard == ["kept", "later"]
    assert caplog.text.count(f"failed: {type(error).__name__}") == 2
    await emitter.close()


@pytest.mark.asyncio
async def test_close_ends_async_listeners() -> None:
    emitter = Emitter(frozenset({"event"}))
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    emitter.on("event", hang)
    emitter.emit("event")
    await asyncio.sleep(0)
    await emitter.close()
    assert ended.is_set()
    emitter.emit("event")


def test_unknown_names_are_errors() -> None:
    with pytest.raises(KeyError):
        Emitter(frozenset({"event"})).on("evnet", print)
