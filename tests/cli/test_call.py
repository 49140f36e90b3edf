"""What a call checks before it is made, and what it does with its answer after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio import write_wav
from cli.call import Call, CallError, Transcript
from cli.call import _save as save
from tests.fakes.ports import lasting_port
from tests.wav_files import read_wav


def call() -> Call:
    return Call(
        f"http://127.0.0.1:{lasting_port()}", channel_name="demo", on_line=lambda _line: None
    )


@pytest.mark.asyncio
async def test_an_answer_that_has_no_place_is_told_before_the_call(tmp_path: Path) -> None:
    question = tmp_path / "question.wav"
    write_wav(question, bytes(960), 24_000)
    for answer in (tmp_path, tmp_path / "missing" / "answer.wav"):
        with pytest.raises(CallError, match="the answer cannot be written"):
            await call().run(question, answer)


@pytest.mark.asyncio
async def test_a_call_that_fails_leaves_an_older_answer_alone(tmp_path: Path) -> None:
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    write_wav(question, bytes(960), 24_000)
    answer.write_bytes(b"of an earlier call")
    with pytest.raises(CallError, match="cannot reach the room"):
        await call().run(question, answer)
    assert answer.read_bytes() == b"of an earlier call"
    with pytest.raises(CallError, match="cannot reach the room"):
        await call().run(question, tmp_path / "new.wav")
    assert not (tmp_path / "new.wav").exists()


def test_an_answer_whose_place_is_gone_is_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(CallError, match="it is in") as failure:
        save(tmp_path / "gone" / "answer.wav", bytes(960))
    [kept] = tmp_path.glob("parley-answer-*.wav")
    assert str(kept) in str(failure.value)
    assert read_wav(kept) == (bytes(960), 24_000)


def test_of_a_tool_that_people_are_not_shown_the_name_is_printed() -> None:
    lines: list[str] = []
    transcript = Transcript(lines.append)
    for given, output in (({"zone": "UTC"}, "16:20"), ({}, "")):
        use = {"id": "c", "name": "get_current_time", "input": given}
        result = {"id": "c", "name": "get_current_time", "output": output}
        for event in (
            {"type": "agent_response_tool_use_done", "tool_use": use},
            {"type": "agent_response_tool_result", "tool_result": result},
        ):
            transcript.handle_event(json.dumps(event), 1)
    assert lines == [
        'tool:  get_current_time({"zone": "UTC"})',
        "tool:  -> 16:20",
        "tool:  get_current_time",
    ]


@pytest.mark.parametrize(
    "event",
    [
        "",
        "[]",
        '{"type": "agent_response_created"}',
        '{"type": "agent_response_tool_use_done", "tool_use": 1}',
        '{"type": 5}',
        "[" * 5000,
    ],
)
def test_an_event_that_is_not_understood_ends_no_call(event: str) -> None:
    lines: list[str] = []
    transcript = Transcript(lines.append)
    transcript.handle_event(event, 1)
    transcript.handle_event('{"type": "agent_error", "code": "c", "message": "m"}', 1)
    assert lines == ["error: c: m"]
