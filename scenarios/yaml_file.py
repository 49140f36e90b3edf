"""YAML with the line of every value, for errors that name file and line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

MAX_BYTES: Final = 256 * 1024
MAX_NODES: Final = 20_000
"""Of a file with its aliases written out: a few lines of nested aliases can stand for millions."""

_BOOL: Final = "tag:yaml.org,2002:bool"
_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "null", "bool", "int", "float")
)
_DROPPED: Final = (_BOOL, _INT, _FLOAT, "tag:yaml.org,2002:timestamp")

Path = tuple[str | int, ...]


class YamlError(Exception):
    """Not YAML that can be read. line: from 1"""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _CoreLoader(yaml.SafeLoader):
    """Reads scalars by YAML 1.2's core schema: `yes`, `on`, `12:30` and dates are texts."""


_CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_CoreLoader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$", re.IGNORECASE), None)
_CoreLoader.add_implicit_resolver(_INT, re.compile(r"^[-+]?[0-9]+$"), None)
_CoreLoader.add_implicit_resolver(
    _FLOAT, re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"), None
)


@dataclass(frozen=True)
class Document:
    """The data of a file, and where each value stands. lines: by path, from 1"""

    data: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Sequence[str | int]) -> int:
        """Return the line of the value at `path`, or of the nearest one above it.

        Parts that the file does not have are left out: validators add names of their own.
        """
        known: Path = ()
        for part in path:
            if (*known, part) in self.lines:
                known = (*known, part)
        return self.lines.get(known, 1)


def read_yaml(text: str) -> Document:
    """Parse one document.

    Raises:
        YamlError: It is no YAML, has a key twice, or is too large.
    """
    if len(text.encode()) > MAX_BYTES:
        raise YamlError(f"larger than {MAX_BYTES // 1024} KiB", 1)
    try:
        node = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(error.problem or "no YAML", 1 if mark is None else mark.line + 1) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlError((str(error).splitlines() or ["no YAML"])[0], 1) from error
    if node is None:
        raise YamlError("the file is empty", 1)
    reader = _Reader()
    try:
        return Document(reader.read(node, ()), reader.lines)
    except RecursionError as error:
        raise YamlError("nested too deeply", 1) from error


class _Reader:
    """Makes plain data of nodes."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self._constructor = yaml.constructor.SafeConstructor()
        self._count = 0
        self._open: list[yaml.Node] = []

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > MAX_NODES or any(node is each for each in self._open):
            raise YamlError("too many values, or an alias that contains itself", line)
        if node.tag not in _TAGS:
            raise YamlError(f"a value of a kind that is not read here ({node.tag})", line)
        self.lines[path] = line
        self._open.append(node)
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(node, path)
                case yaml.SequenceNode():
                    return [self.read(each, (*path, at)) for at, each in enumerate(node.value)]
                case _:
                    return self._scalar(node, line)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = getattr(key_node, "value", None)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise YamlError("a key must be a word", line)
            if key in data:
                raise YamlError(f"{key} is there twice", line)
            data[key] = self.read(value_node, (*path, key))
            # The key's line: that of a block value may be the next one.
            self.lines[(*path, key)] = line
        return data

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            return self._constructor.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, KeyError) as error:
            raise YamlError(f"a value that cannot be read ({node.tag})", line) from error
