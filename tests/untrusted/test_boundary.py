"""Errors of foreign input and code are contained, counted and logged; cancellation passes through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from conversation.vitals import InputFailures
from untrusted.boundary import Boundary, Caught, InputKind, is_own_end, unowned_failures

FOREIGN = [
    ValueError("secret"),
    asyncio.CancelledError("secret"),
    SystemExit("secret"),
    KeyboardInterrupt("secret"),
    GeneratorExit("secret"),
    StopAsyncIteration("secret"),
    MemoryError("secret"),
    RecursionError("secret"),
    BaseExceptionGroup("secret", [KeyboardInterrupt()]),
]


def boundary() -> Boundary:
    return Boundary(logging.getLogger("test"))


async def fail(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


@pytest.mark.asyncio
@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
async def test_whatever_is_raised_costs_that_input_alone(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    around = boundary()
    with caplog.at_level(logging.INFO), around.guard(InputKind.CHAT, "message") as attempt:
        await fail(error)
    assert attempt.failure == type(error).__name__
    assert around.failures == {InputKind.CHAT: 1}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"chat message failed: {type(error).__name__}" in caplog.text
    assert "test_boundary.py" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.asyncio
async def test_the_cancellation_of_the_task_passes_through() -> None:
    around = boundary()
    entered = asyncio.Event()

    async def wait() -> None:
        with around.guard(InputKind.TOOL, "call"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(wait())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wait()
    assert not around.failures


def test_a_coroutine_that_is_closed_ends() -> None:
    around = boundary()

    @asyncio.coroutines.types.coroutine  # type: ignore[attr-defined,untyped-decorator]
    def pause() -> Any:
        yield

    async def inner() -> None:
        await pause()

    async def outer() -> None:
        with around.guard(InputKind.TOOL, "call"):
            await inner()
        raise AssertionError("it went on")

    waiting: Coroutine[Any, Any, None] = outer()
    waiting.send(None)
    waiting.close()
    assert not around.failures


def test_without_a_task_no_cancellation_is_ours() -> None:
    assert not is_own_end(asyncio.CancelledError())
    with Caught() as caught:
        raise asyncio.CancelledError
    assert isinstance(caught.error, asyncio.CancelledError)


@pytest.mark.asyncio
async def test_a_place_is_an_error_once_and_repeats_do_not_flood(
    caplog: pytest.LogCaptureFixture,
) -> None:
    around = boundary()
    with caplog.at_level(logging.INFO):
        for _ in range(200):
            with around.guard(InputKind.CLIENT_EVENT, "event"):
                await fail(ValueError())
        with around.guard(InputKind.CLIENT_EVENT, "event"):
            raise ValueError
    levels = [record.levelname for record in caplog.records]
    assert levels.count("ERROR") == 2, "two places"
    assert levels.count("WARNING") <= 2
    assert around.failures[InputKind.CLIENT_EVENT] == 201


def test_an_expected_error_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    around = boundary()
    caplog.set_level(logging.INFO)
    with around.guard(InputKind.HOOK, "say", expected=(KeyError,)) as attempt:
        raise KeyError("secret")
    assert (attempt.failure, dict(around.failures), caplog.text) == ("KeyError", {}, "")


def test_a_wrapped_function_never_raises() -> None:
    around = boundary()
    heard: list[int] = []

    def listener(number: int) -> None:
        heard.append(number)
        raise SystemExit(number)

    contained = around.wrap(InputKind.ROOM_EVENT, "user_left", listener)
    contained(1)
    contained(2)
    assert heard == [1, 2]
    assert around.failures[InputKind.ROOM_EVENT] == 2


def test_kinds_are_those_that_are_reported() -> None:
    assert {str(kind) for kind in InputKind} == set(InputFailures.model_fields)


@pytest.mark.asyncio
async def test_the_text_of_a_background_failure_is_logged_at_debug_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    caplog.set_level(logging.INFO)
    handler = unowned_failures(logging.getLogger("test"))
    handler(loop, {"message": "Task exception was never retrieved", "exception": failure()})
    handler(loop, {"message": "Unclosed connection"})
    assert "ValueError at" in caplog.text
    assert "test_boundary.py" in caplog.text
    assert "Unclosed connection" in caplog.text
    assert "what people say" not in caplog.text


def failure() -> BaseException:
    try:
        int("what people say")
    except ValueError as error:
        return error
    raise AssertionError
