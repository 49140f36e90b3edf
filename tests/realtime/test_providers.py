"""Models by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from realtime.providers import UnknownProviderError, create_model


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
