"""Variables on the command line: those that the environment sets, and what to do about those that are missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError
from flowspan.jsonrpc import decode_payload
from runtime_core.flow.source import parse_flow
from runtime_core.model.json_value import JsonObject

_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MISSING: Final = 2005
"""`undefinedRequiredVariable`, one for each that is missing."""


def variables_from_environment(flow: bytes, given: Mapping[str, Any] | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """The given variables, and for those that the flow declares with `env_var` and that were not given, the environment's.

    A variable whose schema does not say `string` is read as JSON where it is JSON.
    """
    found: dict[str, Any] = dict(given or {})
    for name, variable in _declared(flow).items():
        source = _source(variable)
        if name not in found and source is not None and source in environment:
            text = environment[source]
            found[name] = text if isinstance(variable, dict) and variable.get("type") == "string" else _json_or_text(text)
    return found


@contextmanager
def naming_the_remedy(flow: bytes | None, *, env_variables: bool) -> Iterator[None]:
    """Where the gateway misses variables, say with which option they are given.

    Args:
        flow: the document, where it is at hand: it may say which variables of the environment are meant.
        env_variables: these were looked at.
    """
    try:
        yield
    except FlowspanError as error:
        missing = _missing(error)
        if not missing:
            raise
        declared = {} if flow is None else _declared(flow)
        message = _message({name: declared.get(name) for name in missing}, env_variables=env_variables)
        raise FlowspanError(message, reason=error.reason, **error.details) from error


def _message(missing: Mapping[str, Any], *, env_variables: bool) -> str:
    """What has no value, and what gives it one."""
    sources = {name: source for name, one in missing.items() if (source := _source(one)) is not None}
    others = [name for name in missing if name not in sources]
    remedies = [f"give {_option(others)}"] if others else []
    if sources:
        unset = _listed(list(sources.values()))
        is_one = len(sources) == 1
        look = f"{unset} {'is' if is_one else 'are'} not set: set {'it' if is_one else 'them'}"
        remedies.append(look if env_variables else f"set {unset} and give --env-variables")
        # Others see a command line: a secret that the environment may hold does not go there.
        if not others and not any(one.get("is_secret") for one in missing.values()):
            remedies[-1] += f", or give {_option(missing)}"
    names = [repr(name) for name in missing]
    what = f"variable {names[0]} has" if len(names) == 1 else f"variables {_listed(names)} have"
    return f"the required {what} no value; {'; '.join(remedies)}"


def _option(names: Iterable[str]) -> str:
    return "--variables '{" + ", ".join(f"{msgspec.json.encode(name).decode()}: …" for name in names) + "}'"


def _missing(error: FlowspanError) -> list[str]:
    found = error.details.get("diagnostics")
    return [
        str(one.get("path", ""))[1:].replace("~1", "/").replace("~0", "~")
        for one in (found if isinstance(found, Sequence) else ())
        if isinstance(one, dict) and one.get("code") == _MISSING
    ]


def _declared(flow: bytes) -> JsonObject:
    parsed = parse_flow(flow).flow
    schema = None if parsed is None else parsed.schemas.variables
    declared = schema.get("properties") if isinstance(schema, dict) else None
    return declared if isinstance(declared, dict) else {}


def _source(variable: object) -> str | None:
    """The environment's name for it."""
    source = variable.get("env_var") if isinstance(variable, dict) else None
    return source if isinstance(source, str) and _VARIABLE_NAME.match(source) else None


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _json_or_text(text: str) -> Any:
    try:
        return decode_payload(text.encode())
    except FlowspanError:
        return text
