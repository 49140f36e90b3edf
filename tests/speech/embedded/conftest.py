"""Two servers for all tests of this folder: the one of the product, and a narrow one with a key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.embedded_llm import embedded_llm


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    """Of `python -m main llm`."""
    with embedded_llm() as url:
        yield url


@pytest.fixture(scope="session")
def narrow_url() -> Iterator[str]:
    """Of a server with one slot, two places to wait, and a key."""
    with embedded_llm(("-m", "tests.speech.embedded.serve")) as url:
        yield url
