from __future__ import annotations

import os

import pytest

from control.child.environment import (
    adopt_variables,
    child_environment,
    outbound_environment,
    scrub_environment,
)
from telemetry_opt_out import OPT_OUTS

NEEDED = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "PYTHONPATH": "/x",
    "LOG_LEVEL": "DEBUG",
    "SSL_CERT_FILE": "/own.pem",
    "SSL_CERT_DIR": "/own",
    "REQUESTS_CA_BUNDLE": "/own.pem",
    "OTEL_SDK_DISABLED": "true",
    "HF_HUB_OFFLINE": "1",
    "ORT_LOGGING_LEVEL": "3",
}
SECRET = {
    "OPENAI_API_KEY": "sk",
    "API_KEYS": "k",
    "ROOM_TOKEN_SECRET": "s",
    "AWS_SECRET_ACCESS_KEY": "a",
    "HF_TOKEN": "hf",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=x",
    "SOMETHING_NEW": "x",
    "PARLEY_API_KEYS": "k",
}
NO_FILE = {"PARLEY_ENV_FILE": ""}
PROXIES = {
    "HTTPS_PROXY": "http://me:word@proxy:3128",
    "http_proxy": "http://proxy:3128",
    "ALL_PROXY": "http://proxy:3128",
}


def test_children_get_what_they_need_and_nothing_that_may_be_a_secret() -> None:
    assert child_environment(NEEDED | SECRET | PROXIES) == NEEDED | OPT_OUTS | NO_FILE


def test_who_connects_to_others_gets_the_owners_proxies_never_for_this_machine() -> None:
    told = outbound_environment(NEEDED | SECRET | PROXIES)
    excepted = "localhost,127.0.0.1,::1"
    assert told == NEEDED | OPT_OUTS | NO_FILE | PROXIES | {
        "no_proxy": excepted,
        "NO_PROXY": excepted,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"NO_PROXY": "a.example, 10.0.0.0/8 localhost"},
        {"no_proxy": "a.example,10.0.0.0/8"},
        {"no_proxy": "a.example 10.0.0.0/8", "NO_PROXY": "b.example"},
    ],
)
def test_configured_proxy_exceptions_are_kept(given: dict[str, str]) -> None:
    told = outbound_environment(PROXIES | given)
    assert told["NO_PROXY"] == "a.example,10.0.0.0/8,localhost,127.0.0.1,::1"
    assert told["no_proxy"] == told["NO_PROXY"]


def test_without_proxies_nothing_is_said_of_them() -> None:
    assert outbound_environment(NEEDED | {"HTTPS_PROXY": ""}) == NEEDED | OPT_OUTS | NO_FILE


@pytest.mark.parametrize("name", sorted(OPT_OUTS))
@pytest.mark.parametrize("said", [{}, {"value": "0"}, {"value": ""}])
def test_telemetry_opt_outs_of_dependencies_are_always_set(name: str, said: dict[str, str]) -> None:
    given = {name: said["value"]} if said else {}
    assert child_environment(given)[name] == "1"


def test_a_scrubbed_process_has_the_same() -> None:
    own = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(NEEDED | SECRET | PROXIES)
        scrub_environment()
        assert dict(os.environ) == outbound_environment(NEEDED | PROXIES)
    finally:
        os.environ.clear()
        os.environ.update(own)


def test_of_the_env_file_the_process_takes_over_no_secret() -> None:
    environ = {"PATH": "/usr/bin", "HTTPS_PROXY": "http://first:1"}
    file = NEEDED | SECRET | {"https_proxy": "http://second:2", "http_proxy": "http://proxy:3128"}
    adopt_variables(file, environ)
    assert environ == NEEDED | {
        "PATH": "/usr/bin",
        "HTTPS_PROXY": "http://first:1",
        "http_proxy": "http://proxy:3128",
    }


def test_a_user_without_a_name_gets_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some libraries cannot be imported without one."""

    def unknown(_uid: int) -> None:
        raise KeyError

    assert "HOME" not in child_environment({"PATH": "/bin"})
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert child_environment({"PATH": "/bin"})["HOME"] == "/"
    assert child_environment({"HOME": "/home/ada"})["HOME"] == "/home/ada"
