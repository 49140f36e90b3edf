"""What is pasted from `deploy/`: each file by its own validator, and all of them against the server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from shutil import copytree
from typing import Any

import compose_spec
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from config.settings import Settings
from control.api.operations import OPERATIONS
from tests.deadlines import DEADLINE_S
from tests.real_server import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = "1.33"
OPEN_PATHS = {one.path for one in OPERATIONS if one.method == "GET"}
# Between the end of a drain and the end of the process: goodbyes.
GOODBYES_S = 30

Variables = dict[str, str]


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def example_variables() -> Variables:
    lines = [line for line in read("env.example").splitlines() if "=" in line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def image_variables() -> Variables:
    found = re.search(r"^ENV ((?:.*\\\n)*.*)$", read("Dockerfile"), re.M)
    assert found is not None
    return dict(part.split("=", 1) for part in found[1].replace("\\\n", " ").split())


def drain_s(variables: Variables) -> int:
    return int(variables["DRAIN_DEADLINE_S"])


# -- the image -------------------------------------------------------------------------------------


def image_context(target: Path) -> Path:
    """A copy of what the build sends: what `Dockerfile.dockerignore` lets through."""
    rules = [line for line in read("Dockerfile.dockerignore").splitlines() if line[:1] == "!"]
    for rule in rules:
        for path in ROOT.glob(rule[1:]):
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                copytree(path, copy, ignore=lambda _folder, names: [
                    name for name in names if fnmatch(name, "__pycache__") or name.endswith(".pyc")
                ])  # fmt: skip
            else:
                copy.write_bytes(path.read_bytes())
    return target


def test_the_server_runs_from_what_the_image_holds_and_its_health_check_passes(
    tmp_path: Path,
) -> None:
    context = image_context(tmp_path / "image")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    variables = kept | {
        "PARLEY_ENV_FILE": "",
        "DATA_DIR": str(tmp_path / "data"),
        "LOCAL_MODEL_URI": "ws://127.0.0.1:9",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SERVER_PORT": "0",
    }
    for path in (context, *context.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    server = subprocess.Popen(
        [sys.executable, "-m", "main", "server"],
        cwd=context,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        ready = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
        assert ready is not None
        check = [sys.executable, "deploy/health_check.py"]
        healthy = kept | {"SERVER_HOST": "0.0.0.0", "SERVER_PORT": ready[1]}
        subprocess.run(check, cwd=context, env=healthy, check=True, timeout=DEADLINE_S)
        server.send_signal(signal.SIGTERM)
        assert server.wait(DEADLINE_S) == 0
        gone = subprocess.run(
            check, cwd=context, env=healthy, check=False, timeout=DEADLINE_S, capture_output=True
        )
        assert gone.returncode == 1
        assert b"no answer from 127.0.0.1" in gone.stderr
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_the_build_copies_what_exists_and_sets_what_the_server_knows() -> None:
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", read("Dockerfile"), re.M)
    for name in " ".join(sources).split():
        assert name == "." or list(ROOT.glob(name)), name
    known = {name.upper() for name in Settings.model_fields} | {"PATH", "PYTHONUNBUFFERED"}
    assert image_variables().keys() <= known
    ports = image_variables()["MEDIA_PORTS"]
    assert f"EXPOSE 8080/tcp {ports}/udp" in read("Dockerfile")


# -- compose ----------------------------------------------------------------------------------------


def compose_text() -> str:
    """The file with its variables replaced as `docker compose` does."""
    return re.sub(r"\$\{([A-Z_]+):-([^}]*)\}", r"\2", read("compose.yaml"))


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(compose_text())
    return parsed


def test_the_compose_file_is_one() -> None:
    services = compose_spec.PyCompose.from_yaml(compose_text()).to_spec().services
    assert services is not None
    assert set(services) == {"parley", "caddy", "coturn", "postgres", "prometheus", "grafana"}
    alone = [name for name, one in compose()["services"].items() if "profiles" not in one]
    assert alone == ["parley"]


def test_each_mounted_file_exists_and_each_volume_is_declared() -> None:
    parsed = compose()
    for service in parsed["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source == "./app":  # the owner's
                continue
            assert (DEPLOY / source).exists() if source[0] == "." else source in parsed["volumes"]


def test_each_variable_of_the_compose_file_is_explained() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", read("compose.yaml")))
    known = example_variables()
    assert asked <= known.keys()
    settings = {name.upper() for name in Settings.model_fields}
    assert known.keys() <= asked | settings


def test_compose_publishes_the_ports_of_the_image_and_waits_for_its_drain() -> None:
    server = compose()["services"]["parley"]
    media = image_variables()["MEDIA_PORTS"]
    assert f"{media}:{media}/udp" in server["ports"]
    assert "127.0.0.1:8080:8080/tcp" in server["ports"]
    minutes = int(server["stop_grace_period"].removesuffix("m"))
    assert minutes * 60 >= drain_s(image_variables()) + GOODBYES_S
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]


# -- Kubernetes ---------------------------------------------------------------------------------------


def resources() -> list[dict[str, Any]]:
    listed = yaml.safe_load(read("kubernetes/kustomization.yaml"))["resources"]
    found = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(listed) == found - {"kustomization.yaml"}
    return [one for name in listed for one in yaml.safe_load_all(read(f"kubernetes/{name}"))]


@pytest.mark.parametrize("resource", resources(), ids=lambda one: str(one["kind"]))
def test_each_manifest_is_what_kubernetes_takes(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_a_misspelt_manifest_would_be_found() -> None:
    wrong = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"portz": []},
    }
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_pod_is_probed_by_routes_of_the_server_and_has_time_to_drain() -> None:
    deployment = next(one for one in resources() if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in OPEN_PATHS
    variables = {one["name"]: one.get("value", "") for one in container["env"]}
    assert variables.keys() <= {name.upper() for name in Settings.model_fields}
    assert pod["terminationGracePeriodSeconds"] >= drain_s(variables) + GOODBYES_S
    user = re.search(r"^USER (\d+):(\d+)$", read("Dockerfile"), re.M)
    assert user is not None
    context = pod["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))


# -- systemd ----------------------------------------------------------------------------------------


def directives(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in read(f"systemd/{name}").splitlines():
        if "=" in line and line[0] != "#":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_lets_calls_end_and_names_settings_that_exist() -> None:
    unit = directives("parley.service")
    variables = dict(part.split("=", 1) for part in " ".join(unit["Environment"]).split())
    others = {"PARLEY_ENV_FILE", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    assert variables.keys() - others <= {name.upper() for name in Settings.model_fields}
    assert int(unit["TimeoutStopSec"][0]) >= drain_s(variables) + GOODBYES_S
    assert unit["Type"] == ["notify"]
    # SIGTERM must not reach agents: they would end before their calls.
    assert unit["KillMode"] == ["mixed"]
    assert unit["OOMPolicy"] == ["continue"]


def test_the_template_unit_is_the_unit_with_the_name_of_its_instance() -> None:
    plain, template = directives("parley.service"), directives("parley@.service")
    assert plain.keys() == template.keys()
    for key, values in plain.items():
        named = [value.replace("-%i", "").replace(" %i", "") for value in template[key]]
        assert [value for value in named if value != "/etc/parley/%i.env"] == values, key
