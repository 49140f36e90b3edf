"""The Grafana dashboard and the Prometheus rules, against the figures that a server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from control.metrics.figures import Figures
from tests.deploy.test_files import DEPLOY
from tests.processes.conftest import server_process

DASHBOARD = DEPLOY / "grafana" / "dashboards" / "parley.json"
RULES = DEPLOY / "prometheus" / "rules.yaml"
# Of Prometheus itself, and what the rules record.
OTHERS = {"up"} | set(re.findall(r"record: (\S+)", RULES.read_text(encoding="utf-8")))
# Labels that Prometheus adds, and the bounds of histograms.
ADDED = {"instance", "job", "le"}


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """All queries of dashboard and rules, with Grafana's variables filled in."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def selectors(node: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """Each metric that a parsed query reads, with the labels by which it selects."""
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), frozenset(one.name for one in node.matchers.matchers)
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or ():
        yield from selectors(child)


def labels_of(text: str) -> dict[str, set[str]]:
    """Names of all samples -> their labels; of counted ones also if nothing was counted yet."""
    known: dict[str, set[str]] = {}
    for name, metric in Figures().registry._names_to_collectors.items():
        known[name] = set(getattr(metric, "_labelnames", ()))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    return known


@pytest.mark.asyncio
async def test_each_query_reads_metrics_and_labels_that_a_server_has(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{server.url}/metrics") as response,
        ):
            text = await response.text()
    known = labels_of(text)
    read = {one for query in expressions() for one in selectors(promql_parser.parse(query))}
    asked = {(name, labels) for name, labels in read if name not in OTHERS}
    assert len(asked) > 40
    for name, labels in asked:
        assert name in known, name
        assert labels - ADDED <= known[name], (name, labels)


def test_a_metric_that_is_gone_would_be_found() -> None:
    (found,) = selectors(promql_parser.parse('sum by (x) (rate(parley_gone_total{a="b"}[1m]))'))
    assert found == ("parley_gone_total", frozenset({"a"}))


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_each_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    alerts = [rule for rule in rules if "alert" in rule]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"]
