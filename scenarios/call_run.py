"""One call of a scenario: people join, take their turns, and hang up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from scenarios.call_start import Surroundings, words_of
from scenarios.caller import QUIET_WITHIN_S, Caller, CallerError
from scenarios.format import SPOKEN_KINDS, Network, Person, Scenario, ScenarioError, Turn
from scenarios.seams import Line
from scenarios.turn_sound import turn_sound
from scenarios.windows import Window

FIRST_UID: Final = 101
"""Of the people, in their order."""

_GREETING_WITHIN_S: Final = 2.0
_LAST_SOUND_S: Final = 0.3
_GIVEN_WAY: Final = frozenset({"approve", "reject", "answer_tool"})
"""Turns that the turn before does not wait for: the agent waits for them."""


class CallRun:
    """Plays the turns of one scenario in one channel. Made once, `play` once, then `leave`.

    Attributes:
        windows: The turns so far, oldest first.
        origin_s: Loop time at which the first person joined.
        has_hung_up: The people have left as the scenario wants it, and the agent ends the call.
    """

    def __init__(self, scenario: Scenario, channel_name: str, around: Surroundings) -> None:
        self.windows: list[Window] = []
        self.origin_s = 0.0
        self.has_hung_up = False
        self.callers: dict[str, Caller] = {}
        self._scenario = scenario
        self.channel_name = channel_name
        self._around = around
        self._pcm: dict[int, bytes] = {}
        self._turns = list(scenario.turns)
        self._present: list[str] = []
        self._now_s = asyncio.get_running_loop().time
        self._actions: dict[str, Callable[[Turn, Window], Coroutine[Any, Any, None]]] = {
            **dict.fromkeys(("say", "wav", "noise_s"), self._speak),
            "type": self._type,
            "send": self._send,
            "silence_s": self._be_silent,
            "approve": self._decide,
            "reject": self._decide,
            "answer_tool": self._answer_tool,
            "network": self._change_network,
            "kill_agent": self._kill_agent,
            "join": self._let_join,
            "leave": self._let_leave,
            "hang_up": self._hang_up,
            "persona": self._play_persona,
        }

    async def prepare(self) -> None:
        """Make all sound that will be needed.

        Raises:
            ScenarioError: A voice or a file cannot be had.
        """
        for at, turn in enumerate(self._turns):
            if turn.kind in SPOKEN_KINDS:
                self._pcm[at] = await turn_sound(self._scenario, turn, self._around.engines)

    async def begin(self) -> None:
        """Have people join, and hear the greeting.

        Raises:
            ScenarioError, CallerError: It cannot go on.
        """
        for person in self._scenario.people:
            if person.is_there:
                await self._join(person)
        await self._hear_greeting()

    async def play(self) -> None:
        """Have people join and take their turns; returns when the last one is over.

        Raises:
            ScenarioError, CallerError: It cannot go on.
        """
        await self.begin()
        for at, turn in enumerate(self._turns):
            await self._take_turn(at, turn)
        await asyncio.sleep(_LAST_SOUND_S)
        self._close_window()

    async def act(self, turn: Turn) -> Window:
        """Take one more turn, after those before; its window ends when the next one begins, or the people leave.

        Raises:
            ScenarioError, CallerError: It cannot be taken.
        """
        self._turns.append(turn)
        at = len(self._turns) - 1
        if turn.kind in SPOKEN_KINDS:
            self._pcm[at] = await turn_sound(self._scenario, turn, self._around.engines)
        await self._take_turn(at, turn)
        return self.windows[-1]

    async def leave(self) -> None:
        """Have all people leave. Idempotent."""
        self._close_window()
        await asyncio.gather(*(caller.leave() for caller in self.callers.values()))

    # -- turns -------------------------------------------------------------------------------------

    async def _take_turn(self, at: int, turn: Turn) -> None:
        caller = self._caller(turn)
        before = self.windows[-1] if self.windows else None
        if turn.barge_in is not None:
            problem = await self._wait_for_moment(turn, caller, before)
        else:
            problem = None
        window = self._open_window(at + 1, turn, caller)
        window.problem = problem
        await self._actions[turn.kind](turn, window)
        await self._wait_after(self._waits_for(at, turn), window)

    async def _wait_after(self, waits_for: str, window: Window) -> None:
        if waits_for == "reply":
            await self._wait_for_answer(window)
        elif waits_for == "quiet":
            await window.caller.until_quiet(self._scenario.quiet_s, within_s=QUIET_WITHIN_S)

    async def _wait_for_answer(self, window: Window) -> None:
        window.is_answer_expected = True
        since_s = window.answer_since_s or window.began_s
        if window.utterance is not None:
            # A reply to speech may begin a moment before its last sound has left.
            since_s = max(window.began_s, since_s - 0.5)
        await window.caller.until_answered(
            since_s, quiet_s=self._scenario.quiet_s, within_s=self._scenario.reply_within_s
        )

    def _waits_for(self, at: int, turn: Turn) -> str:
        """Return what comes before the next turn, which may be one that the agent waits for."""
        following = self._turns[at + 1] if at + 1 < len(self._turns) else None
        is_cut_into = following is not None and (
            following.barge_in is not None or following.kind in _GIVEN_WAY
        )
        return "no" if turn.wait is None and is_cut_into else turn.waits_for

    async def _wait_for_moment(
        self, turn: Turn, caller: Caller, before: Window | None
    ) -> tuple[str, str] | None:
        """Wait for the moment of a barge-in; returns what is wrong if it does not come."""
        assert turn.barge_in is not None
        since_s = self.origin_s
        if before is not None:
            since_s = before.answer_since_s or before.began_s
        within_s = self._scenario.reply_within_s
        if (word := turn.barge_in.at_word) is not None:
            since_s = before.began_s if before is not None else since_s
            if await caller.until_heard(word, since_s=since_s, within_s=within_s):
                return None
            return ("barge_in", f"the agent did not say {word!r}")
        after_ms = turn.barge_in.after_ms or 0.0
        if await caller.until_speaking(since_s=since_s, for_ms=after_ms, within_s=within_s):
            return None
        return ("barge_in", f"the agent did not speak for {after_ms:g} ms")

    def _open_window(self, number: int, turn: Turn, caller: Caller, said: str = "") -> Window:
        self._close_window()
        window = Window(number, turn.kind, caller, self._now_s(), said or words_of(turn))
        self.windows.append(window)
        return window

    def _close_window(self) -> None:
        if self.windows and self.windows[-1].ended_s == float("inf"):
            self.windows[-1].ended_s = self._now_s()

    async def _hear_greeting(self) -> None:
        first, caller = self._scenario.first, self._caller(None)
        if first == "person":
            return
        within_s = _GREETING_WITHIN_S if first == "auto" else self._scenario.reply_within_s
        is_greeted = await caller.until(lambda: caller.log.responses, within_s=within_s)
        if not is_greeted and first == "auto":
            return
        window = Window(0, "greeting", caller, self.origin_s, acted_s=self.origin_s)
        window.is_answer_expected = True
        self.windows.append(window)
        await caller.until_quiet(self._scenario.quiet_s, within_s=QUIET_WITHIN_S)

    # -- what people do ----------------------------------------------------------------------------

    async def _speak(self, turn: Turn, window: Window) -> None:
        is_push_to_talk = self._person(turn).push_to_talk
        if turn.push_to_talk is not None:
            is_push_to_talk = turn.push_to_talk
        pcm = self._pcm[window.number - 1]
        await self._say(window, pcm, is_push_to_talk=is_push_to_talk)

    async def _say(self, window: Window, pcm: bytes, *, is_push_to_talk: bool = False) -> None:
        window.utterance = await window.caller.say(
            pcm, window.said, is_push_to_talk=is_push_to_talk
        )

    async def _type(self, turn: Turn, window: Window) -> None:
        window.acted_s = self._now_s()
        window.caller.type(turn.type or "")

    async def _send(self, turn: Turn, window: Window) -> None:
        window.acted_s = self._now_s()
        window.caller.send(turn.send or {})

    async def _be_silent(self, turn: Turn, _window: Window) -> None:
        await asyncio.sleep(turn.silence_s or 0.0)

    async def _decide(self, turn: Turn, window: Window) -> None:
        name = turn.approve or turn.reject
        log = window.caller.log

        def call_id() -> str | None:
            return next((one for one, tool in log.approvals.items() if tool == name), None)

        await window.caller.until(call_id, within_s=self._scenario.reply_within_s)
        if (found := call_id()) is None:
            window.problem = (turn.kind, f"no call of {name} waits for an answer")
            return
        window.acted_s = self._now_s()
        is_approved = turn.approve is not None
        log.approvals.pop(found)
        window.caller.send({"type": "client_tool_approval", "id": found, "approve": is_approved})

    async def _answer_tool(self, turn: Turn, window: Window) -> None:
        assert turn.answer_tool is not None
        name, log = turn.answer_tool.name, window.caller.log

        def call_id() -> str | None:
            waiting = (one for one in log.waiting_calls if one.is_client_tool and one.name == name)
            return next((one.call_id for one in waiting), None)

        await window.caller.until(call_id, within_s=self._scenario.reply_within_s)
        if (found := call_id()) is None:
            window.problem = ("answer_tool", f"no call of {name} waits for its result")
            return
        window.acted_s = self._now_s()
        output = turn.answer_tool.output
        window.caller.send(
            {"type": "client_tool_result", "id": found, "name": name, "output": output}
        )

    async def _change_network(self, turn: Turn, _window: Window) -> None:
        assert turn.network is not None
        for name in self._present if turn.by is None else [turn.by]:
            self.callers[name].set_network(turn.network)

    async def _kill_agent(self, _turn: Turn, window: Window) -> None:
        if not self._around.is_own_server:
            raise ScenarioError(
                "kill_agent: only with a server that the command has started itself"
            )
        process = await self._around.api.agent_process(self.channel_name)
        if process is None:
            raise ScenarioError("kill_agent: the agent has no process")
        since_s = window.acted_s = self._now_s()
        os.kill(process, signal.SIGKILL)
        within_s = self._scenario.reply_within_s
        if not await window.caller.until_back(since_s, within_s=within_s):
            window.problem = ("kill_agent", f"the agent was not back within {within_s:g} s")

    async def _let_join(self, turn: Turn, _window: Window) -> None:
        person = next(one for one in self._scenario.people if one.name == turn.join)
        await self._join(person)

    async def _let_leave(self, turn: Turn, _window: Window) -> None:
        assert turn.leave is not None
        await self._leave([turn.leave])

    async def _hang_up(self, _turn: Turn, _window: Window) -> None:
        await self._leave(list(self._present))
        self.has_hung_up = True

    async def _leave(self, names: list[str]) -> None:
        for name in names:
            if name in self._present:
                self._present.remove(name)
                await self.callers[name].leave()

    async def _play_persona(self, turn: Turn, window: Window) -> None:
        persona, maker = turn.persona, self._around.persona
        assert persona is not None
        if maker is None:
            raise ScenarioError("persona: there is no language model that could play it")
        person = self._person(turn)
        for count in range(persona.max_turns):
            words = await maker.next_words(persona, self.lines())
            if words is None:
                return
            if count:
                window = self._open_window(window.number, turn, window.caller, words)
            window.said = words
            voice = turn.voice or person.voice
            await self._say(window, await self._around.engines.speak(words, voice, person.language))
            await self._wait_for_answer(window)

    # -- people --------------------------------------------------------------------------------------

    async def _join(self, person: Person) -> None:
        uid = FIRST_UID + [one.name for one in self._scenario.people].index(person.name)
        network = person.network
        if network is None and any(turn.network is not None for turn in self._turns):
            network = Network()
        caller = self.callers[person.name] = Caller(
            self._around.api.url,
            self.channel_name,
            name=person.name,
            uid=uid,
            token=await self._around.api.user_token(self.channel_name, uid),
            network=network,
            noise=person.noise,
        )
        await caller.join()
        self._present.append(person.name)
        if len(self.callers) == 1:
            self.origin_s = caller.joined_s

    def _person(self, turn: Turn | None) -> Person:
        named = None if turn is None else turn.by
        present = next(iter(self._present), self._scenario.people[0].name)
        return next(one for one in self._scenario.people if one.name == (named or present))

    def _caller(self, turn: Turn | None) -> Caller:
        name = self._person(turn).name
        if name not in self.callers:
            raise CallerError(f"{name} has not joined")
        return self.callers[name]

    def lines(self) -> list[Line]:
        """Return what was said so far, as it was heard."""
        lines = []
        for window in self.windows:
            if window.said and window.kind != "greeting" and window.utterance is not None:
                lines.append(Line(window.caller.name, window.said))
            for reply in window.replies:
                heard = reply.transcript if reply.heard_text is None else reply.heard_text
                lines.append(Line("agent", heard))
        return lines
