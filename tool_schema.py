"""What a tool's arguments must look like: derived from type hints, or given as JSON Schema."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from validation import first_fault

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class InvalidArgumentsError(ValueError):
    """The model's arguments do not fit; the text names the argument, so that it can try again."""


class DerivedSchema:
    """A schema that follows from a function's signature; every level of it is checked."""

    def __init__(self, model: type[BaseModel], names: Mapping[str, str]) -> None:
        """names: field of the model -> parameter of the function"""
        self._model = model
        self._names = dict(names)
        schema = model.model_json_schema()
        schema.pop("title", None)
        self.parameters: Mapping[str, Any] = schema

    @classmethod
    def of(cls, function: Callable[..., Any]) -> DerivedSchema:
        """Read the signature of `function`.

        Raises:
            ValueError: a parameter has no type hint, cannot be named, or has no JSON form.
        """
        try:
            hints = get_type_hints(function, include_extras=True)
            names: dict[str, str] = {}
            fields: dict[str, Any] = {}
            for number, parameter in enumerate(inspect.signature(function).parameters.values()):
                # pydantic drops or refuses some names (`_q`, `model_config`): none of them is used.
                names[field := f"field_{number}"] = parameter.name
                hint = _named(hints[parameter.name], parameter.name)
                fields[field] = (hint, _default(parameter))
            strict = ConfigDict(extra="forbid")
            return cls(create_model("Arguments", __config__=strict, **fields), names)
        except KeyError as error:
            raise ValueError(f"parameter {error} has no type hint") from error
        except (TypeError, NameError) as error:
            raise ValueError(f"no schema follows from the signature ({error})") from error
        except Exception as error:
            raise ValueError("no JSON Schema follows from the type hints") from error

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the hinted Python values, defaults included.

        Raises:
            InvalidArgumentsError: naming the first argument that does not fit.
        """
        try:
            values = self._model.model_validate(arguments)
        except ValidationError as error:
            first = first_fault(error)
            raise InvalidArgumentsError(f"argument {first.field}: {first.text}") from None
        return {name: getattr(values, field) for field, name in self._names.items()}


class GivenSchema:
    """A JSON Schema written by somebody else. Only its top level is checked here: required names,
    plain types, enumerations, and no extra names where it forbids them. What lies deeper is the
    tool's own business.
    """

    def __init__(self, schema: object) -> None:
        """
        Raises:
            ValueError: not an object schema.
        """
        if not isinstance(schema, dict) or schema.get("type", "object") != "object":
            raise ValueError("parameters must be a JSON Schema of type 'object'")
        self.parameters: Mapping[str, Any] = schema
        self._properties = _object_of_objects(schema.get("properties", {}))
        self._required = _names(schema.get("required", []))
        self._is_closed = schema.get("additionalProperties") is False

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they are.

        Raises:
            InvalidArgumentsError: naming the first argument that does not fit.
        """
        for name in self._required:
            if name not in arguments:
                raise InvalidArgumentsError(f"argument {name}: required")
        for name, value in arguments.items():
            if name in self._properties:
                _check(name, value, self._properties[name])
            elif self._is_closed:
                raise InvalidArgumentsError(f"argument {name}: there is no such argument")
        return arguments


def _named(hint: Any, name: str) -> Any:
    """The hint with the parameter's name as that of the argument, unless it says another one."""
    extras = getattr(hint, "__metadata__", ())
    if any(isinstance(extra, FieldInfo) and extra.alias for extra in extras):
        return hint
    return Annotated[hint, Field(alias=name)]


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise TypeError(f"{parameter.name} cannot be given by name")
    return ... if parameter.default is parameter.empty else parameter.default


def _object_of_objects(value: object) -> dict[str, dict[str, Any]]:
    if isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
        return value
    raise ValueError("parameters.properties must be an object of objects")


def _names(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise ValueError("parameters.required must be a list of names")


def _check(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    expected = schema.get("type")
    kinds = expected if isinstance(expected, list) else [expected]
    if not any(_is_a(value, kind) for kind in kinds):
        raise InvalidArgumentsError(f"argument {name}: must be {' or '.join(map(str, kinds))}")
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        raise InvalidArgumentsError(f"argument {name}: must be one of {choices}")


def _is_a(value: Any, kind: object) -> bool:
    types = _JSON_TYPES.get(kind) if isinstance(kind, str) else None
    if types is None:  # a type that we do not know forbids nothing
        return True
    # bool is a subclass of int in Python, and a different type in JSON.
    return isinstance(value, types) and (isinstance(value, bool) == (kind == "boolean"))
