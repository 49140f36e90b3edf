"""Every word has one place in its conversation, over however many processes and calls."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from control.placement import ExitRecord
from control.store.changes import Change, PutCall, PutEntry, PutTurn
from control.store.live_call import LiveCall
from control.store.records import CallTurn, Usage
from conversation.events.server_events import AgentResponseDone, AgentTurnMeasured
from conversation.lifecycle import AgentState, ExitReason
from conversation.snapshot import ConversationSnapshot, ResumeState, continued
from conversation.turn_timings import TurnTimings
from tests.control.store.samples import config, text


class Thread:
    """A conversation as it would be on disk."""

    def __init__(self) -> None:
        self.words: dict[int, str] = {}

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if not isinstance(change, PutEntry):
                continue
            if change.entry is None:
                self.words.pop(change.number, None)
            else:
                self.words[change.number] = getattr(change.entry, "text", "")

    def told(self) -> list[str]:
        return [self.words[number] for number in sorted(self.words)]


class Call:
    """One call with its processes, each knowing what a real one would."""

    def __init__(self, thread: Thread, seed: ResumeState | None = None) -> None:
        self._thread = thread
        self._seed = seed
        self.live = LiveCall(config(conversation_seed=seed), at_ms=0)
        self._restarts = -1
        self._begin()

    def _begin(self) -> None:
        self._restarts += 1
        self._conversation = ConversationSnapshot(self._seed)
        self._next = len(self._seed.entries) if self._seed else 0
        thread = self._thread
        thread.apply(self.live.begin_process(self._seed, restarts=self._restarts, at_ms=1))

    def say(self, words: str) -> None:
        entry = text(self._next, role="assistant").model_copy(update={"text": words})
        self._next += 1
        self._conversation.update(entry)
        self._thread.apply(self.live.remember(entry, at_ms=2))

    def take_back(self) -> None:
        self._next -= 1
        self._conversation.forget(self._next)
        self._thread.apply(self.live.forget(self._next, at_ms=3))

    def restart(self) -> None:
        self._seed = self._conversation.seed()
        self._begin()


def later_seed(thread: Thread) -> ResumeState:
    return continued(text(number, words) for number, words in sorted(thread.words.items()))


def test_a_later_call_adds_and_changes_nothing_before() -> None:
    thread = Thread()
    first = Call(thread)
    for words in ("a", "b"):
        first.say(words)
    second = Call(thread, later_seed(thread))
    second.say("c")
    second.restart()
    second.say("d")
    assert thread.words == {0: "a", 1: "b", 2: "c", 3: "d"}
    assert second.live.record.restarts == 1


def test_blank_entries_give_way_at_a_restart() -> None:
    thread = Thread()
    call = Call(thread)
    for words in ("a", "", "b"):
        call.say(words)
    call.restart()
    call.say("c")
    assert thread.words == {0: "a", 1: "b", 2: "c"}


def test_a_long_conversation_keeps_entries_that_no_process_gets() -> None:
    thread = Thread()
    call = Call(thread)
    words = [f"word {number}" for number in range(700)]
    for number, one in enumerate(words):
        call.say(one)
        if number % 150 == 149:
            call.restart()
    assert thread.told() == words
    later = Call(thread, later_seed(thread))
    later.say("more")
    later.restart()
    later.say("and more")
    assert thread.told() == [*words, "more", "and more"]


@given(st.lists(st.sampled_from(["say", "blank", "take_back", "restart", "call"]), max_size=60))
def test_no_sequence_of_events_loses_or_repeats_a_word(steps: list[str]) -> None:
    thread = Thread()
    call = Call(thread)
    told: list[str] = []
    said_in_process = 0
    for number, step in enumerate(steps):
        if step == "say":
            call.say(f"word {number}")
            told.append(f"word {number}")
            said_in_process += 1
        elif step == "blank":
            call.say("")
            said_in_process = 0
        elif step == "take_back" and said_in_process:
            call.take_back()
            told.pop()
            said_in_process -= 1
        elif step == "restart":
            call.restart()
            said_in_process = 0
        elif step == "call":
            call = Call(thread, later_seed(thread))
            said_in_process = 0
    assert [words for words in thread.told() if words] == told


def exit_record(**more: object) -> ExitRecord:
    values = {
        "agent_id": "agent-1",
        "channel_name": "demo",
        "uid": 1000,
        "pid": 7,
        "exit_reason": ExitReason.CRASHED,
        "exit_code": -9,
        "stopped_by": None,
        "uptime_s": 1.0,
        "ended_at_ms": 50,
    }
    return ExitRecord.model_validate(values | more)


def test_the_record_describes_the_whole_call() -> None:
    live = LiveCall(config(thread_id="t"), at_ms=10)
    list(live.begin_process(None, restarts=0, at_ms=10))
    live.handle_state(AgentState.STARTING, at_ms=10)
    live.handle_state(AgentState.READY, at_ms=20)
    live.handle_ready({"total": 9.0})
    reply = AgentResponseDone(
        agent_id="a", agent_name="A", response_id="r", input_tokens=3, output_tokens=4
    )
    assert [*live.handle_event(reply, at_ms=30), *live.handle_event(reply, at_ms=31)] == []
    live.handle_exit(exit_record(is_restarted=True))
    assert live.record.state is AgentState.READY, "only the supervisor sets the state"
    live.handle_state(AgentState.BACKOFF, at_ms=50)
    assert (live.record.state, live.record.ended_at_ms) == (AgentState.BACKOFF, None)
    list(live.begin_process(None, restarts=1, at_ms=60))
    timings = TurnTimings(turn=1, endpoint_to_first_byte_ms=5.0)
    measured = AgentTurnMeasured(agent_id="a", agent_name="A", timings=timings)
    (turn,) = live.handle_event(measured, at_ms=70)
    expected = CallTurn(turn=1, endpoint_to_first_byte_ms=5.0, process=1, at_ms=70)
    assert turn == PutTurn("agent-1", expected)
    live.handle_state(AgentState.FATAL, at_ms=80)
    live.handle_exit(exit_record(ended_at_ms=80, is_given_up=True, error="why"))
    put, box = live.changes(at_ms=90)
    assert isinstance(put, PutCall)
    record = put.record
    assert (record.thread_id, record.restarts, record.timings_ms) == ("t", 1, {"total": 9.0})
    assert (record.state, record.exit_reason, record.error) == (
        AgentState.FATAL,
        ExitReason.CRASHED,
        "why",
    )
    assert (record.started_at_ms, record.ended_at_ms, record.updated_at_ms) == (10, 80, 90)
    assert record.usage == Usage(replies=2, input_tokens=6, output_tokens=8)
    assert box.key == ("box", "agent-1")
