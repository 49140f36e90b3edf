"""Models by name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from realtime.model import RealtimeModel
from realtime.providers import (
    ENTRY_POINT_GROUP,
    UnknownProviderError,
    create_model,
    provider_names,
)


def test_known_providers_differ_in_what_they_can() -> None:
    openai, local = create_model("openai").capabilities, create_model("local").capabilities
    assert openai.input_sample_rate_hz == local.output_sample_rate_hz == 24_000
    assert (openai.has_image_input, local.has_image_input) == (True, False)
    assert (openai.session_cap_s, local.session_cap_s) == (3600.0, None)
    assert openai.has_truncation
    assert local.has_truncation


def test_unknown_provider_is_refused_with_the_known_names() -> None:
    with pytest.raises(UnknownProviderError, match=r"azure, .*local, openai, openai-beta"):
        create_model("os")


def test_no_provider_is_loaded_before_it_is_asked_for() -> None:
    check = "import sys, realtime.providers; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_factory_of_the_server_comes_before_names() -> None:
    model = create_model("local", factory="tests.realtime.test_providers:create_blind")
    assert not model.capabilities.has_image_input
    assert model.capabilities.input_sample_rate_hz == 24_000


def create_blind(_model: str) -> RealtimeModel:
    return create_model("local")


def test_an_installed_package_adds_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("acme", "tests.realtime.test_providers:create_blind", ENTRY_POINT_GROUP)
    monkeypatch.setattr("realtime.providers.entry_points", lambda group: EntryPoints([entry]))
    assert "acme" in provider_names()
    assert create_model("acme", "m").capabilities.has_tools


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("os", "use package.module:function"),
        ("os:system; ls", "use package.module:function"),
        ("no.such.module:create", "cannot be loaded"),
        ("realtime.providers:no_such_function", "cannot be loaded"),
        ("realtime.providers:ENTRY_POINT_GROUP", "is not a function"),
    ],
)
def test_a_factory_that_cannot_be_used_says_why(factory: str, words: str) -> None:
    with pytest.raises(UnknownProviderError, match=words):
        create_model("acme", factory=factory)
