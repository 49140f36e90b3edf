from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from logs.writer import LineStream, LineWriter, try_write
from tests.deadlines import DEADLINE_S
from tests.fakes.outputs import KINDS, bad_output, fill, is_blocking


def told(count: int, reason: str) -> str:
    return f"{count} lost: {reason}"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def read_lines(fd: int, count: int) -> list[str]:
    """The next lines; filling that stands before them is dropped."""
    data = b""
    while data.replace(b"\0", b"").count(b"\n") < count:
        data += os.read(fd, 65_536)
    return data.replace(b"\0", b"").decode().splitlines()


def test_lines_come_whole_and_in_their_order_from_many_threads(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = LineWriter(descriptor)

    def say(name: str) -> None:
        for number in range(200):
            writer.put(f"{name} {number} ü\ud83d")

    threads = [threading.Thread(target=say, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    lines = read_lines(reader, 600)
    for thread in threads:
        thread.join()
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [
            f"{name} {number} ü\\ud83d" for number in range(200)
        ]
    writer.close(DEADLINE_S)
    assert writer.lost == 0


@pytest.mark.parametrize("kind", KINDS)
def test_put_never_blocks_and_never_raises(kind: str) -> None:
    with bad_output(kind) as output:
        writer = LineWriter(output.fd, max_waiting_bytes=10_000)
        began_s = time.monotonic()
        for _ in range(5_000):
            writer.put("x" * 99)
        assert time.monotonic() - began_s < 5, "a wait would have no end"
        assert is_blocking(output.fd), "it belongs to others too"
        if "stuck" in kind:
            assert writer.lost == 4_900
            assert not writer.flush(0.05)
        else:
            assert writer.flush(DEADLINE_S)
            assert writer.lost == 5_000
        output.release()
        writer.close(DEADLINE_S)


def test_lost_lines_are_reported_when_the_reader_is_back(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    fill(descriptor)
    writer = LineWriter(descriptor, max_waiting_bytes=30, format_lost=told)
    for number in range(10):
        writer.put(f"line {number}!!")  # 10 bytes with its end
    assert writer.lost == 7
    lines = read_lines(reader, 4)  # three and the report of the lost ones
    writer.put("after")
    lines += read_lines(reader, 1)
    assert writer.flush(DEADLINE_S)
    assert [line for line in lines if line.startswith("line")] == [f"line {n}!!" for n in range(3)]
    assert "7 lost: the reader is too slow" in lines
    assert lines[-1] == "after"
    writer.close(DEADLINE_S)


def test_a_disk_with_room_again_gets_the_next_line_and_the_number_of_lost_ones(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    with Path("/dev/full").open("wb") as full, path.open("wb") as file:
        place = os.dup(full.fileno())
        writer = LineWriter(place, format_lost=told)
        writer.put("one")
        writer.put("two")
        assert writer.flush(DEADLINE_S)
        os.dup2(file.fileno(), place)
        writer.put("three")
        assert writer.flush(DEADLINE_S)
        writer.close(DEADLINE_S)
        os.close(place)
    assert path.read_text() == "2 lost: No space left on device\nthree\n"


def test_a_descriptor_that_others_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    os.set_blocking(descriptor, False)
    writer = LineWriter(descriptor)
    for number in range(2_000):
        writer.put(f"{number:04} {'x' * 95}")
    lines = read_lines(reader, 2_000)
    assert [line[:4] for line in lines] == [f"{number:04}" for number in range(2_000)]
    writer.close(DEADLINE_S)


def test_without_a_thread_to_be_had_lines_are_written_at_once_or_lost(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    reader, descriptor = pipe
    writer = LineWriter(descriptor)
    writer.put("here")
    assert read_lines(reader, 1) == ["here"]
    fill(descriptor)
    writer.put("not here")
    assert writer.lost == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_without_threads_drops_lines_that_would_block(kind: str) -> None:
    with bad_output(kind) as output:
        assert not try_write(output.fd, b"x\n")
        assert is_blocking(output.fd)


def test_a_process_without_threads_writes_to_pipes_and_files(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    reader, descriptor = pipe
    assert try_write(descriptor, b"one\n")
    assert read_lines(reader, 1) == ["one"]
    with (tmp_path / "log").open("ab") as file:
        assert try_write(file.fileno(), b"one\n")
        assert try_write(file.fileno(), b"two\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_text_printed_in_pieces_becomes_lines() -> None:
    lines: list[str] = []
    stream = LineStream(2, lines.append)
    print("a", "b", file=stream)
    stream.write("c\nd")
    assert lines == ["a b", "c"]
    print("e", end="", file=stream, flush=True)
    assert lines == ["a b", "c", "de"]
    stream.write("x" * 200_000)
    assert sum(map(len, lines)) > 200_000, "no end of a line is waited for without bound"
    assert stream.fileno() == 2
