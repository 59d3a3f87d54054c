"""pydantic at the edge: reading inputs, dumping outputs, JSON Schemas. Imported only where a component uses pydantic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pydantic
import pydantic_core
from pydantic_core import core_schema

from flowspan.components.failures import InputError
from flowspan.components.values import RUN_VALUE_TYPES, RunValue, contract_value


def dump_model(model: pydantic.BaseModel) -> Any:
    """Plain JSON values of a model, with its serializers and aliases applied; numbers are exact."""
    return model.model_dump(mode="json", by_alias=True)


def model_reader(kind: Any) -> tuple[Callable[[msgspec.Raw], Any], dict[str, Any]]:
    """How to read JSON into `kind`, and its JSON Schema."""
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(kind)

    def read(data: msgspec.Raw) -> Any:
        try:
            return adapter.validate_json(bytes(data))
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            pointer = "".join(f"/{_escaped(part)}" for part in first["loc"])
            raise InputError(f"input{pointer and ' at ' + pointer}: {first['msg']}", pointer=pointer) from None

    return read, adapter.json_schema()


def model_schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of what is written for `kind`."""
    return pydantic.TypeAdapter(kind).json_schema(mode="serialization")


def _escaped(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _plain(value: RunValue) -> Any:
    return msgspec.json.decode(msgspec.json.encode(contract_value(value)))


def run_value_schema(kind: Any) -> core_schema.CoreSchema:
    """How models hold results of runs: by instance, dumped in the contract's shape."""
    return core_schema.is_instance_schema(
        kind,
        serialization=core_schema.plain_serializer_function_ser_schema(_plain),
        metadata={"pydantic_js_functions": [lambda _schema, _handler: {"type": "object"}]},
    )


for _kind in RUN_VALUE_TYPES:
    # Looked up by pydantic for values in fields that take anything.
    setattr(_kind, "__pydantic_serializer__", pydantic_core.SchemaSerializer(run_value_schema(_kind)))  # noqa: B010
