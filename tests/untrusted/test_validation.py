from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from untrusted.validation import (
    MAX_FAULTS,
    MAX_LISTED,
    faults_of,
    first_fault,
    first_validation_error,
    has_many_values,
)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    numbers: list[int] = []


def error_of(value: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Strict.model_validate(value)
    return caught.value


def test_a_fault_has_its_place_and_never_the_value() -> None:
    fault = first_fault(error_of({"numbers": [1, "secret"]}))
    assert (fault.field, fault.place, fault.kind) == (
        "numbers.1",
        ("numbers", 1),
        "int_parsing",
    )
    assert "secret" not in fault.text


@pytest.mark.parametrize("count", [1, MAX_FAULTS, MAX_FAULTS + 1, MAX_LISTED])
def test_the_first_ten_are_named(count: int) -> None:
    faults = faults_of(error_of({f"x{number}": 0 for number in range(count)}))
    assert [fault.field for fault in faults] == [f"x{n}" for n in range(min(count, MAX_FAULTS))]


@pytest.mark.parametrize(
    "value",
    [{"numbers": ["x"] * 100_000}, {f"x{number}": 0 for number in range(MAX_LISTED + 1)}],
)
def test_of_too_many_faults_only_the_number_is_reported(
    value: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = error_of(value)

    class Unlisted:
        error_count = staticmethod(error.error_count)

        def errors(self, **_options: object) -> object:
            raise AssertionError("all of them were built")

    (fault,) = faults_of(Unlisted())  # type: ignore[arg-type]
    assert str(error.error_count()) in fault.text
    assert fault.field == ""


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, False),
        ("a, long, text" * 1_000, False),
        ([1] * 9, False),
        ([1] * 10, True),
        ({str(number): {} for number in range(10)}, True),
        ([[[[[[[[[[1]]]]]]]]]], True),
        ([[1, 2], [3, 4], {"a": [5]}], False),
    ],
)
def test_values_are_counted_at_every_depth(document: Any, expected: bool) -> None:
    assert has_many_values(document, 10) is expected


def test_one_line_names_the_field_or_the_whole_and_never_the_input() -> None:
    error = error_of({"numbers": [1, "secret"]})
    field = first_fault(error).field
    assert first_validation_error(error).startswith(f"{field}: ")
    assert first_validation_error(error, within=("session",)).startswith(f"session.{field}: ")
    assert "secret" not in first_validation_error(error)
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, int]).validate_json("secret")
    assert first_validation_error(caught.value, whole="frame").startswith("frame: ")
