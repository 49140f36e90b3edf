"""From a live transcript to what is snapshot_entries, and back into another one."""

from __future__ import annotations

from conversation.history import History
from conversation.snapshot import (
    MAX_ENTRY_CHARACTERS,
    ConversationSnapshot,
    SnapshotEntry,
    SnapshotText,
    SnapshotToolCall,
)
from line.playout.buffer import PlayoutPosition
from realtime import events as model
from realtime.resilience.response_tracker import PendingReply
from realtime.resilience.transcript import Transcript
from session.conversation_snapshot import (
    RECENT_ENTRIES,
    past_skills,
    pending_reply,
    snapshot_entries,
    transcript_entries,
)

RATE_HZ = 24_000


class Call:
    """A transcript and a history that see the same."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.history = History()
        self.position: PlayoutPosition | None = None

    def ask(self, item_id: str, text: str) -> None:
        self.transcript.handle(model.InputTranscriptDone(item_id, text))
        self.history.finish_user_item(item_id, text)

    def reply(self, item_id: str, text: str, duration_ms: int, *, is_complete: bool = True) -> None:
        pcm = bytes(duration_ms * RATE_HZ // 1000 * 2)
        self.transcript.handle(model.TranscriptDelta("r", item_id, 0, text))
        self.transcript.handle(model.AudioDelta("r", item_id, 0, pcm, RATE_HZ))
        self.history.append_words(item_id, "r", text)
        self.history.append_audio(item_id, "r", pcm_bytes=len(pcm), sample_rate_hz=RATE_HZ)
        if is_complete:
            self.history.finish_audio(item_id)

    def play(self, item_id: str, played_ms: int, *, in_flight_ms: int = 0) -> None:
        self.position = PlayoutPosition(
            ("r", item_id, 0),
            played_ms * RATE_HZ // 1000,
            RATE_HZ,
            in_flight_samples=in_flight_ms * RATE_HZ // 1000,
        )

    def cut(self, item_id: str, heard_ms: int) -> None:
        heard = self.history.cut_reply(item_id, "r", played_ms=heard_ms)
        self.transcript.record(model.TruncateItem(item_id, 0, heard_ms, heard))

    def now(self) -> list[SnapshotEntry]:
        return snapshot_entries(self.transcript, self.history, self.position)


def test_a_reply_is_remembered_as_far_as_it_was_heard() -> None:
    call = Call()
    call.ask("u", "count")
    call.reply("a", "one two three four", 1000)
    call.reply("b", "and five", 500)
    assert [entry.text for entry in call.now() if isinstance(entry, SnapshotText)] == [
        *("count", "", "")
    ]
    call.play("a", 500)
    assert call.now() == [
        SnapshotText(number=0, role="user", text="count"),
        SnapshotText(number=1, role="assistant", text="one two", is_open=True),
        SnapshotText(number=2, role="assistant", text="", is_open=True),
    ]
    call.history.finish_reply("a")
    call.play("b", 500)
    assert call.now()[1:] == [
        SnapshotText(number=1, role="assistant", text="one two three four"),
        SnapshotText(number=2, role="assistant", text="and five", is_open=True),
    ]


def test_words_whose_audio_is_still_to_come_are_not_remembered_as_heard() -> None:
    words = " ".join(["word"] * 31)
    call = Call()
    call.reply("a", words, 2000, is_complete=False)
    call.play("a", 1600, in_flight_ms=100)
    (playing,) = call.now()
    call.cut("a", 1500)
    (cut,) = call.now()
    assert isinstance(playing, SnapshotText)
    assert isinstance(cut, SnapshotText)
    assert playing.text == cut.text == "word word word word"


def test_an_interrupted_reply_is_closed() -> None:
    call = Call()
    call.reply("a", "one two three four", 1000)
    call.cut("a", 500)
    assert call.now() == [
        SnapshotText(number=0, role="assistant", text="one two", is_cut=True, unheard="three four")
    ]


def test_a_written_reply_needs_no_voice_to_be_known() -> None:
    call = Call()
    call.transcript.handle(model.TextDelta("r", "a", 0, "in writing"))
    call.history.append_words("a", "r", "in writing")
    assert call.now() == [SnapshotText(number=0, role="assistant", text="in writing", is_open=True)]


def test_calls_and_pictures_are_remembered() -> None:
    call = Call()
    call.transcript.record(model.AddImage(b"png"))
    call.transcript.handle(model.ToolCallRequested("r", "i", "c1", "clock", '{"zone": "UTC"}'))
    call.transcript.handle(model.ToolCallRequested("r", "j", "c2", "essay", "x" * 20_000))
    call.transcript.record(model.AddToolOutput("c2", "y" * 20_000))
    picture, clock, essay = call.now()
    assert picture == SnapshotText(number=0, role="user", text="[a picture]")
    assert clock == SnapshotToolCall(
        number=1, call_id="c1", name="clock", arguments='{"zone": "UTC"}'
    )
    assert isinstance(essay, SnapshotToolCall)
    assert essay.arguments == "{}"
    assert essay.output == "y" * MAX_ENTRY_CHARACTERS + "…"


def test_another_transcript_goes_on_where_this_one_was_lost() -> None:
    call = Call()
    call.ask("u", "count")
    call.transcript.handle(model.ToolCallRequested("r", "i", "c1", "clock", "{}"))
    call.reply("a", "one two three four", 1000)
    call.play("a", 500)
    conversation = ConversationSnapshot()
    for entry in call.now():
        conversation.update(entry)
    seed = conversation.seed()
    other = Call()
    other.transcript.restore(transcript_entries(seed))
    assert other.transcript.count == 3
    assert not other.transcript.has_open_calls
    assert other.now() == list(seed.entries)
    assert pending_reply(seed) == PendingReply(heard="one two")
    other.ask("v", "go on")
    assert other.now()[-1] == SnapshotText(number=3, role="user", text="go on")


def test_only_the_recent_part_is_looked_at() -> None:
    call = Call()
    for n in range(RECENT_ENTRIES + 10):
        call.ask(f"u{n}", f"words {n}")
    assert [entry.number for entry in call.now()] == list(range(10, RECENT_ENTRIES + 10))


def test_skills_that_were_loaded_are_known_from_the_outputs() -> None:
    outputs = ['{"loaded": "pets"}', "{", '{"error": "no"}', '{"loaded": "gone"}']
    loadable = {"pets": "Dogs are welcome.", "refunds": "Two days."}
    assert past_skills(outputs, loadable) == {"pets": "Dogs are welcome."}
