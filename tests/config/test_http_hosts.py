"""Hosts of HTTP tools in definitions, against the setting."""

from __future__ import annotations

import pytest

from config.definition import Definition
from config.handoff import require_hosts
from config.settings import AgentConfigError, Settings

FIRST = Definition(name="orders", handoffs=("bills",), http_hosts=("api.example.com:443",))
SECOND = Definition(name="bills", handoffs=("orders",), http_hosts=("bills.internal:8080",))
ALL = {"orders": FIRST, "bills": SECOND}


@pytest.mark.parametrize(
    ("hosts", "missing"),
    [
        ("api.example.com, bills.internal:8080", ""),
        ("api.example.com", "agent bills: bills.internal:8080 is not in HTTP_TOOL_HOSTS"),
        ("", "agent orders: api.example.com:443 is not in HTTP_TOOL_HOSTS"),
    ],
)
def test_a_host_that_is_not_listed_is_named(hosts: str, missing: str) -> None:
    settings = Settings.from_env({"HTTP_TOOL_HOSTS": hosts})
    if not missing:
        require_hosts(settings, FIRST, ALL)
        return
    with pytest.raises(AgentConfigError, match=missing) as refused:
        require_hosts(settings, FIRST, ALL)
    assert refused.value.code == "http_host_not_allowed"
