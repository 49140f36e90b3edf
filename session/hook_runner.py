"""`HookRunner`: runs an owner's hooks, in order and one at a time, while the call goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from conversation.owner_failure import OwnerFailure
from parley import hooks
from parley.call import Call
from parley.hooks import HOOK_TIMEOUT_S, Hook, HookName
from session.owner_code import OwnerCode
from session.reply_ends import ReplyEnds
from utils import OwnedTasks

MAX_WAITING: Final = 256
"""Hooks that wait for their turn; past it the newest is left out, and the record says so."""

LAST_HOOKS_S: Final = 4.0
"""For all hooks that are still due when the call is over; the process ends then."""

Hooks = Mapping[HookName, Hook]


class HookRunner:
    """Turns what happens in a call into the hooks that its agent declares.

    A hook that hangs delays later ones by its deadline, and nothing else.
    """

    def __init__(
        self, code: OwnerCode, call: Call, current: Callable[[], Hooks], tasks: OwnedTasks
    ) -> None:
        """current: the hooks of the agent that has the floor"""
        self._code = code
        self._call = call
        self._current = current
        self._tasks = tasks
        self._reply_ends = ReplyEnds()
        self._waiting: deque[tuple[HookName, Hook, object]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def has(self, name: HookName) -> bool:
        """Return true if the agent that has the floor declares this hook."""
        return name in self._current()

    def fire(self, name: HookName, event: object, of: Hooks | None = None) -> None:
        """Run a hook when those before it have ended; returns at once.

        of: hooks of another agent than the one that has the floor
        """
        hook = (self._current() if of is None else of).get(name)
        if hook is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._code.report("hook", name, f"left out: {MAX_WAITING} hooks wait already", "")
            return
        self._waiting.append((name, hook, event))
        if self._worker is None or self._worker.done():
            self._worker = self._tasks.start(self._work(), name="hooks")

    async def run(
        self, name: HookName, event: object, *, timeout_s: float = HOOK_TIMEOUT_S
    ) -> None:
        """Run a hook now, before those that wait."""
        if (hook := self._current().get(name)) is not None:
            await self._code.run("hook", name, hook, self._call, event, timeout_s=timeout_s)

    async def _work(self) -> None:
        while self._waiting:
            name, hook, event = self._waiting.popleft()
            await self._code.run("hook", name, hook, self._call, event, timeout_s=HOOK_TIMEOUT_S)

    async def finish(self, ended: Sequence[Hook], event: Callable[[], hooks.CallEnded]) -> None:
        """Run what still waits, then `call_ended`, within `LAST_HOOKS_S` together."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + LAST_HOOKS_S
        if self._worker is not None and not self._worker.done():
            # Half of the time at most: the end itself is what an owner waits for.
            await asyncio.wait([self._worker], timeout=LAST_HOOKS_S / 2)
        self._waiting.clear()
        if not ended:
            return
        last = event()
        for hook in ended:
            left_s = max(0.0, deadline_s - loop.time())
            await self._code.run("hook", "call_ended", hook, self._call, last, timeout_s=left_s)

    # -- what happens ------------------------------------------------------------------------------

    def handle_event(self, event: ServerEvent) -> None:
        """React to an event that the agent published."""
        for text, is_cut in self._reply_ends.handle(event):
            self.fire("reply_finished", hooks.ReplyFinished(text, is_cut))
        match event:
            case out.AgentResponseToolUseDone(tool_use=use):
                called = hooks.ToolCalled(use.id, use.name, dict(use.input))
                self.fire("tool_called", called)
            case out.AgentResponseToolResult(tool_result=result):
                done = hooks.ToolFinished(result.id, result.name, result.output, result.is_error)
                self.fire("tool_finished", done)
            case out.AgentError(error_type="provider"):
                failed = hooks.ErrorHappened("provider", f"{event.code}: {event.message}")
                self.fire("error", failed)
            case _:
                pass

    def handle_failure(self, failure: OwnerFailure) -> None:
        """React to a failure in the owner's code, but not to one of the hook `error` itself."""
        if (failure.source, failure.name) != ("hook", "error"):
            event = hooks.ErrorHappened(failure.source, failure.message, failure.place)
            self.fire("error", event)
