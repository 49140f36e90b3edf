"""Notices with the content of a call that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from config.notices import NoticeKind
from control.store.archive import Archive
from control.store.recordings import Recordings
from control.store.records import CallRecord
from control.webhooks.notices import (
    CallData,
    RecordingData,
    TranscriptData,
    UsageData,
    kept_entries,
)
from session.recording.wav import HEAD_BYTES, NotARecordingError, WavHead


def about(record: CallRecord) -> dict[str, str | int | None]:
    """Return the fields that all notices of a call have."""
    return {
        "channel_name": record.channel_name,
        "agent_id": record.call_id,
        "uid": record.uid,
        "thread_id": record.thread_id,
        "team": record.team or None,
    }


async def content_of(
    archive: Archive, recordings: Recordings, call_id: str, kinds: Collection[NoticeKind]
) -> list[tuple[NoticeKind, CallData]]:
    """Return the wanted notices of a call that is over, in their order.

    Raises:
        UnknownCallError: it is deleted.
        StoreUnavailableError: the store cannot be read.
    """
    record = await archive.record(call_id)
    found: list[tuple[NoticeKind, CallData]] = []
    if "call.transcript" in kinds:
        entries = (await archive.transcript(call_id)).entries
        kept = kept_entries(entries)
        left_out = len(entries) - len(kept)
        data = TranscriptData.model_validate(
            {**about(record), "entries": kept, "left_out": left_out}
        )
        found.append(("call.transcript", data))
    if "call.usage" in kinds:
        found.append(("call.usage", _usage(record)))
    if "call.recording" in kinds and (path := await recordings.find(call_id)) is not None:
        recording = await asyncio.to_thread(_recording, record, path)
        found += [] if recording is None else [("call.recording", recording)]
    return found


def _usage(record: CallRecord) -> UsageData:
    ended_at_ms = record.ended_at_ms or record.updated_at_ms
    same = record.model_dump(
        include={*("provider", "model", "started_at_ms", "exit_reason", "restarts", "usage")}
    )
    return UsageData.model_validate(
        {
            **about(record),
            **same,
            "ended_at_ms": ended_at_ms,
            "duration_s": (ended_at_ms - record.started_at_ms) / 1000,
        }
    )


def _recording(record: CallRecord, path: Path) -> RecordingData | None:
    """Return the notice of a recording; None if it is none of ours, or has just been deleted."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = WavHead.parse(file.read(HEAD_BYTES))
    except (OSError, NotARecordingError):
        return None
    frame_bytes = 4 * head.sample_rate_hz
    return RecordingData.model_validate(
        {
            **about(record),
            "path": f"/calls/{record.call_id}/recording",
            "duration_s": round(head.data_bytes / frame_bytes, 3),
            "bytes": size,
        }
    )
