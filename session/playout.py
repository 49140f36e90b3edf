"""What people hear of a reply, moment by moment: for the words on their screens, and for trackers."""

from __future__ import annotations

import asyncio
from typing import Final

from boundary import InputKind
from conversation import server_events as out
from conversation.client_events import ClientPlayoutReport
from realtime.playback import PlaybackState, RealtimePlaybackTracker
from rtc.outgoing import Heard, Outgoing
from session.context import SessionContext

# A word lasts some 300 ms: finer steps could not be seen.
STEP_S: Final = 0.06


class PlayoutWatch:
    """Follows what is heard while something is, and costs nothing in silence.

    Tells each participant that reports its playout the words that it hears, and feeds `tracker`,
    whatever the provider, with what everybody has heard.
    """

    def __init__(self, context: SessionContext) -> None:
        self.tracker = RealtimePlaybackTracker()
        self._context = context
        self._started = asyncio.Event()
        # Who reports, and the item and character it was told last.
        self._told: dict[int, tuple[str, int] | None] = {}

    def handle_playout_started(self, _key: object) -> None:
        """Something begins to be heard."""
        self._started.set()

    def handle_left(self, uid: int) -> None:
        """Nobody to tell any more."""
        self._told.pop(uid, None)

    def handle_interrupted(self) -> None:
        """Playing stopped."""
        self.tracker.on_interrupted()

    def handle_report(self, report: ClientPlayoutReport, uid: int) -> None:
        """The word of a participant on what it has played."""
        outgoing = self._context.channel.outgoing
        self._told.setdefault(uid, None)
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
        """Watch until cancelled."""
        while True:
            await self._started.wait()
            self._started.clear()
            outgoing = self._context.channel.outgoing
            while outgoing.is_busy:
                self._look_safely(outgoing)
                await asyncio.sleep(outgoing.until_frame_s(after_s=STEP_S))
            self._look_safely(outgoing)

    def _look_safely(self, outgoing: Outgoing) -> None:
        with self._context.boundary.guard(InputKind.INTERNAL, "look at the playout"):
            self._look(outgoing)

    def _look(self, outgoing: Outgoing) -> None:
        self._track(outgoing.heard_by_all())
        for uid in self._told:
            self._tell(uid, outgoing.heard(uid))

    def _is_of_reply(self, heard: Heard) -> bool:
        """What of a silenced reply is still on its way counts no more."""
        return isinstance(heard.key, tuple) and not self._context.turns.is_cut(heard.key[0])

    def _track(self, heard: Heard | None) -> None:
        if heard is None or not self._is_of_reply(heard):
            return
        _, item_id, content_index = heard.key
        more_ms = heard.heard_ms - _elapsed_ms(self.tracker.get_state(), item_id, content_index)
        if more_ms > 0:
            self.tracker.on_play_ms(item_id, content_index, more_ms)

    def _tell(self, uid: int, heard: Heard | None) -> None:
        if heard is None or not self._is_of_reply(heard):
            return
        response_id, item_id, _ = heard.key
        characters = self._context.history.heard_length(item_id, heard.heard_ms)
        # More audio for the same words makes fewer of them heard, but nobody unhears a word.
        if characters <= self._told_characters(uid, item_id):
            return
        self._told[uid] = (item_id, characters)
        self._context.publisher.publish(
            out.AgentPlayoutProgress,
            to=uid,
            response_id=response_id,
            item_id=item_id,
            heard_ms=int(heard.heard_ms),
            heard_characters=characters,
        )

    def _told_characters(self, uid: int, item_id: str) -> int:
        told = self._told[uid]
        return told[1] if told is not None and told[0] == item_id else 0


def _elapsed_ms(state: PlaybackState, item_id: str, content_index: int) -> float:
    is_same = (state.current_item_id, state.current_item_content_index) == (item_id, content_index)
    return state.elapsed_ms if is_same else 0.0
