"""Types of a component's input and output: how JSON becomes the input, and the JSON Schemas that are published."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec
import msgspec.inspect

from flowspan.components.failures import InputError

InputReader = Callable[[msgspec.Raw], Any]
"""JSON bytes to the input; raises InputError."""

JsonSchema = dict[str, Any]

_UNTYPED: Final = (Any, object, inspect.Parameter.empty)
_PATH_PART: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_AT_PATH: Final = re.compile(r"^(.*?) - at `(?:key in )?\$(.*)`$", re.DOTALL)


def input_reader(kind: Any, owner: str) -> tuple[InputReader, JsonSchema]:
    """The reader and the schema of an input type. `owner` names the component in errors.

    Plain types are read by msgspec straight into the type; types that hold a pydantic model are read by pydantic.

    Raises:
        TypeError: the type cannot be read from JSON.
    """
    if kind in _UNTYPED:
        # Nothing to check, so nothing to translate: errors are impossible behind the session's own parser.
        return msgspec.json.Decoder().decode, {}
    if _needs_pydantic(kind, owner):
        from flowspan.components.pydantic_values import model_reader

        try:
            return model_reader(kind)
        except Exception as error:
            raise TypeError(f"component {owner}: the input type {kind!r} cannot be read from JSON: {error}") from error
    try:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        schema = msgspec.json.schema(kind)
    except (TypeError, NameError) as error:
        raise TypeError(f"component {owner}: the input type {kind!r} cannot be read from JSON: {error}") from error
    decode = decoder.decode

    def read(data: msgspec.Raw) -> Any:
        try:
            return decode(data)
        except msgspec.ValidationError as error:
            raise _input_error(str(error)) from None

    return read, schema


def output_schema(kind: Any) -> JsonSchema:
    """The schema of what a component returns; `{}` (anything) where the type says nothing."""
    if kind in _UNTYPED:
        return {}
    try:
        if _needs_pydantic(kind, ""):
            from flowspan.components.pydantic_values import model_schema

            return model_schema(kind)
        return msgspec.json.schema(kind)
    except Exception:
        # A schema of the output is information only: a type that has none must not keep the component from running.
        return {}


def _needs_pydantic(kind: Any, owner: str) -> bool:
    """Whether a pydantic model is anywhere in the type."""
    try:
        described = msgspec.inspect.type_info(kind)
    except (TypeError, NameError) as error:
        if _is_pydantic(kind):
            return True
        raise TypeError(f"component {owner}: the type {kind!r} cannot be used: {error}") from error
    return _holds_foreign(described, set())


def _is_pydantic(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__pydantic_core_schema__")


def _holds_foreign(described: Any, seen: set[int]) -> bool:
    if id(described) in seen:
        return False
    seen.add(id(described))
    if isinstance(described, msgspec.inspect.CustomType):
        return True
    if _is_pydantic(getattr(described, "cls", None)):
        return True
    if isinstance(described, msgspec.inspect.Type):
        return any(_holds_foreign(getattr(described, name), seen) for name in described.__struct_fields__)
    if isinstance(described, msgspec.inspect.Field):
        return _holds_foreign(described.type, seen)
    if isinstance(described, tuple):
        return any(_holds_foreign(part, seen) for part in described)
    return False


def _input_error(text: str) -> InputError:
    match = _AT_PATH.match(text)
    message, path = (match.group(1), match.group(2)) if match else (text, "")
    # A part that is not known (`[...]`: some member of a mapping) ends the pointer at its container.
    known = path.split("[...]", 1)[0]
    parts = (name or index for name, index in _PATH_PART.findall(known))
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    return InputError(f"input{pointer and ' at ' + pointer}: {message}", pointer=pointer)


def signature_types(function: Callable[..., Any], local_names: dict[str, Any]) -> tuple[Any, Any, bool]:
    """The input type, the output type, and whether the function takes a context as its second argument.

    Raises:
        TypeError: it is not a function of `(input)` or `(input, ctx)`, or an annotation cannot be resolved.
    """
    name = getattr(function, "__qualname__", repr(function))
    parameters = list(inspect.signature(function).parameters.values())
    required = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty]
    if not parameters or len(required) > 2 or any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in required):
        raise TypeError(f"{name}: a component takes (input) or (input, ctx)")
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional:
        raise TypeError(f"{name}: a component takes (input) or (input, ctx)")
    annotated = {p.name: p.annotation for p in positional[:1]}
    annotated["return"] = inspect.signature(function).return_annotation
    scope = {**getattr(function, "__globals__", {}), **local_names}
    hints = {key: _resolve(kind, scope, name) for key, kind in annotated.items()}
    takes_context = len(positional) > 1 and (positional[1] in required or positional[1].name in ("ctx", "context"))
    return hints[positional[0].name], hints["return"], takes_context


def _resolve(kind: Any, scope: dict[str, Any], owner: str) -> Any:
    """An annotation as a type; text is evaluated in the function's module and where it was defined."""
    if kind is None or kind is type(None):
        return type(None)
    if not isinstance(kind, str):
        return kind
    holder = type("_Holder", (), {"__annotations__": {"kind": kind}})
    try:
        return typing.get_type_hints(holder, scope, scope, include_extras=True)["kind"]
    except NameError as error:
        raise TypeError(f"{owner}: the annotation {kind!r} cannot be resolved: {error}") from error
