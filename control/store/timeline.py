"""`timeline_of`: one call on one timeline, from what is stored of it and its recording. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control.store.levels import Levels
from control.store.records import (
    CallDetails,
    CallExport,
    CallMark,
    CallTimeline,
    CallTurn,
    MarkKind,
    TimelineTurn,
    TranscriptEntry,
)


def timeline_of(
    call: CallDetails, marks: Iterable[CallMark], levels: Levels | None
) -> CallTimeline:
    """Return the timeline. marks: stored ones, their times in Unix ms"""
    if levels is None:
        began_ms = call.started_at_ms
        duration_ms = max(0, (call.ended_at_ms or call.updated_at_ms) - began_ms)
    else:
        began_ms, duration_ms = levels.began_ms, levels.duration_ms
        # The recording shows those more exactly.
        marks = [mark for mark in marks if mark.kind not in ("pause", "overlap")]
    stamped = [*marks, *_states(call)]
    placed = [
        mark.model_copy(update={"at_ms": min(max(0, mark.at_ms - began_ms), duration_ms)})
        for mark in sorted(stamped, key=lambda mark: mark.at_ms)
    ]
    if levels is not None:
        placed += [*_found("pause", levels.pauses), *_found("overlap", levels.overlaps)]
    return CallTimeline(
        call_id=call.call_id,
        began_ms=began_ms,
        duration_ms=duration_ms,
        has_levels=levels is not None,
        window_ms=0 if levels is None else levels.window_ms,
        user=[] if levels is None else list(levels.user),
        agent=[] if levels is None else list(levels.agent),
        marks=sorted(placed, key=lambda mark: mark.at_ms),
        turns=[_placed(turn, began_ms) for turn in call.turns],
    )


def export_of(
    call: CallDetails,
    transcript: Iterable[TranscriptEntry],
    timeline: CallTimeline,
    *,
    has_recording: bool,
) -> CallExport:
    """Return all of a call as one document, in which every time is a Unix time in ms."""
    marks = [
        mark.model_copy(update={"at_ms": mark.at_ms + timeline.began_ms}) for mark in timeline.marks
    ]
    return CallExport(
        **{
            name: getattr(call, name)
            for name in CallDetails.model_fields
            if name != "has_recording"
        },
        has_recording=has_recording,
        transcript=list(transcript),
        marks=marks,
    )


def _states(call: CallDetails) -> Iterator[CallMark]:
    for step in call.black_box.states:
        yield CallMark(at_ms=step.at_ms, kind="state", text=step.state)


def _found(kind: MarkKind, spans: Iterable[tuple[int, int]]) -> Iterator[CallMark]:
    for begin_ms, end_ms in spans:
        yield CallMark(at_ms=begin_ms, kind=kind, duration_ms=end_ms - begin_ms)


def _placed(turn: CallTurn, began_ms: int) -> TimelineTurn:
    """Place a turn by its endpoint; one of an older version by when it was reported, which is at its
    first audio.
    """
    endpoint_ms = turn.endpoint_at_ms
    if endpoint_ms is None:
        to_audio_ms = (turn.endpoint_to_first_byte_ms or 0.0) + (
            turn.first_byte_to_first_audio_ms or 0.0
        )
        endpoint_ms = turn.at_ms - round(to_audio_ms)
    at_ms = endpoint_ms - round(turn.speech_end_to_endpoint_ms or 0.0) - began_ms
    return TimelineTurn(**{**turn.model_dump(), "at_ms": max(0, at_ms)})
