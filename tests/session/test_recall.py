"""From a live transcript to what is remembered, and back into another one."""

from __future__ import annotations

from conversation.heard import heard_text
from conversation.history import History
from conversation.remembered import (
    MAX_ENTRY_CHARACTERS,
    RememberedCall,
    RememberedConversation,
    RememberedEntry,
    RememberedText,
)
from realtime import events as model
from realtime.lasting.reply_watch import OwedReply
from realtime.lasting.transcript import Transcript
from rtc.playout import PlayoutPosition
from session.recall import RECENT_ENTRIES, owed_reply, remembered, restored

RATE_HZ = 24_000


def transcript() -> Transcript:
    return Transcript(
        lambda words, received, played: heard_text(words, received_ms=received, played_ms=played)
    )


class Call:
    """A transcript and a history that see the same."""

    def __init__(self) -> None:
        self.transcript = transcript()
        self.history = History()
        self.position: PlayoutPosition | None = None

    def ask(self, item_id: str, text: str) -> None:
        self.transcript.handle(model.InputTranscriptDone(item_id, text))
        self.history.finish_user_item(item_id, text)

    def reply(self, item_id: str, text: str, duration_ms: int) -> None:
        pcm = bytes(duration_ms * RATE_HZ // 1000 * 2)
        self.transcript.handle(model.TranscriptDelta("r", item_id, 0, text))
        self.transcript.handle(model.AudioDelta("r", item_id, 0, pcm, RATE_HZ))
        self.history.append_words(item_id, "r", text)
        self.history.append_audio(item_id, "r", pcm_bytes=len(pcm), sample_rate_hz=RATE_HZ)

    def play(self, item_id: str, played_ms: int) -> None:
        self.position = PlayoutPosition(("r", item_id, 0), played_ms * RATE_HZ // 1000, RATE_HZ)

    def now(self) -> list[RememberedEntry]:
        return remembered(self.transcript, self.history.get, self.position)


def test_a_reply_is_remembered_as_far_as_it_was_heard() -> None:
    call = Call()
    call.ask("u", "count")
    call.reply("a", "one two three four", 1000)
    call.reply("b", "and five", 500)
    assert [entry.text for entry in call.now() if isinstance(entry, RememberedText)] == [
        *("count", "", "")
    ]
    call.play("a", 500)
    assert call.now() == [
        RememberedText(number=0, role="user", text="count"),
        RememberedText(number=1, role="assistant", text="one two", is_open=True),
        RememberedText(number=2, role="assistant", text="", is_open=True),
    ]
    call.history.finish_reply("a")
    call.play("b", 500)
    assert call.now()[1:] == [
        RememberedText(number=1, role="assistant", text="one two three four"),
        RememberedText(number=2, role="assistant", text="and five", is_open=True),
    ]


def test_an_interrupted_reply_is_closed() -> None:
    call = Call()
    call.reply("a", "one two three four", 1000)
    call.transcript.record(model.TruncateItem("a", 0, 500))
    call.history.cut_reply("a", "r", played_ms=500)
    assert call.now() == [RememberedText(number=0, role="assistant", text="one two", is_cut=True)]


def test_a_written_reply_needs_no_voice_to_be_known() -> None:
    call = Call()
    call.transcript.handle(model.TextDelta("r", "a", 0, "in writing"))
    call.history.append_words("a", "r", "in writing")
    assert call.now() == [
        RememberedText(number=0, role="assistant", text="in writing", is_open=True)
    ]


def test_calls_and_pictures_are_remembered() -> None:
    call = Call()
    call.transcript.record(model.AddImage(b"png"))
    call.transcript.handle(model.ToolCallRequested("r", "i", "c1", "clock", '{"zone": "UTC"}'))
    call.transcript.handle(model.ToolCallRequested("r", "j", "c2", "essay", "x" * 20_000))
    call.transcript.record(model.AddToolOutput("c2", "y" * 20_000))
    picture, clock, essay = call.now()
    assert picture == RememberedText(number=0, role="user", text="[a picture]")
    assert clock == RememberedCall(
        number=1, call_id="c1", name="clock", arguments='{"zone": "UTC"}'
    )
    assert isinstance(essay, RememberedCall)
    assert essay.arguments == "{}"
    assert essay.output == "y" * MAX_ENTRY_CHARACTERS + "…"


def test_another_transcript_goes_on_where_this_one_was_lost() -> None:
    call = Call()
    call.ask("u", "count")
    call.transcript.handle(model.ToolCallRequested("r", "i", "c1", "clock", "{}"))
    call.reply("a", "one two three four", 1000)
    call.play("a", 500)
    conversation = RememberedConversation()
    for entry in call.now():
        conversation.update(entry)
    seed = conversation.seed()
    other = Call()
    other.transcript.restore(restored(seed))
    assert other.transcript.count == 3
    assert not other.transcript.has_open_calls
    assert other.now() == list(seed.entries)
    assert owed_reply(seed) == OwedReply(heard="one two")
    other.ask("v", "go on")
    assert other.now()[-1] == RememberedText(number=3, role="user", text="go on")


def test_only_the_recent_part_is_looked_at() -> None:
    call = Call()
    for n in range(RECENT_ENTRIES + 10):
        call.ask(f"u{n}", f"words {n}")
    assert [entry.number for entry in call.now()] == list(range(10, RECENT_ENTRIES + 10))
