"""Results with something of everything, for the tests of reports."""

from __future__ import annotations

from pathlib import Path

from scenarios.results import (
    MediaFigures,
    ReplyResult,
    Report,
    RunResult,
    ScenarioResult,
    SeenEvent,
    ToolCallResult,
    TurnResult,
    Verdict,
)

FILE = Path("scenarios/orders.yaml")
TOOL = ToolCallResult(
    id="c", name="find_order", arguments={"number": "<1001>"}, output="on its way", called_ms=900, answered_ms=950
)  # fmt: skip
TURN = TurnResult(
    number=1,
    kind="say",
    said="Where is order 1001?",
    understood="where is order one thousand and one",
    began_ms=1200,
    ended_ms=5000,
    spoke_from_ms=1250,
    spoke_to_ms=2500,
    replies=(
        ReplyResult(
            response_id="r", item_id="i", transcript="It is <on> its way.", heard_text="It is",
            is_interrupted=True,
        ),
    ),
    tool_calls=(TOOL,),
    words_heard="it is on its way",
    latency_ms=640.0,
    verdicts=(Verdict(name="turn 1: transcript", is_met=True, turn=1),),
)  # fmt: skip
GREETING = TurnResult(number=0, kind="greeting", began_ms=0, ended_ms=1200)
MISSED = Verdict(
    name="turn 1: tools.find_order.arguments", is_met=False, detail="it was <1001>\x00", turn=1
)


def run(
    number: int = 1, *, passes: bool = True, error: str = "", recording: Path | None = None
) -> RunResult:
    turn = TURN if passes else TURN.model_copy(update={"verdicts": (MISSED,)})
    return RunResult(
        scenario="order state",
        file=FILE,
        run=number,
        channel_name="test-order",
        call_id="agent-1",
        duration_ms=5_000,
        turns=(GREETING, turn),
        events=(SeenEvent(at_ms=10, event={"type": "agent_ready"}),),
        verdicts=(
            Verdict(name="call: judge", is_met=True, detail="0.90 of 0.70 needed: it was kind"),
        ),
        exit_reason="stopped",
        state={"step": "done"},
        media=(MediaFigures(person="caller", packets_received=250),),
        recording=recording,
        error=error,
    )


def result(
    name: str, *runs: RunResult, needed: int | None = None, file: Path | None = FILE
) -> ScenarioResult:
    needed = len(runs) if needed is None else needed
    return ScenarioResult(
        scenario=name, file=file, description="Asks & waits.", needed=needed, runs=runs
    )


def report(*scenarios: ScenarioResult) -> Report:
    return Report(
        server="http://127.0.0.1:1",
        started_at_ms=1_790_000_000_000,
        duration_ms=30_000,
        scenarios=scenarios,
    )
