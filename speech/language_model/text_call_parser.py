"""Tool calls that a model wrote as text: from the text of one block to calls. Pure."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import json_repair

from speech.dialogue.context import Tool
from speech.language_model.call_assembly import AssembledCall
from speech.language_model.tool_repair import ends_inside_text, matching_tool

UNREADABLE: Final = "(unreadable)"
"""Arguments of a call that cannot be read; no JSON, so that the model is asked again."""

_NAMES: Final = ("name", "tool_name", "tool", "function", "function_name", "action")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input", "action_input")
_MAX_CHARACTERS: Final = 8_000
_NAME: Final = r"[A-Za-z_][\w.:-]{0,100}"
_XML_CALL: Final = re.compile(rf"<function\s*=\s*({_NAME})\s*>(.*?)(?:</function>|$)", re.DOTALL)
_XML_ARGUMENT: Final = re.compile(
    rf"<parameter\s*=\s*({_NAME})\s*>(.*?)(?:</parameter>|(?=<parameter)|$)", re.DOTALL
)
_NAME_THEN_JSON: Final = re.compile(rf"\s*({_NAME})\s*(?:\[ARGS\])?\s*(\{{.*)", re.DOTALL)
_WRITTEN_NAME: Final = re.compile(rf"[\"'](?:name|function)[\"']\s*:\s*[\"']({_NAME})[\"']")


def calls_in(text: str, tools: Sequence[Tool]) -> list[AssembledCall]:
    """Return the calls that a block consists of; none: it is something else, or unreadable."""
    text = text.strip()
    if not text or len(text) > _MAX_CHARACTERS:
        return []
    if xml := _XML_CALL.findall(text):
        return [AssembledCall(name, _xml_arguments(body)) for name, body in xml]
    if text[0] in "{[":
        calls = list(_json_calls(_parsed(text), tools))
        if calls:
            return calls
    if match := _NAME_THEN_JSON.fullmatch(text):
        return [AssembledCall(match[1], match[2])]
    return _python_calls(text, tools)


def unreadable_call(text: str) -> AssembledCall:
    """Return a call in place of a block that is surely one, and cannot be read."""
    match = _WRITTEN_NAME.search(text[:_MAX_CHARACTERS])
    return AssembledCall("" if match is None else match[1], UNREADABLE)


# -- JSON --------------------------------------------------------------------------------------


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if ends_inside_text(text):
        return None
    try:
        return json_repair.loads(text)
    except (ValueError, RecursionError):
        return None


def _json_calls(value: Any, tools: Sequence[Tool]) -> Iterator[AssembledCall]:
    match value:
        case list():
            for one in value:
                yield from _json_calls(one, tools) if isinstance(one, dict) else ()
        case {"tool_calls": list() as calls}:
            yield from _json_calls(calls, tools)
        case {"function": Mapping() as function}:
            yield from _json_calls(function, tools)
        case dict():
            yield from _object_call(value, tools)


def _object_call(value: Mapping[str, Any], tools: Sequence[Tool]) -> Iterator[AssembledCall]:
    names = [value[key] for key in _NAMES if isinstance(value.get(key), str)]
    if names:
        arguments: Any = next((value[key] for key in _ARGUMENTS if key in value), {})
        yield AssembledCall(names[0], _as_text(arguments))
    elif len(value) == 1:
        name, arguments = next(iter(value.items()))
        if isinstance(arguments, dict) and matching_tool(name, tools) is not None:
            yield AssembledCall(name, _as_text(arguments))


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _xml_arguments(body: str) -> str:
    """Return the arguments between the tags of a call: JSON, or a tag for each."""
    found = _XML_ARGUMENT.findall(body)
    if not found:
        return body.strip() or "{}"
    # Values are plain text; the schema of the tool says what they stand for.
    return json.dumps({name: value.strip() for name, value in found}, ensure_ascii=False)


# -- Python ------------------------------------------------------------------------------------


def _python_calls(text: str, tools: Sequence[Tool]) -> list[AssembledCall]:
    """Return the calls of `name(key="value")`, or of a list of such, or of one in each line."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    nodes = [node.value if isinstance(node, ast.Expr) else node for node in body]
    if len(nodes) == 1 and isinstance(nodes[0], ast.List | ast.Tuple):
        nodes = list(nodes[0].elts)
    calls = [_python_call(node, tools) for node in nodes]
    return [call for call in calls if call is not None] if all(calls) else []


def _python_call(node: ast.AST, tools: Sequence[Tool]) -> AssembledCall | None:
    # Gemma wraps calls: print(default_api.get_time())
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
        node = node.args[0] if len(node.args) == 1 else node
    if not isinstance(node, ast.Call):
        return None
    name = _dotted_name(node.func)
    tool = matching_tool(name, tools)
    if tool is None:
        return None
    order = list(tool.parameters.get("properties") or {})
    try:
        positional = [ast.literal_eval(value) for value in node.args]
        named = {one.arg: ast.literal_eval(one.value) for one in node.keywords if one.arg}
        arguments = dict(zip(order, positional, strict=False)) | named
        return AssembledCall(tool.name, json.dumps(arguments, ensure_ascii=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _dotted_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
