"""Shape and prose of the source in figures: `python -m bench.shape [ROOT]`. Reads only.

Tests and benchmarks count as one body, all other Python files outside hidden folders as the source.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

QUESTION: Final = re.compile(r"(What|Who|Whoever|How|Whether|Where|Which|When|Why)\b")
"""First words that make a docstring a question instead of an instruction or a name."""

PERSONAL: Final = re.compile(
    r"\b(tell|tells|told|telling|somebody|nobody|whoever|anybody)\b", re.IGNORECASE
)
"""Words that give a person's deeds to objects of the code."""

SHORT_FILE_LINES: Final = 50
LONG_FILE_LINES: Final = 400
LONG_FUNCTION_LINES: Final = 40


@dataclass
class Shape:
    """Figures of one body of files; lengths in lines, docstrings of functions not counted."""

    files: dict[str, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    annotated: int = 0
    comment_lines: int = 0
    docstrings: int = 0
    questions: list[str] = field(default_factory=list)
    words: int = 0
    personal: int = 0
    classes: Counter[str] = field(default_factory=Counter)

    @property
    def lines(self) -> int:
        """Lines of all files."""
        return sum(self.files.values())

    @property
    def question_percent(self) -> float:
        """Share of docstrings that open with a question word."""
        return 100 * len(self.questions) / max(self.docstrings, 1)

    @property
    def personal_per_1000(self) -> float:
        """Words of `PERSONAL` in 1000 words of docstrings and comments."""
        return 1000 * self.personal / max(self.words, 1)

    def add_file(self, name: str, text: str) -> None:
        """Count one file.

        Raises:
            SyntaxError: it is no Python.
        """
        self.files[name] = text.count("\n")
        self._add_comments(text)
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, Documented):
                self._add_docstring(name, node)
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                self.classes[node.name] += 1
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._add_function(name, node)

    def _add_comments(self, text: str) -> None:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                self.comment_lines += token.line.strip().startswith("#")
                self._add_prose(token.string)

    def _add_docstring(self, name: str, node: Documented) -> None:
        if (text := ast.get_docstring(node)) is None:
            return
        self.docstrings += 1
        self._add_prose(text)
        if QUESTION.match(text):
            line = 1 if isinstance(node, ast.Module) else node.lineno
            self.questions.append(f"{name}:{line}: {text.splitlines()[0]}")

    def _add_prose(self, text: str) -> None:
        self.words += len(text.split())
        self.personal += len(PERSONAL.findall(text))

    def _add_function(self, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        assert node.end_lineno is not None
        length = node.end_lineno - node.lineno + 1
        if ast.get_docstring(node) is not None:
            document = node.body[0]
            assert document.end_lineno is not None
            length -= document.end_lineno - document.lineno + 1
        self.functions[f"{name}:{node.lineno} {node.name}"] = length
        self.annotated += node.returns is not None


def read_shapes(root: Path) -> tuple[Shape, Shape]:
    """Count the files of the checkout at `root`: the source, and tests with benchmarks."""
    source, tests = Shape(), Shape()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith("."):  # environments and caches
            shape = tests if name.startswith(("tests/", "bench/")) else source
            shape.add_file(name, path.read_text())
    return source, tests


def report(source: Shape, tests: Shape) -> Iterator[str]:
    """Yield the figures as lines, then what is longest and what reads as a question."""
    lengths = sorted(source.functions.values())
    files = source.files.values()
    short = sum(lines < SHORT_FILE_LINES for lines in files)
    annotated = 100 * source.annotated / max(len(lengths), 1)
    p95 = lengths[int(0.95 * (len(lengths) - 1))]
    repeated = sum(count > 1 for count in source.classes.values())
    comments = 100 * source.comment_lines / max(source.lines, 1)
    yield f"source: {source.lines} lines in {len(files)} files"
    yield f"tests and benchmarks: {tests.lines} lines, {tests.lines / source.lines:.1f} a line"
    yield (
        f"functions: {len(lengths)}; median {statistics.median(lengths):.0f}, p95 {p95}, "
        f"max {lengths[-1]} lines; annotated {annotated:.0f} %"
    )
    yield f"files: median {statistics.median(files):.0f} lines, {short} under {SHORT_FILE_LINES}"
    yield f"public class names in more than one module: {repeated}"
    yield f"comment lines: {comments:.1f} %"
    yield (
        f"docstrings: {source.docstrings}, {source.question_percent:.1f} % open with a question "
        f"word (tests: {tests.question_percent:.1f} %)"
    )
    yield (
        f"tell, somebody and the like: {source.personal_per_1000:.1f} in 1000 words of prose "
        f"(tests: {tests.personal_per_1000:.1f})"
    )
    yield from _longest("functions", source.functions, LONG_FUNCTION_LINES)
    yield from _longest("files", source.files, LONG_FILE_LINES)
    yield from source.questions


def _longest(kind: str, lengths: dict[str, int], limit: int) -> Iterator[str]:
    for name, lines in sorted(lengths.items(), key=lambda each: -each[1]):
        if lines > limit:
            yield f"{kind} over {limit} lines: {name}, {lines}"


if __name__ == "__main__":
    for line in report(*read_shapes(Path(sys.argv[1] if len(sys.argv) > 1 else "."))):
        print(line)
