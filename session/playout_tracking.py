"""Position of playout as listeners hear it: for the words on their screens, and for playback
trackers.
"""

from __future__ import annotations

import asyncio
from typing import Final

from conversation.events import server_events as out
from conversation.events.client_events import ClientPlayoutReport
from line.line import PlayoutProgress
from line.playout.heard import Heard
from realtime.playback import RealtimePlaybackState, RealtimePlaybackTracker
from session.context import SessionContext
from untrusted.boundary import InputKind

# A word lasts some 300 ms: finer steps would not be visible.
STEP_S: Final = 0.06


class PlayoutTracking:
    """Follows the heard position while audio is played; costs nothing in silence.

    Sends each participant that reports its playout the words that it hears, and feeds `tracker`,
    whatever the provider, with what all listeners have heard.
    """

    def __init__(self, context: SessionContext) -> None:
        self.tracker = RealtimePlaybackTracker()
        self._context = context
        self._started = asyncio.Event()
        # By reporting participant: the item and character that it got last.
        self._reported: dict[int, tuple[str, int] | None] = {}

    def handle_playout_started(self, _key: object) -> None:
        """Wake up `run`."""
        self._started.set()

    def handle_left(self, uid: int) -> None:
        """Forget a participant that left."""
        self._reported.pop(uid, None)

    def handle_interrupted(self) -> None:
        """Reset the tracker."""
        self.tracker.on_interrupted()

    def handle_report(self, report: ClientPlayoutReport, uid: int) -> None:
        """Apply a participant's report of its own playout."""
        outgoing = self._context.line.outgoing
        self._reported.setdefault(uid, None)
        if report.playout_delay_ms is not None:
            outgoing.handle_playout_report(
                uid,
                playout_delay_ms=report.playout_delay_ms,
                round_trip_ms=report.round_trip_ms,
            )
        item = None if report.item_id is None else self._context.history.get(report.item_id)
        if item is not None and report.played_ms is not None:
            key = (item.response_id, item.item_id, report.content_index)
            outgoing.handle_played_report(uid, key, report.played_ms)

    async def run(self) -> None:
        """Follow playout until cancelled."""
        while True:
            await self._started.wait()
            self._started.clear()
            outgoing = self._context.line.outgoing
            while outgoing.is_busy:
                self._update_safely(outgoing)
                await asyncio.sleep(outgoing.until_frame_s(after_s=STEP_S))
            self._update_safely(outgoing)

    def _update_safely(self, outgoing: PlayoutProgress) -> None:
        with self._context.boundary.guard(InputKind.INTERNAL, "look at the playout"):
            self._update(outgoing)

    def _update(self, outgoing: PlayoutProgress) -> None:
        self._track(outgoing.heard_by_all())
        for uid in self._reported:
            self._publish_progress(uid, outgoing.heard(uid))

    def _is_of_reply(self, heard: Heard) -> bool:
        """Return true unless this is the rest of a reply that was cut."""
        return isinstance(heard.key, tuple) and not self._context.turns.is_cut(heard.key[0])

    def _track(self, heard: Heard | None) -> None:
        if heard is None or not self._is_of_reply(heard):
            return
        _, item_id, content_index = heard.key
        more_ms = heard.heard_ms - _elapsed_ms(self.tracker.get_state(), item_id, content_index)
        if more_ms > 0:
            self.tracker.on_play_ms(item_id, content_index, more_ms)

    def _publish_progress(self, uid: int, heard: Heard | None) -> None:
        if heard is None or not self._is_of_reply(heard):
            return
        response_id, item_id, _ = heard.key
        characters = self._context.history.heard_length(item_id, heard.heard_ms)
        # More audio for the same words lowers the heard share, but a heard word stays heard.
        if characters <= self._reported_characters(uid, item_id):
            return
        self._reported[uid] = (item_id, characters)
        self._context.publisher.publish(
            out.AgentPlayoutProgress,
            to=uid,
            response_id=response_id,
            item_id=item_id,
            heard_ms=int(heard.heard_ms),
            heard_characters=characters,
        )

    def _reported_characters(self, uid: int, item_id: str) -> int:
        reported = self._reported[uid]
        return reported[1] if reported is not None and reported[0] == item_id else 0


def _elapsed_ms(state: RealtimePlaybackState, item_id: str, content_index: int) -> float:
    current = (state["current_item_id"], state["current_item_content_index"])
    return (state["elapsed_ms"] or 0.0) if current == (item_id, content_index) else 0.0
