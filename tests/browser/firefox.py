"""A real Firefox, steered over WebDriver BiDi, whose microphone is a tone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.browser.bidi import Bidi, BidiError, Event, to_remote
from tests.browser.instruments import instruments
from tests.browser.waits import FIND, wait_until_seen
from tests.fakes.sound_server import running_sound_server
from utils import OwnedTasks

NAMES = ("firefox-esr", "firefox")
READY_S = 60.0
STOP_S = 20.0

# Streams are at the rate of the device there: a context of another rate cannot listen to them.
INSTRUMENTS = instruments()

_PREFERENCES: dict[str, bool | int | str] = {
    # A microphone without a device, and nobody is asked for it.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    # Media of this machine alone: addresses are neither hidden nor left out.
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    # It asks nothing of anybody else.
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.aboutHomeSnippets.updateUrl": "",
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.search.update": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.update.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "services.settings.server": "http://127.0.0.1:9/v1",
    "signon.autofillForms": False,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
}


def find_firefox() -> str:
    """Path of a Firefox; a machine without one fails the test, it does not skip it."""
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.fail("no Firefox found: install it, for instance with 'apt-get install firefox-esr'")


class FirefoxPage:
    """One tab."""

    def __init__(self, bidi: Bidi, context: str) -> None:
        self._bidi = bidi
        self._context = context
        self.complaints: list[str] = []
        self.tolerated: list[str] = []
        bidi.on("log.entryAdded", self._handle_log)

    async def goto(self, url: str) -> None:
        """Open a page; returns when it is loaded."""
        await self._bidi.send(
            "browsingContext.navigate", context=self._context, url=url, wait="complete"
        )

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a function, or an expression, gives in the page, as JSON.

        Raises:
            BidiError: it threw.
        """
        result = await self._bidi.send(
            "script.callFunction",
            functionDeclaration=f"""async (argument) => {{
              const found = await ({script});
              const value = typeof found === 'function' ? await found(argument) : found;
              return JSON.stringify(value ?? null);
            }}""",
            arguments=[to_remote(argument)],
            awaitPromise=True,
            target={"context": self._context},
            userActivation=False,
        )
        if result["type"] == "exception":
            raise BidiError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    async def click(self, selector: str) -> None:
        """Click on the middle of an element with a pointer, as a person does."""
        await wait_until_seen(self, selector)
        origin = {"type": "element", "element": await self._find(selector)}
        actions = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        await self._perform({"type": "pointer", "id": "mouse", "actions": actions})

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other; a key is what `KeyboardEvent.key` says, or a text."""
        actions = []
        for key in "".join(_KEYS.get(key, key) for key in keys):
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        await self._perform({"type": "key", "id": "keyboard", "actions": actions})

    async def screenshot(self) -> bytes:
        """A picture of it, as PNG."""
        taken = await self._bidi.send("browsingContext.captureScreenshot", context=self._context)
        return base64.b64decode(taken["data"])

    async def _find(self, selector: str) -> dict[str, Any]:
        result = await self._bidi.send(
            "script.callFunction",
            functionDeclaration=f"(selector) => ({FIND})(selector)",
            arguments=[to_remote(selector)],
            awaitPromise=False,
            target={"context": self._context},
        )
        return {"sharedId": result["result"]["sharedId"]}

    async def _perform(self, source: dict[str, Any]) -> None:
        await self._bidi.send("input.performActions", context=self._context, actions=[source])

    def _handle_log(self, entry: Event) -> None:
        is_ours = entry["source"].get("context") == self._context
        if is_ours and entry["level"] == "error":
            self.complaints.append(entry["text"] or "")


_KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c", " ": " "}


@asynccontextmanager
async def open_firefox() -> AsyncIterator[Bidi]:
    """A headless Firefox with a profile of its own."""
    # Without a sound device its AudioContexts never run.
    async with running_sound_server() as sound:
        with tempfile.TemporaryDirectory(prefix="parley-firefox-") as profile:
            _write_preferences(Path(profile))
            async with _running(profile, sound) as bidi:
                yield bidi


def _write_preferences(profile: Path) -> None:
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in _PREFERENCES.items()
    ]
    (profile / "user.js").write_text("".join(lines))


@asynccontextmanager
async def _running(profile: str, sound: dict[str, str]) -> AsyncIterator[Bidi]:
    process = await asyncio.create_subprocess_exec(
        *(find_firefox(), "--headless", "--no-remote", "--profile", profile),
        *("--remote-debugging-port", "0", "about:blank"),
        env={**os.environ, **sound, "HOME": profile, "MOZ_CRASHREPORTER_DISABLE": "1"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    tasks = OwnedTasks(logging.getLogger("firefox"))
    try:
        assert process.stderr is not None
        url = await _read_url(process.stderr)
        tasks.start(_drain(process.stderr), name="firefox output")
        async with aiohttp.ClientSession() as http:
            # No limit: a screenshot or what was heard may be large.
            bidi = Bidi(await http.ws_connect(f"{url}/session", max_msg_size=0))
            try:
                await bidi.send("session.new", capabilities={})
                await bidi.send("session.subscribe", events=["log.entryAdded"])
                yield bidi
            finally:
                with contextlib.suppress(BidiError):
                    await bidi.send("browser.close")
                await bidi.close()
    finally:
        await _end(process)
        await tasks.close()


async def open_firefox_page(bidi: Bidi) -> FirefoxPage:
    """A new tab, with an ear on what its page plays."""
    await bidi.send("script.addPreloadScript", functionDeclaration=f"() => {{{INSTRUMENTS}}}")
    created = await bidi.send("browsingContext.create", type="tab")
    return FirefoxPage(bidi, created["context"])


async def _read_url(output: asyncio.StreamReader) -> str:
    said: list[str] = []
    async with asyncio.timeout(READY_S):
        while line := (await output.readline()).decode():
            said.append(line)
            if (found := re.search(r"ws://[\d.]+:\d+", line)) is not None:
                return found.group()
    raise AssertionError("Firefox said no address:\n" + "".join(said))


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65_536):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        # Its helpers are of its group; most have ended with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
