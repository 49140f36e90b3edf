"""The figures of the source's shape, on a small tree and on this one."""

from __future__ import annotations

from pathlib import Path

from bench.shape import Shape, read_shapes, report

SAMPLE = '''"""Whether it works."""

# Nobody knows.
LIMIT = 1  # not a line of its own


class Thing:
    """A thing."""

    def do(self) -> None:
        """Tell
        somebody.
        """
        print(1)
        print(2)

    async def leave(self):
        pass
'''


def test_a_file_is_counted_by_its_words_and_lines() -> None:
    shape = Shape()
    shape.add_file("sample.py", SAMPLE)
    assert shape.lines == 18
    assert list(shape.functions.values()) == [3, 2]
    assert (shape.annotated, shape.comment_lines, shape.docstrings) == (1, 1, 3)
    assert shape.questions == ["sample.py:1: Whether it works."]
    # Of 3 + 3 + 6 + 2 + 2 words: "Nobody", "Tell", "somebody".
    assert (shape.words, shape.personal) == (17, 3)
    assert shape.classes == {"Thing": 1}


def test_the_source_reads_plainly() -> None:
    source, _ = read_shapes(Path(__file__).parents[2])
    assert source.question_percent < 0.5, source.questions
    assert source.personal_per_1000 < 0.5
    assert source.annotated == len(source.functions)


def test_the_report_names_what_is_too_long() -> None:
    shape = Shape()
    shape.add_file("long.py", "x = 1\n" * 401 + "def run() -> None:\n" + "    x = 1\n" * 41)
    lines = list(report(shape, Shape()))
    assert "functions over 40 lines: long.py:402 run, 42" in lines
    assert "files over 400 lines: long.py, 443" in lines
