"""Schemas of tool arguments: derived from type hints, or given as JSON Schema."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping, Sequence, Set
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import typing_extensions
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo

from untrusted.validation import first_validation_error

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
    """The model's arguments are wrong; the text names the argument, so that it can try again."""


class UnreadableSignatureError(ValueError):
    """No schema follows from a function's signature.

    parameter: name of the first parameter that is wrong; empty: it is not one parameter's fault
    """

    def __init__(self, text: str, *, parameter: str = "") -> None:
        super().__init__(f"parameter {parameter!r}: {text}" if parameter else text)
        self.parameter = parameter


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
    def of(
        cls,
        function: Callable[..., Any],
        *,
        descriptions: Mapping[str, str] | None = None,
        has_call: bool = False,
    ) -> DerivedSchema:
        """Read the signature of `function`.

        Args:
            descriptions: by parameter; a description in the hint goes before
            has_call: the first parameter is given by the caller and is none of the model's

        Raises:
            UnreadableSignatureError: a parameter has no type hint, cannot be named, or has no JSON
                form.
        """
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError) as error:
            raise UnreadableSignatureError(f"its signature cannot be read ({error})") from error
        parameters = list(signature.parameters.values())[has_call:]
        fields = _fields(function, parameters, descriptions or {})
        # pydantic drops or refuses some names (`_q`, `model_config`): none of them is used.
        named = {f"field_{number}": name for number, name in enumerate(fields)}
        try:
            return cls(_model({key: fields[name] for key, name in named.items()}), named)
        except Exception as error:
            raise _blamed(fields, error) from error

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as the hinted Python values, defaults included.

        Raises:
            InvalidArgumentsError: Names the first wrong argument.
        """
        try:
            values = self._model.model_validate(arguments)
        except ValidationError as error:
            raise InvalidArgumentsError(f"argument {first_validation_error(error)}") from None
        return {name: getattr(values, field) for field, name in self._names.items()}


class ModelSchema:
    """The schema of a pydantic model; every level of it is checked."""

    def __init__(self, model: type[BaseModel]) -> None:
        """
        Raises:
            TypeError: It is no model.
            ValueError: It has no JSON Schema.
        """
        if not issubclass(model, BaseModel):
            raise TypeError(f"{model.__name__} is no pydantic model")
        self._model = model
        try:
            self.parameters: Mapping[str, Any] = model.model_json_schema()
        except PydanticUserError as error:
            raise ValueError(_first_line(error)) from error

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check the arguments and return those that were given, as JSON values.

        Raises:
            InvalidArgumentsError: Names the first wrong argument.
        """
        try:
            values = self._model.model_validate(arguments)
        except ValidationError as error:
            raise InvalidArgumentsError(f"argument {first_validation_error(error)}") from None
        return values.model_dump(mode="json", by_alias=True, exclude_unset=True)


class GivenSchema:
    """A given JSON Schema, of which only the top level is checked: required names, plain types,
    enumerations, and no extra names where it forbids them. Deeper levels are left to the tool.
    """

    def __init__(self, schema: object) -> None:
        """
        Raises:
            ValueError: Not an object schema.
        """
        if not isinstance(schema, dict) or schema.get("type", "object") != "object":
            raise ValueError("parameters must be a JSON Schema of type 'object'")
        self.parameters: Mapping[str, Any] = schema
        self._properties = _object_of_objects(schema.get("properties", {}))
        self._required = _names(schema.get("required", []))
        self._is_closed = schema.get("additionalProperties") is False

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check the arguments and return them unchanged.

        Raises:
            InvalidArgumentsError: Names the first wrong argument.
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


def _fields(
    function: Callable[..., Any],
    parameters: Sequence[inspect.Parameter],
    descriptions: Mapping[str, str],
) -> dict[str, tuple[Any, Any]]:
    """Return hint and default of each parameter, in the form for `create_model`."""
    hints = _hints(function, {parameter.name for parameter in parameters})
    fields: dict[str, tuple[Any, Any]] = {}
    for parameter in parameters:
        name = parameter.name
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UnreadableSignatureError("it cannot be given by name", parameter=name)
        if name not in hints:
            raise UnreadableSignatureError("it has no type hint", parameter=name)
        hint = _described(_portable(hints[name]), name, descriptions.get(name, ""))
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hint, default)
    return fields


def _hints(function: Callable[..., Any], names: Set[str]) -> dict[str, Any]:
    """Return the evaluated type hints of these parameters; others may be of type checkers only."""
    target: Any = inspect.unwrap(function)
    while isinstance(target, functools.partial):
        target = target.func
    if not (inspect.isfunction(target) or inspect.ismethod(target)):
        target = type(target).__call__

    def hinted() -> None: ...

    try:
        given = inspect.get_annotations(target)
        hinted.__annotations__ = {name: hint for name, hint in given.items() if name in names}
        return get_type_hints(hinted, getattr(target, "__globals__", {}), include_extras=True)
    except (TypeError, NameError, SyntaxError, AttributeError) as error:
        raise UnreadableSignatureError(f"a type hint cannot be read ({error})") from error


def _described(hint: Any, name: str, description: str) -> Any:
    """Return the hint with the parameter's name as alias and a description, unless it has them."""
    extras = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, FieldInfo)]
    added: dict[str, Any] = {}
    if not any(extra.alias for extra in extras):
        added["alias"] = name
    if description and not any(extra.description for extra in extras):
        added["description"] = description
    return Annotated[hint, Field(**added)] if added else hint


def _portable(hint: Any) -> Any:
    """Replace `typing.TypedDict` within a hint, which pydantic takes from Python 3.12 only."""
    if is_typeddict(hint) and type(hint).__module__ == "typing" and sys.version_info < (3, 12):
        parts = get_type_hints(hint, include_extras=True)
        required = hint.__required_keys__
        fields = {
            name: (Required if name in required else NotRequired)[_portable(part)]
            for name, part in parts.items()
        }
        return typing_extensions.TypedDict(hint.__name__, fields)  # type: ignore[operator]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None or origin is Literal or not arguments:
        return hint
    if origin is Annotated:
        return Annotated[(_portable(arguments[0]), *hint.__metadata__)]
    portable = tuple(_portable(each) for each in arguments)
    if portable == arguments:
        return hint
    return Union[portable] if origin in (Union, types.UnionType) else origin[portable]  # noqa: UP007


def _model(fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    values: dict[str, Any] = dict(fields)
    return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **values)


def _blamed(fields: Mapping[str, tuple[Any, Any]], error: Exception) -> UnreadableSignatureError:
    """Return an error that names the parameter that has no JSON Schema."""
    for name, field in fields.items():
        try:
            _model({"field": field}).model_json_schema()
        except Exception as own:  # noqa: BLE001 - code of foreign types runs here
            return UnreadableSignatureError(_first_line(own), parameter=name)
    return UnreadableSignatureError(_first_line(error))


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    return f"no JSON Schema follows from the type hint ({line or type(error).__name__})"


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
    if types is None:  # an unknown type allows every value
        return True
    # bool is a subclass of int in Python, and a different type in JSON.
    return isinstance(value, types) and (isinstance(value, bool) == (kind == "boolean"))
