"""The documentation names what there is: settings, routes, events and providers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from agents.realtime.model_events import RealtimeModelEvent

from config.settings import Settings
from control.api.operations import OPERATIONS
from conversation.events.client_events import ClientEvent
from conversation.events.server_events import ServerEvent
from realtime.capabilities import capabilities_of
from realtime.events import ModelEvent
from realtime.model import Capabilities
from realtime.providers import provider_names
from realtime_calls.calls import Calls
from realtime_calls.options import CallOptions
from speech.server import ModelServer
from speech.settings import SpeechSettings
from version import VERSION

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

# As in its version 1.0.21, which is no requirement of ours.
AGENTSCOPE = {
    *("model_session_created", "model_session_ended", "model_response_created"),
    *("model_response_done", "model_response_audio_delta", "model_response_audio_done"),
    *("model_response_audio_transcript_delta", "model_response_audio_transcript_done"),
    *("model_response_tool_use_delta", "model_response_tool_use_done"),
    *("model_input_transcription_delta", "model_input_transcription_done"),
    *("model_input_started", "model_input_done", "model_error"),
    *("model_websocket_connect", "model_websocket_disconnect"),
}


def rows(page: str, title: str) -> list[list[str]]:
    """The cells of the first table after a heading or a header cell."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(title)[2]
    table = re.search(r"^\|[- |]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[1].splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_setting_is_explained_and_no_other() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    explained = re.findall(r"^([A-Z][A-Z0-9_]*)=", example, re.MULTILINE)
    assert sorted(explained) == sorted(name.upper() for name in Settings.model_fields)


def test_the_changelog_ends_in_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", changes, re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", one) for one in titles[1:]]
    assert releases
    assert [one[1] for one in releases if one][:1] == [VERSION]
    assert all(releases)
    kinds = set(re.findall(r"^### (.*)$", changes, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def _routes_of_the_local_model() -> set[tuple[str, str]]:
    server = ModelServer(SpeechSettings())
    app = server.application()
    Calls(server, CallOptions()).add_routes(app)
    routes = [(one.method, one.resource) for one in app.router.routes()]
    return {(method, place.canonical) for method, place in routes if place is not None}


def test_every_route_that_is_told_of_is_served() -> None:
    served = {(one.method, one.path) for one in OPERATIONS} | _routes_of_the_local_model()
    told = set()
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        told |= set(re.findall(r"`(GET|POST|DELETE) (/[\w{}/]*)(?=[`?])", text))
    assert told
    assert told <= served


def test_every_file_that_is_named_exists() -> None:
    named = set()
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        if page.name == "security.md":
            continue  # its paths are below tests/, and have a test of their own
        text = page.read_text(encoding="utf-8")
        named |= set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|js))`", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_event_of_people_has_its_row_and_each_row_its_event() -> None:
    assert _told("## Server events") == _types(ServerEvent)
    assert _told("## Client events") == _types(ClientEvent)


def _types(union: object) -> set[str]:
    events = get_args(get_args(union)[0])
    return {event.model_fields["type"].default for event in events}


def _told(title: str) -> set[str]:
    """The events in a table's first column; `_done` and the like stand for the name before."""
    told = set()
    for row in rows("events.md", title):
        first, *others = names(row[0])
        stem = first.rpartition("_")[0]
        told |= {first} | {stem + name if name.startswith("_") else name for name in others}
    return told


def test_every_model_event_has_its_row_and_theirs_have_one_too() -> None:
    table = rows("events.md", "## Inside: model events")
    columns = [[name for row in table for name in names(row[index])] for index in range(3)]
    ours = [event.__name__ for event in get_args(ModelEvent)]
    assert sorted(columns[0]) == sorted(ours)
    assert sorted(columns[1]) == sorted(AGENTSCOPE)
    theirs = {event.__dataclass_fields__["type"].default for event in get_args(RealtimeModelEvent)}
    assert sorted(columns[2]) == sorted(theirs)


def test_every_provider_is_told_with_settings_that_exist() -> None:
    table = rows("providers.md", "| name | is |")
    assert sorted(name for row in table for name in names(row[0])) == provider_names()
    known = {name.upper() for name in Settings.model_fields}
    assert {name for row in table for name in names(row[2])} <= known


COLUMNS = [
    [("openai", ""), ("azure", "")],
    [("openai-beta", "")],
    [("openai-compatible", "")],
    [("xai", "")],
    [("local", "")],
    [("gemini", "gemini-3.8-live")],
    [("dashscope", "qwen3.5-omni-flash-realtime"), ("dashscope", "qwen3.8-omni-realtime")],
    [("dashscope", "qwen3-omni-flash-realtime"), ("dashscope", "qwen-omni-turbo-realtime")],
    [("dashscope", "qwen-audio-realtime")],
]


def test_the_capability_table_tells_the_records() -> None:
    table = rows("providers.md", "| | `openai`, `azure` |")
    told = list(zip(*(row[1:] for row in table), strict=True))
    for column, models in zip(told, COLUMNS, strict=True):
        for provider, model in models:
            assert column == _told_of(capabilities_of(provider, model))


def _told_of(model: Capabilities) -> tuple[str, ...]:
    rates = f"{model.input_sample_rate_hz // 1000} / {model.output_sample_rate_hz // 1000} kHz"
    sees = ", ".join(sorted(each.removeprefix("image/").upper() for each in model.image_types))
    cap = f"{model.session_cap_s / 60:g} min" if model.session_cap_s else "-"
    return (
        rates,
        _yes(model.has_text_input),
        sees or "no",
        _yes(model.has_tools),
        _yes(model.has_hosted_tools),
        _yes(model.has_truncation),
        _told_options(model.reply_options),
        _yes("out_of_band" in model.reply_options),
        cap,
    )


def _told_options(options: frozenset[str]) -> str:
    return "modality" if options == {"output_modality"} else _yes(bool(options))


def _yes(can: bool) -> str:
    return "yes" if can else "no"
