"""What is kept of a conversation, and what a new session is told of it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from realtime import events as ours
from realtime.resilience.replay import (
    LEFT_OUT,
    ReplayBudget,
    as_text,
    fold,
    replayed,
    replayed_as_note,
    trim,
    with_note,
)
from realtime.resilience.transcript import (
    MAX_ENTRIES,
    ImageEntry,
    TextEntry,
    ToolCallEntry,
    Transcript,
)

R = "resp"
PICTURE = ours.AddImage(b"jpeg")


def transcript(*passed: ours.ModelEvent | ours.ModelCommand) -> Transcript:
    kept = Transcript()
    for each in passed:
        if isinstance(each, ours.ModelCommand):
            kept.record(each)
        else:
            kept.handle(each)
    return kept


def lines(kept: Transcript) -> list[str]:
    return [as_text(entry) for entry in kept.since(0) if as_text(entry)]


def reply(item_id: str, words: str, duration_ms: int) -> list[ours.ModelEvent]:
    return [
        ours.AudioDelta(R, item_id, 0, bytes(48 * duration_ms), 24_000),
        ours.TranscriptDelta(R, item_id, 0, words),
    ]


def test_words_that_are_understood_late_keep_their_place() -> None:
    kept = transcript(
        ours.InputCommitted("u1"),
        *reply("a1", "hello Ada", 500),
        ours.InputTranscriptDone("u1", "I am Ada"),
        ours.AddText("be quick", "system"),
    )
    assert lines(kept) == ["User: I am Ada", "You: hello Ada", "Note: be quick"]


def test_a_reply_is_cut_to_what_was_heard_and_stays_cut() -> None:
    kept = transcript(
        *reply("a1", "one two three four", 1000),
        ours.TruncateItem("a1", 0, 500, "one two"),
        ours.TranscriptDelta(R, "a1", 0, " five"),
        ours.TranscriptDone(R, "a1", 0, "one two three four five"),
        ours.TruncateItem("never_heard", 0, 0, ""),
        ours.TranscriptDelta(R, "never_heard", 0, "late"),
    )
    assert lines(kept) == ["You: one two …"]


def test_calls_are_told_with_their_outputs_only() -> None:
    kept = transcript(
        ours.ToolCallRequested(R, "c1", "call_1", "clock", "{}"),
        ours.ToolCallRequested(R, "c2", "call_2", "door", "{}"),
        ours.ToolCallRequested(R, "c3", "call_3", "lamp", "{}"),
        ours.AddToolOutput("call_1", "noon"),
        ours.ToolCallCancelled(("call_3",)),
    )
    assert kept.has_open_calls
    assert lines(kept) == ["Tool clock({}) answered: noon"]
    kept.record(ours.AddToolOutput("call_2", "open"))
    assert not kept.has_open_calls
    (call, door) = kept.since(0)
    assert replayed(call, item_id=None, max_characters=100) == [
        ours.AddToolCall("call_1", "clock", "{}"),
        ours.AddToolOutput("call_1", "noon"),
    ]
    assert replayed_as_note(door, max_characters=100) == ours.AddText(
        "Tool door({}) answered: open", "system"
    )


def test_only_the_newest_pictures_are_kept() -> None:
    kept = transcript(PICTURE, PICTURE, PICTURE)
    shown = [entry for entry in kept.since(0) if isinstance(entry, ImageEntry)]
    assert [entry.image is not None for entry in shown] == [False, True, True]
    told = replayed(shown[2], item_id=None, max_characters=100, has_image_input=True)
    assert told == [PICTURE]
    (words,) = replayed(shown[2], item_id=None, max_characters=100, has_image_input=False)
    assert isinstance(words, ours.AddText), "a model without eyes is told that there was one"


def test_what_the_agent_deletes_or_what_was_refused_is_forgotten() -> None:
    kept = transcript(ours.AddText("a", item_id="i1"), ours.AddText("b", item_id="i2"))
    kept.record(ours.DeleteItem("i1"))
    assert lines(kept) == ["User: b"]
    number = kept.count
    kept.record(ours.AddText("c"))
    kept.take_back(number)
    assert lines(kept) == ["User: b"]


def test_memory_has_a_bound() -> None:
    kept = transcript(*(ours.AddText(str(number)) for number in range(MAX_ENTRIES + 10)))
    assert len(kept.since(0)) == MAX_ENTRIES
    assert kept.since(0)[0].number == 10


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "system", "call", "open call"]),
        st.text("ab ", max_size=30),
    ),
    max_size=40,
)


def built(kinds: list[tuple[str, str]]) -> list[TextEntry | ToolCallEntry | ImageEntry]:
    made: list[TextEntry | ToolCallEntry | ImageEntry] = []
    for number, (kind, text) in enumerate(kinds):
        match kind:
            case "call" | "open call":
                output = text if kind == "call" else None
                made.append(ToolCallEntry(number, f"i{number}", f"c{number}", "f", "{}", output))
            case "user" | "assistant" | "system":
                made.append(TextEntry(number, f"i{number}", kind, text))
    return made


@given(ENTRIES, st.integers(1, 8), st.integers(1, 400))
@example([("assistant", "a" * 30), ("call", ""), ("user", "a"), ("user", "a")], 8, 60)
def test_trimming_keeps_whole_turns_from_the_end(
    kinds: list[tuple[str, str]], max_turns: int, max_characters: int
) -> None:
    entries = built(kinds)
    telling = [entry for entry in entries if as_text(entry)]
    kept = trim(entries, max_turns=max_turns, max_characters=max_characters)
    assert kept == telling[len(telling) - len(kept) :], "the end of it, in order"
    assert not any(isinstance(entry, ToolCallEntry) and entry.output is None for entry in kept)
    users = [entry for entry in kept if isinstance(entry, TextEntry) and entry.role == "user"]
    assert len(users) <= max_turns
    if len(users) > 1:
        assert sum(len(as_text(entry)) for entry in kept) <= max_characters
    if telling:
        assert kept, "the last turn is always told"
    if len(kept) < len(telling) and users:
        assert isinstance(kept[0], TextEntry) or len(users) <= 1


@given(ENTRIES)
def test_a_folded_conversation_fits_its_budget(kinds: list[tuple[str, str]]) -> None:
    budget = ReplayBudget(folded_characters=200)
    text = fold(built(kinds), budget)
    assert len(text) <= 200 + 100
    assert bool(text) == any(as_text(entry) for entry in built(kinds))


def _said(count: int) -> Transcript:
    return transcript(*(ours.AddText(f"turn {number}") for number in range(count)))


def test_what_is_left_out_is_said_in_its_place() -> None:
    entries = _said(5).since(0)
    told = with_note(trim(entries, max_turns=2, max_characters=1000), entries)
    assert [as_text(each) for each in told] == [f"Note: {LEFT_OUT}", "User: turn 3", "User: turn 4"]
    (command,) = replayed(told[0], item_id=None, max_characters=1000)
    assert command == ours.AddText(LEFT_OUT, "system")
    whole = trim(entries, max_turns=9, max_characters=1000)
    assert with_note(whole, entries) == whole


def test_a_folded_conversation_says_so_too() -> None:
    short, long = ReplayBudget(folded_characters=200), ReplayBudget()
    text = fold(_said(30).since(0), short)
    assert LEFT_OUT in text
    assert text.endswith("User: turn 28\nUser: turn 29")
    assert LEFT_OUT not in fold(_said(30).since(0), long)
