"""Is this an interruption? From speech, its length and its words to cut or go on. Time in seconds.

A doubt opens when somebody makes a sound while a reply is at stake, and always ends: every state
has a deadline. Two ears feed it: the provider's turn detection, which decides, and a local
measure of loudness, faster but deaf to meaning, which may only open a doubt and measure it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from conversation.interruption import Cause, Decision, InterruptMode, InterruptPolicy, WordJudge

BLIP_MS: Final = 200
"""A sound this short is no word; the reply goes on as soon as it is quiet for `BLIP_QUIET_S`."""

BLIP_QUIET_S: Final = 0.2
UNCONFIRMED_S: Final = 0.5
"""How long the provider may take to hear what the local ear heard."""

PROVIDER_TAIL_MS: Final = 500
"""Silence that a provider waits for before it says that speech has stopped."""

ECHO_GUARD_S: Final = 10.0
"""After an echo there will be more: for so long only words count, and nothing pauses."""

MISFIRES: Final = 2
MISFIRE_REST_S: Final = 15.0
"""A local ear that was wrong `MISFIRES` times in a row is not listened to for so long."""

MAX_DOUBT_S: Final = 10.0
"""Whatever the provider says or does not say, nothing is in doubt for longer."""

_RECENT_VOICE_S: Final = 1.0
# Of a voice that goes on for long, this much belongs to what the provider has just noticed.
_EARLIER_VOICE_S: Final = 0.5
_REMEMBERED: Final = 64


@dataclass
class _Doubt:
    since_s: float
    is_guarded: bool
    is_own: bool  # opened by the local ear
    voiced_ms: float = 0.0
    quiet_since_s: float | None = None
    stopped_at_s: float | None = None
    is_wordless: bool = False
    # Nothing of the reply was heard: a reply to more words is better than this one.
    is_unheard: bool = False
    open_items: set[str] = field(default_factory=set)
    cleared_items: list[str] = field(default_factory=list)

    @property
    def items(self) -> tuple[str, ...]:
        return (*self.cleared_items, *sorted(self.open_items))


class InterruptionJudge:
    """Judges for one agent. Methods that can end a doubt return the decision."""

    def __init__(self, policy: InterruptPolicy, language: str = "en") -> None:
        self._policy = policy
        self._words = WordJudge(policy, language)
        self._doubt: _Doubt | None = None
        # Turns that were let pass before their words were known: these may still tell otherwise.
        self._passed: OrderedDict[str, None] = OrderedDict()
        self._voice_since_s: float | None = None
        self._last_voice: tuple[float, float] | None = None  # its length in ms, when it ended
        self._guarded_until_s = float("-inf")
        self._deaf_until_s = float("-inf")
        self._misfires = 0

    @property
    def is_in_doubt(self) -> bool:
        """Whether a decision is due."""
        return self._doubt is not None

    @property
    def should_pause(self) -> bool:
        """Whether nothing should be heard of the agent now."""
        doubt = self._doubt
        is_pausing = self._policy.mode is InterruptMode.CONFIRM
        return is_pausing and doubt is not None and not doubt.is_guarded

    def expects_echo(self, now_s: float) -> bool:
        """Whether the agent has heard itself lately."""
        return now_s < self._guarded_until_s

    # -- what is heard -------------------------------------------------------------------------

    def handle_voice_started(self, onset_s: float, *, now_s: float, is_at_stake: bool) -> None:
        """The local ear hears a voice since `onset_s`; is_at_stake: a reply could be lost."""
        if self._voice_since_s is None:
            self._voice_since_s = onset_s
        if self._doubt is not None:
            self._doubt.quiet_since_s = None
        elif is_at_stake and self._may_open(now_s):
            self._doubt = _Doubt(now_s, is_guarded=False, is_own=True)

    def _may_open(self, now_s: float) -> bool:
        is_pausing = self._policy.mode is InterruptMode.CONFIRM
        return is_pausing and now_s >= max(self._deaf_until_s, self._guarded_until_s)

    def handle_voice_stopped(self, end_s: float) -> None:
        """The local ear hears nothing since `end_s`."""
        if self._voice_since_s is None:
            return
        length_ms = max(0.0, end_s - self._voice_since_s) * 1000
        self._voice_since_s = None
        self._last_voice = (length_ms, end_s)
        if self._doubt is not None:
            self._doubt.voiced_ms += length_ms
            self._doubt.quiet_since_s = end_s

    def handle_speech_started(
        self, item_id: str, *, now_s: float, is_at_stake: bool, is_heard: bool = True
    ) -> bool:
        """The provider hears a turn begin; False when it is no matter of doubt.

        is_heard: some of the reply was heard, so there is something to go on with
        """
        if self._doubt is None:
            if not is_at_stake:
                return False
            if self._is_blip(now_s):
                self._remember(item_id)
                return True
            self._open(now_s)
        assert self._doubt is not None
        self._doubt.is_unheard = not is_heard
        self._doubt.open_items.add(item_id)
        self._doubt.stopped_at_s = None
        return True

    def _is_blip(self, now_s: float) -> bool:
        """The provider only now tells of a sound that has been let pass already."""
        if self._last_voice is None or self._voice_since_s is not None:
            return False
        length_ms, end_s = self._last_voice
        return length_ms < BLIP_MS and BLIP_QUIET_S <= now_s - end_s < _RECENT_VOICE_S

    def _open(self, now_s: float) -> None:
        self._doubt = _Doubt(now_s, is_guarded=now_s < self._guarded_until_s, is_own=False)
        if self._voice_since_s is not None:
            self._voice_since_s = max(self._voice_since_s, now_s - _EARLIER_VOICE_S)
        elif self._last_voice is not None:
            length_ms, end_s = self._last_voice
            if now_s - end_s < _RECENT_VOICE_S:
                self._doubt.voiced_ms, self._doubt.quiet_since_s = length_ms, end_s

    def handle_speech_stopped(self, item_id: str, *, now_s: float) -> None:
        """The provider hears the turn end; its words are waited for."""
        if self._doubt is not None and item_id in self._doubt.open_items:
            self._doubt.stopped_at_s = now_s

    def handle_words(
        self, item_id: str, transcript: str, *, spoken: str, now_s: float
    ) -> Decision | None:
        """The words of a turn are known. spoken: what the agent said up to now."""
        doubt = self._doubt
        if doubt is not None and item_id in doubt.open_items:
            cause = self._words.judge(transcript, spoken=spoken)
            if cause is not Cause.WORDS:
                doubt.open_items.discard(item_id)
                doubt.cleared_items.append(item_id)
                if doubt.open_items:
                    return None
            return self._end(cause, now_s)
        if item_id not in self._passed:
            return None
        del self._passed[item_id]
        return Decision(self._words.judge(transcript, spoken=spoken), (item_id,))

    def handle_no_words(self, item_id: str, *, now_s: float) -> Decision | None:
        """The words of a turn will never be known: its length decides."""
        self._passed.pop(item_id, None)
        if self._doubt is None or item_id not in self._doubt.open_items:
            return None
        self._doubt.is_wordless = True
        self._doubt.stopped_at_s = self._doubt.stopped_at_s or now_s
        return self.poll(now_s)

    def settle(self) -> tuple[str, ...]:
        """Something else decided, such as a written message; returns the turns in doubt."""
        items = self._doubt.items if self._doubt is not None else ()
        self._doubt = None
        return items

    # -- time ----------------------------------------------------------------------------------

    @property
    def deadline_s(self) -> float | None:
        """When to `poll` next; None: nothing is in doubt."""
        if self._doubt is None:
            return None
        return min((at_s for at_s, _ in self._ends(self._doubt)), default=None)

    def poll(self, now_s: float) -> Decision | None:
        """Time has passed."""
        if self._doubt is None:
            return None
        due = [end for end in self._ends(self._doubt) if end[0] <= now_s]
        return self._end(min(due)[1], now_s) if due else None

    def _ends(self, doubt: _Doubt) -> list[tuple[float, Cause]]:
        """How this doubt ends if nothing more is heard, and when."""
        ends = [(doubt.since_s + MAX_DOUBT_S, Cause.SHORT)]
        if not doubt.is_guarded:
            ends += self._sure(doubt)
        if not doubt.open_items:
            ends.append((doubt.since_s + UNCONFIRMED_S, Cause.UNCONFIRMED))
        is_quiet = self._voice_since_s is None and doubt.quiet_since_s is not None
        if is_quiet and doubt.quiet_since_s is not None and 0 < doubt.voiced_ms < BLIP_MS:
            ends.append((doubt.quiet_since_s + BLIP_QUIET_S, Cause.SHORT))
        if (ended_at_s := self._ended_at_s(doubt)) is not None:
            is_long = self._speech_ms(doubt, ended_at_s) >= self._policy.min_duration_ms
            is_hasty = doubt.is_wordless or (doubt.is_unheard and is_long)
            wait_ms = 0 if is_hasty else self._policy.words_timeout_ms
            cause = Cause.LENGTH if is_long and not doubt.is_guarded else Cause.SHORT
            ends.append((ended_at_s + wait_ms / 1000, cause))
        return ends

    def _sure(self, doubt: _Doubt) -> list[tuple[float, Cause]]:
        """When speech that goes on has lasted long enough, whatever it says."""
        if not doubt.open_items:
            return []
        sure_s = self._policy.sure_after_ms / 1000
        if self._voice_since_s is not None:
            return [(self._voice_since_s + sure_s - doubt.voiced_ms / 1000, Cause.LENGTH)]
        if doubt.voiced_ms == 0 and doubt.stopped_at_s is None:
            return [(doubt.since_s + sure_s + PROVIDER_TAIL_MS / 1000, Cause.LENGTH)]
        return []

    def _ended_at_s(self, doubt: _Doubt) -> float | None:
        """When the speech was over; a provider that waits for sense tells it late."""
        ends = [] if doubt.stopped_at_s is None else [doubt.stopped_at_s]
        if self._voice_since_s is None and doubt.quiet_since_s is not None:
            ends.append(doubt.quiet_since_s + PROVIDER_TAIL_MS / 1000)
        return min(ends, default=None)

    def _speech_ms(self, doubt: _Doubt, now_s: float) -> float:
        voiced_ms = doubt.voiced_ms
        if self._voice_since_s is not None:
            voiced_ms += max(0.0, now_s - self._voice_since_s) * 1000
        return voiced_ms or (now_s - doubt.since_s) * 1000 - PROVIDER_TAIL_MS

    # -- the end -------------------------------------------------------------------------------

    def _end(self, cause: Cause, now_s: float) -> Decision:
        doubt = self._doubt
        assert doubt is not None
        self._doubt = None
        decision = Decision(cause, doubt.items)
        if cause is Cause.ECHO:
            self._guarded_until_s = now_s + ECHO_GUARD_S
        if not decision.is_cut:
            for item_id in sorted(doubt.open_items):
                self._remember(item_id)
        self._count_misfire(doubt, cause, now_s)
        return decision

    def _remember(self, item_id: str) -> None:
        self._passed[item_id] = None
        while len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)

    def _count_misfire(self, doubt: _Doubt, cause: Cause, now_s: float) -> None:
        if not doubt.is_own or cause not in (Cause.UNCONFIRMED, Cause.SHORT):
            self._misfires = 0
            return
        self._misfires += 1
        if self._misfires >= MISFIRES:
            self._misfires = 0
            self._deaf_until_s = now_s + MISFIRE_REST_S
