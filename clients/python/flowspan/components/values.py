"""Python values to JSON: plain values, dataclasses, Structs, pydantic models, and run results in the contract's shape."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec

from flowspan.jsonrpc import encode_payload
from flowspan.jsonrpc.guard import outline
from flowspan.view.status import FlowResult, ItemResult, RunStatus
from flowspan.view.wire import item_result_to_wire, run_status_to_wire

_RUN_VALUE_MARKS: Final = (b'"completed_at_us":', b'"outcome":"')
"""The encoder writes results of runs member by member, as it does any dataclass; these members give them away."""
RUN_VALUE_TYPES: Final = (ItemResult, RunStatus, FlowResult)
RunValue = ItemResult | RunStatus | FlowResult


def encode_value(value: object) -> bytes:
    """JSON bytes of a value that a component returned or passes on.

    Item results and run statuses anywhere in it are written as the contract shows them.

    Raises:
        FlowspanError: INVALID_VALUE for NaN, infinities, lone surrogates and types that have no JSON form.
    """
    data = encode_payload(value, _encode_foreign)
    outlined = outline(data)
    if _RUN_VALUE_MARKS[0] in outlined or _RUN_VALUE_MARKS[1] in outlined:
        # What was refused above is not in there any more, and what is spliced in came from the gateway.
        data = msgspec.json.encode(_in_contract_form(value), enc_hook=_encode_foreign)
    return data


def _encode_foreign(value: Any) -> Any:
    """What the encoder does not know: pydantic models, and numbers and arrays of numpy's kind."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        from flowspan.components.pydantic_values import dump_model

        return dump_model(value)
    for name in ("tolist", "item"):
        convert = getattr(value, name, None)
        if convert is not None:
            return convert()
    raise TypeError(f"{type(value).__qualname__} has no JSON form; return plain values, a dataclass or a pydantic model")


def contract_value(value: RunValue) -> Any:
    """The contract's JSON of a result of a run, to be spliced in."""
    if isinstance(value, FlowResult):
        members = {"outcome": value.outcome, "value": value.value, "error": value.error, "reason": value.reason}
        kept = {"success": ("outcome", "value"), "failed": ("outcome", "error")}.get(value.outcome, ("outcome", "reason"))
        return {name: members[name] for name in kept if name != "reason" or value.reason is not None}
    return msgspec.Raw(item_result_to_wire(value) if isinstance(value, ItemResult) else run_status_to_wire(value))


def _in_contract_form(value: Any) -> Any:
    if isinstance(value, RUN_VALUE_TYPES):
        return contract_value(value)
    if isinstance(value, dict):
        return {key: _in_contract_form(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_in_contract_form(element) for element in value]
    if isinstance(value, msgspec.Struct):
        if not any(mark in msgspec.json.encode(value, enc_hook=_encode_foreign) for mark in _RUN_VALUE_MARKS):
            return value
        fields = msgspec.structs.fields(value)
        return {field.encode_name: _in_contract_form(getattr(value, field.name)) for field in fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _in_contract_form(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return _in_contract_form(_encode_foreign(value))
    return value


def _pydantic_schema(kind: Any, _source: object, _handler: object) -> Any:
    """Asked by pydantic when a model has a field of this type; pydantic is imported by then."""
    from flowspan.components.pydantic_values import run_value_schema

    return run_value_schema(kind)


for _kind in RUN_VALUE_TYPES:
    # Without it pydantic would take the classes for dataclasses to be dumped member by member.
    setattr(_kind, "__get_pydantic_core_schema__", classmethod(_pydantic_schema))  # noqa: B010
