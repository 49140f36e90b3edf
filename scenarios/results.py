"""Results of a scenario's runs. Frozen models: reports and programs read the same JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from scenarios.format import TurnKind


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(_Result):
    """The verdict on one expectation.

    name: for example `turn 2: tools.order_status.arguments`
    turn: from 1; 0: the greeting; None: of the whole call
    detail: what was found, when it is not met; may be of interest when it is
    """

    name: str
    is_met: bool
    detail: str = ""
    turn: int | None = None


class SeenEvent(_Result):
    """A server event (docs/events.md), as a person got it. at_ms: since the person joined"""

    at_ms: float
    event: dict[str, Any]
    person: str = "caller"

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.event.get("type", ""))


class ToolCallResult(_Result):
    """A tool call of the agent. called_ms, answered_ms: since the first person joined"""

    id: str
    name: str
    arguments: dict[str, Any]
    output: str | None = None
    is_error: bool = False
    called_ms: float
    answered_ms: float | None = None

    @property
    def duration_ms(self) -> float | None:
        """From the call to its result; None: there was none."""
        return None if self.answered_ms is None else self.answered_ms - self.called_ms


class ReplyResult(_Result):
    """A reply of the agent.

    transcript: as the model made it; heard_text: as much as the agent says was heard
    """

    response_id: str
    item_id: str
    transcript: str
    heard_text: str
    is_interrupted: bool = False
    began_ms: float | None = None
    agent_name: str = ""


class TurnResult(_Result):
    """One turn: from its beginning to that of the next one.

    number: from 1; 0: what the agent says before the first turn
    began_ms, ended_ms: since the first person joined
    spoke_from_ms, spoke_to_ms: first and last sound of the person; None: said nothing aloud
    said: the person's words, or what they did; understood: as the agent understood it
    words_heard: of the agent's sound, by the local recogniser; None: not asked for
    latency_ms: from the person's last sound (or text) to the agent's first sound after it
    silent_after_ms: from the person's first sound, where the agent was speaking, to the agent's silence
    spoke_over_agent: the agent was speaking when the person began
    overlap_ms: how much of the agent's voice sounded while the person spoke; where the person spoke over
        it, from a second later on
    heard_ms: how much of the agent's voice sounded; sounded_to_ms: its last sound
    """

    number: int
    kind: TurnKind | Literal["greeting"]
    by: str = "caller"
    said: str = ""
    understood: str = ""
    began_ms: float
    ended_ms: float
    spoke_from_ms: float | None = None
    spoke_to_ms: float | None = None
    replies: tuple[ReplyResult, ...] = ()
    tool_calls: tuple[ToolCallResult, ...] = ()
    words_heard: str | None = None
    heard_ms: float = 0.0
    sounded_to_ms: float | None = None
    overlap_ms: float = 0.0
    spoke_over_agent: bool = False
    latency_ms: float | None = None
    was_interrupted: bool = False
    silent_after_ms: float | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def transcript(self) -> str:
        """The agent's words in this turn, as its model made them."""
        return " ".join(reply.transcript for reply in self.replies if reply.transcript)


class MediaFigures(_Result):
    """A person's media at the end of the call."""

    person: str
    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    frames_concealed: int = 0
    jitter_buffer_ms: float = 0.0
    connect_ms: float | None = None


class RunResult(_Result):
    """One run of a scenario.

    exit_reason: of the agent; empty where it is not known
    state: `call.state` at the end; None where it is not known
    error: why the run could not be made or finished; empty: it was finished
    recording: WAV with the people on the left and the agent on the right
    """

    scenario: str
    file: Path | None = None
    run: int = 1
    channel_name: str = ""
    call_id: str = ""
    started_at_ms: int = Field(default=0, description="wall clock, Unix ms")
    duration_ms: float = 0.0
    turns: tuple[TurnResult, ...] = ()
    events: tuple[SeenEvent, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    exit_reason: str = ""
    state: dict[str, Any] | None = None
    media: tuple[MediaFigures, ...] = ()
    recording: Path | None = None
    error: str = ""

    @property
    def all_verdicts(self) -> tuple[Verdict, ...]:
        """Those of the turns, in order, then those of the call."""
        return (*(each for turn in self.turns for each in turn.verdicts), *self.verdicts)

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """Expectations that are not met."""
        return tuple(each for each in self.all_verdicts if not each.is_met)

    @property
    def has_passed(self) -> bool:
        """True if the run was finished and every expectation is met."""
        return not self.error and not self.failures

    @property
    def latencies_ms(self) -> tuple[float, ...]:
        """Of all answers."""
        return tuple(turn.latency_ms for turn in self.turns if turn.latency_ms is not None)


class ScenarioResult(_Result):
    """All runs of a scenario."""

    scenario: str
    file: Path | None = None
    description: str = ""
    needed: int
    runs: tuple[RunResult, ...]

    @property
    def passed_runs(self) -> int:
        """The number of runs that passed."""
        return sum(run.has_passed for run in self.runs)

    @property
    def has_passed(self) -> bool:
        """True if enough runs passed."""
        return self.passed_runs >= self.needed

    def rates(self) -> dict[str, tuple[int, int]]:
        """Return, by expectation, in how many runs it was met and in how many it was checked."""
        found: dict[str, tuple[int, int]] = {}
        for run in self.runs:
            for verdict in run.all_verdicts:
                met, checked = found.get(verdict.name, (0, 0))
                found[verdict.name] = (met + verdict.is_met, checked + 1)
        return found


class Report(_Result):
    """Everything that `python -m main test` has run."""

    server: str
    started_at_ms: int
    duration_ms: float
    scenarios: tuple[ScenarioResult, ...]

    @property
    def has_passed(self) -> bool:
        """True if every scenario passed."""
        return all(each.has_passed for each in self.scenarios)
