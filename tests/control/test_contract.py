"""The served API against its own document: whatever is sent, the answer is one that it promises."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from config.settings import Settings
from control.api.openapi import openapi_document
from control.api.operations import OPERATIONS
from control.store.archive import Archive
from control.store.database import database_url
from tests.control.served_api import serve_api
from tests.deadlines import DEADLINE_S

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "5"))
"""Of each operation."""

# An open server has no credentials that could be ignored.
CHECKS = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
)
UNLIMITED = Settings(
    local_model_uri="ws://127.0.0.1:9",
    requests_per_s_per_address=100_000,
    max_open_requests_per_address=1_000,
)
LIVE = {"channel_name": "demo", "uid": 1000}
SCHEMA = schemathesis.openapi.from_dict(openapi_document(OPERATIONS))
NAMES = [one.name for one in OPERATIONS]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The application in a loop of its own."""
    url: list[str] = []
    is_serving = threading.Event()

    async def serve() -> None:
        archive = Archive(database_url(folder, None), "this server")
        archive.start(list)
        async with serve_api(UNLIMITED, archive=archive) as api:
            await api.keys.named.read()
            await api.post("/start_agent", json=LIVE)
            loop = asyncio.get_running_loop()
            stopped = loop.create_future()
            url.append(str(api.make_url("/")).rstrip("/"))
            stops.append(lambda: loop.call_soon_threadsafe(stopped.set_result, None))
            is_serving.set()
            await stopped
        await archive.close()

    stops: list[object] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert is_serving.wait(DEADLINE_S)
        yield url[0]
    finally:
        stop = stops[0]
        assert callable(stop)
        stop()
        thread.join(10)


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_one_that_the_document_promises(name: str, tmp_path: Path) -> None:
    operation = SCHEMA.find_operation_by_id(name)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_live=st.booleans())
    def send(case: schemathesis.Case, is_live: bool) -> None:
        if is_live and "channel" in case.path_parameters:
            case.path_parameters["channel"] = LIVE["channel_name"]
        response = case.call(base_url=url, session=session, allow_redirects=False, timeout=10)
        # There is no local model here, which is what the document promises of it.
        is_promised = (name, response.status_code) == ("voice_sample", 502)
        checked = [one for one in CHECKS if not (is_promised and one is checks.not_a_server_error)]
        case.validate_response(response, checks=checked)

    with served(tmp_path) as url, requests.Session() as session:
        send()
