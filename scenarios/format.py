"""A scenario as its file says it: people, turns, the model's script, and what is expected.

The reference is `docs/scenarios.md`. Times are milliseconds (`_ms`) or seconds (`_s`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from scenarios.expected import CallExpectations, Expectations
from scenarios.format_parts import (
    MAX_TEXT,
    Name,
    Part,
    Regex,
    Seconds,
    Share,
    Text,
    as_list,
    named,
)

MAX_TURNS: Final = 100

TurnKind = Literal[
    "say",
    "wav",
    "type",
    "silence_s",
    "noise_s",
    "press",
    "approve",
    "reject",
    "answer_tool",
    "send",
    "network",
    "kill_agent",
    "join",
    "leave",
    "hang_up",
    "persona",
]
TURN_KINDS: Final[tuple[TurnKind, ...]] = TurnKind.__args__  # type: ignore[attr-defined]
"""What a turn can be; each turn is exactly one of these."""

SPOKEN_KINDS: Final = frozenset({"say", "wav", "noise_s"})
"""Turns that are sound."""

ANSWERED_KINDS: Final = frozenset({"say", "wav", "type", "approve", "reject", "answer_tool"})
"""Turns that wait for the agent's reply unless `wait` says otherwise."""


class ScenarioError(Exception):
    """A scenario, or what it needs, is wrong. The text is for its author, with file and line."""

    def __init__(self, problem: str, file: Path | None = None, line: int | None = None) -> None:
        where = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
        super().__init__(where + problem)
        self.problem, self.file, self.line = problem, file, line


# -- people and their surroundings -----------------------------------------------------------------


class Network(Part):
    """A network that loses and delays packets of media, both ways; the same for the same `seed`."""

    loss: Share = 0.0
    delay_ms: Annotated[float, Field(ge=0, le=2_000)] = 0.0
    jitter_ms: Annotated[float, Field(ge=0, le=2_000)] = 0.0
    seed: int = 1


class Noise(Part):
    """Noise behind a person for the whole call, this much below their voice."""

    snr_db: Annotated[float, Field(ge=-20, le=60)] = 20.0
    kind: Literal["pink", "white"] = "pink"
    seed: int = 1


class Voice(Part):
    """A voice of the engines of docs/local-model.md. A bare text means `name`."""

    name: str = Field(default="", max_length=200)
    engine: str = Field(default="piper", max_length=200)
    speed: Annotated[float, Field(ge=0.5, le=2)] = 1.0


VoiceChoice = Annotated[Voice, named("name")]


class Person(Part):
    """A person who calls. is_there: from the beginning; others come by a turn `join`"""

    name: Name = "caller"
    voice: VoiceChoice = Voice()
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
    noise: Noise | None = None
    network: Network | None = None
    is_there: bool = True
    push_to_talk: bool = False


# -- turns -----------------------------------------------------------------------------------------


class BargeIn(Part):
    """The moment at which a person speaks up while the agent speaks: so long after it began, or at one of its words."""

    after_ms: Annotated[float, Field(ge=0, le=600_000)] | None = None
    at_word: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> BargeIn:
        if (self.after_ms is None) == (self.at_word is None):
            raise ValueError("barge_in: name one of after_ms and at_word")
        return self


class Persona(Part):
    """A person whose words a language model makes up.

    character: how they are; goal: what they want; ends when they are content, or after `max_turns`
    """

    character: Text
    goal: Text
    max_turns: Annotated[int, Field(ge=1, le=30)] = 8


class ToolAnswer(Part):
    """The result of a tool that the caller's program runs."""

    name: Name
    output: Any = ""


class Turn(Part):
    """One thing that a person does, or that happens; exactly one of `TURN_KINDS`."""

    say: Text | None = None
    wav: Path | None = None
    type: Text | None = None
    silence_s: Seconds | None = None
    noise_s: Seconds | None = None
    press: str | None = Field(default=None, pattern=r"^[0-9A-D*#]{1,32}$")
    approve: Name | None = None
    reject: Name | None = None
    answer_tool: ToolAnswer | None = None
    send: dict[str, Any] | None = None
    network: Network | None = None
    kill_agent: Literal[True] | None = None
    join: Name | None = None
    leave: Name | None = None
    hang_up: Literal[True] | None = None
    persona: Persona | None = None

    by: Name | None = None
    voice: VoiceChoice | None = None
    barge_in: BargeIn | None = None
    push_to_talk: bool | None = None
    snr_db: Annotated[float, Field(ge=-20, le=60)] | None = None
    wait: Literal["reply", "quiet", "no"] | None = None
    expect: Expectations = Expectations()

    @property
    def kind(self) -> TurnKind:
        """The kind of the turn."""
        return next(kind for kind in TURN_KINDS if getattr(self, kind) is not None)

    @property
    def waits_for(self) -> Literal["reply", "quiet", "no"]:
        """The condition that the next turn waits for: an answer and then silence, silence alone, or nothing."""
        return self.wait or ("reply" if self.kind in ANSWERED_KINDS else "no")

    @model_validator(mode="after")
    def _check(self) -> Turn:
        kinds = [kind for kind in TURN_KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = f"it has {' and '.join(kinds)}" if kinds else "it has none"
            raise ValueError(f"a turn is exactly one of {', '.join(TURN_KINDS)}: {found}")
        if self.barge_in is not None and kinds[0] not in {*SPOKEN_KINDS, "type", "send"}:
            raise ValueError(f"barge_in: not of a turn {kinds[0]}")
        return self


# -- the model -------------------------------------------------------------------------------------


class ToolCallStep(Part):
    """A tool call of the scripted model."""

    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict)


def _as_calls(value: Any) -> Any:
    named = [{"name": each} if isinstance(each, str) else each for each in as_list(value)]
    return named if isinstance(value, str | list | tuple) else [value]


class Fault(Part):
    """A fault of a step before it is answered. A bare text means `kind`.

    error: an HTTP error; drop: the connection breaks after `after_words`; hang: nothing comes
    times: for so many requests; the agent makes a second one by itself after most failures
    """

    kind: Literal["error", "drop", "hang"]
    status: Annotated[int, Field(ge=400, le=599)] = 500
    after_words: Annotated[int, Field(ge=0, le=1_000)] = 0
    times: Annotated[int, Field(ge=1, le=1_000)] = 1


class ScriptStep(Part):
    """An answer of the scripted model: words, tool calls, or words and then calls.

    if_heard: only if this matches the person's last words; else the next step is tried
    after_ms: before the first word; pace_ms: between two words
    """

    says: Text | None = None
    calls: Annotated[tuple[ToolCallStep, ...], BeforeValidator(_as_calls)] = ()
    if_heard: Regex | None = None
    after_ms: Annotated[float, Field(ge=0, le=120_000)] = 0.0
    pace_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    fault: Annotated[Fault, named("kind")] | None = None

    @model_validator(mode="after")
    def _check(self) -> ScriptStep:
        if self.says is None and not self.calls:
            raise ValueError("a step of a script says something or calls a tool")
        return self


class Model(Part):
    """The script that answers in place of the agent's language model.

    script: answers in their order; the last one is given again when there are no more
    rules: tried first, at any time, each with `if_heard`
    """

    script: tuple[ScriptStep, ...] = ()
    rules: tuple[ScriptStep, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Model:
        if not self.script and not self.rules:
            raise ValueError("model: name script or rules")
        if any(rule.if_heard is None for rule in self.rules):
            raise ValueError("rules: each needs if_heard")
        return self


# -- a scenario ------------------------------------------------------------------------------------


class Repeat(Part):
    """Repetitions, and the number of runs that must pass. A bare number means `times`: all must."""

    times: Annotated[int, Field(ge=1, le=1_000)] = 1
    at_least: Annotated[int, Field(ge=0, le=1_000)] | None = None

    @property
    def needed(self) -> int:
        """The number of runs that must pass."""
        return self.times if self.at_least is None else min(self.at_least, self.times)


class Scenario(Part):
    """One call.

    agent: name of an agent of the owner's app; start: further fields of `POST /start_agent`
    first: who begins; `agent`: its greeting is heard to its end before the first turn; `auto`: so it is if
        one begins within 2 s
    quiet_s: silence after which the agent has said all; reply_within_s: longest wait for an answer
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = Field(default="", max_length=MAX_TEXT)
    tags: tuple[Name, ...] = ()
    agent: Name | None = None
    start: dict[str, Any] = Field(default_factory=dict)
    model: Model | None = None
    first: Literal["auto", "person", "agent"] = "auto"
    people: Annotated[tuple[Person, ...], Field(min_length=1, max_length=8)] = (Person(),)
    turns: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=MAX_TURNS)]
    expect: CallExpectations = CallExpectations()
    greeting: Expectations = Expectations()
    repeat: Annotated[Repeat, named("times")] = Repeat()
    timeout_s: Annotated[float, Field(gt=0, le=3_600)] = 120.0
    reply_within_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    quiet_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    file: Path | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _check(self) -> Scenario:
        names = [person.name for person in self.people]
        if len(set(names)) < len(names):
            raise ValueError("people: two have one name")
        for at, turn in enumerate(self.turns, 1):
            for name in (turn.by, turn.join, turn.leave):
                if name is not None and name not in names:
                    raise PydanticCustomError(
                        "unknown_person",
                        "turn {number}: nobody of people is called {name}",
                        {"number": at, "name": name, "path": ("turns", at - 1)},
                    )
        if "channel_name" in self.start or "agent" in self.start:
            raise ValueError("start: channel_name is given, and agent stands beside start")
        return self
