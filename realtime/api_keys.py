"""Keys that a function gives: asked for at each connect, off the loop, checked, and never logged."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, runtime_checkable

from realtime.model import ApiKey, ModelConnectError

MAX_KEY_CHARACTERS: Final = 16 * 1024
"""More than any token, and as much as servers take in a header."""

_KEY: Final = re.compile(rf"[!-~]{{1,{MAX_KEY_CHARACTERS}}}")


@runtime_checkable
class KeptKey(Protocol):
    """A key function that keeps what it gave for the next connects."""

    def __call__(self) -> str | Awaitable[str]:
        """The key."""
        ...

    def forget(self) -> bool:
        """The provider refused the key; return true if it was kept from an earlier connect."""
        ...


def forget_key(api_key: ApiKey) -> bool:
    """Have a refused key made anew the next time; true if that may help."""
    return isinstance(api_key, KeptKey) and api_key.forget()


async def resolve_key(api_key: ApiKey) -> str | None:
    """Return the key itself. A plain function runs in a thread of its own: it may block.

    Raises:
        ModelConnectError: the function failed or gave no key; the text repeats nothing of it.
    """
    if not callable(api_key):
        return api_key
    try:
        made = api_key() if _is_async(api_key) else await run_in_thread(api_key)
        key = await made if inspect.isawaitable(made) else made
    except ModelConnectError:
        raise  # says better than we could why there is no key
    except Exception as error:
        raise no_key(f"the function that gives the key failed ({type(error).__name__})") from error
    return checked_key(key, "the function that gives the key")


def checked_key(key: Any, source: str) -> str:
    """Return a key that a header can carry, without space around it.

    source: in words, the place that it comes from

    Raises:
        ModelConnectError: it is none; the text does not repeat it.
    """
    text = key.strip() if isinstance(key, str) else ""
    if _KEY.fullmatch(text) is None:
        raise no_key(f"{source} gave none: it is one word of visible ASCII")
    return text


def no_key(text: str) -> ModelConnectError:
    """The error of a source of keys; another attempt may find it well again."""
    return ModelConnectError(text, code="no_api_key", is_retryable=True)


def _is_async(function: Callable[[], Any]) -> bool:
    call = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Call a function that may block; one that hangs does not delay the end of the process."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()

    def finish(outcome: tuple[Any, Exception | None]) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def work() -> None:
        outcome: tuple[Any, Exception | None]
        try:
            outcome = (function(), None)
        except Exception as error:  # noqa: BLE001 - an owner's function may raise anything
            outcome = (None, error)
        # The loop may be closed by then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, outcome)

    threading.Thread(target=work, name="key", daemon=True).start()
    value, error = await ended
    if error is not None:
        raise error
    return value
