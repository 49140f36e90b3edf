"""`AppWatcher`: reloads the owner's app when its files change.

It compares times and sizes of files twice a second. The kernel's notifications would be quicker by
less than that, but they do not reach into bind mounts of other machines or network file systems, where
development containers keep their source, and would need a dependency.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from control.app_catalog import AppCatalog
from parley.app import is_dotted_name
from utils import OwnedTasks

INTERVAL_S: Final = 0.5
MAX_FILES: Final = 2_000

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})

_log = logging.getLogger("app")

Signature = dict[str, tuple[int, int, int]]
"""Time of change, size and inode of each file."""


class AppWatcher:
    """Calls `reload` after each change, once the files stay as they are for an interval."""

    def __init__(
        self,
        catalog: AppCatalog | None,
        reload: Callable[[], Awaitable[None]],
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._catalog = catalog
        self._reload = reload
        self._interval_s = interval_s
        self._tasks = OwnedTasks(_log)

    async def start(self) -> None:
        """Watch in the background from now on; before the app is loaded, so that no change is missed."""
        if self._catalog is not None:
            known = await self._look(self._catalog)
            self._tasks.start(self._watch(self._catalog, known), name="app watcher")

    async def close(self) -> None:
        """Stop watching. Idempotent."""
        await self._tasks.close()

    async def _watch(self, catalog: AppCatalog, known: Signature) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            found = await self._look(catalog)
            # Files elsewhere are known once they were loaded.
            known |= {path: found[path] for path in catalog.files if path in found.keys() - known}
            if found == known:
                continue
            known = await self._settled(catalog, found)
            _log.info("%s has changed: it is loaded again", catalog.source.name)
            await self._reload()

    async def _settled(self, catalog: AppCatalog, found: Signature) -> Signature:
        """Wait until all files of a change are written; return what they are then."""
        while True:
            await asyncio.sleep(self._interval_s)
            after = await self._look(catalog)
            if after == found:
                return found
            found = after

    async def _look(self, catalog: AppCatalog) -> Signature:
        return await asyncio.to_thread(signature, catalog.source.name, catalog.files)


def signature(app: str, loaded: tuple[str, ...]) -> Signature:
    """Return the present state of the app's Python files, and of files that were loaded with it.

    At most `MAX_FILES` are looked at.
    """
    found: Signature = {}
    for path in [*loaded, *_files_of(app)]:
        if len(found) == MAX_FILES:
            break
        try:
            stat = os.stat(path)
        except OSError:
            continue
        found[str(path)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


def _files_of(app: str) -> Iterator[str]:
    """Yield the Python files beside an app's file, below its folder, or of its package."""
    if is_dotted_name(app):
        spec = PathFinder.find_spec(app.partition(".")[0])
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield from _python_files(folder)
        return
    path = Path(app).expanduser()
    if path.is_dir():
        yield from _python_files(str(path.resolve()))
    else:
        yield from map(str, path.resolve().parent.glob("*.py"))


def _python_files(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED and name[0] != "."]
        yield from (os.path.join(parent, name) for name in files if name.endswith(".py"))
