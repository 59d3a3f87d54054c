"""`infer`: completes the schemas of a flow with what inference found."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.authoring.checking.documents import FlowFile, check_file
from gateway.authoring.checking.text_edits import add_members
from gateway.cli.exits import INTERRUPTED, RUN_FAILED, SUCCESS, UsageError, say
from gateway.cli.flow_checks import known_components, read_files
from gateway.cli.output import OutputClosedError, write_stdout
from gateway.cli.reading import STDIN, naming_the_file
from runtime_core.flow.diagnostics import Level, flow_invalid
from runtime_core.flow.document import Flow
from runtime_core.flow.types.conclusions import Conclusions, conclude
from runtime_core.model.json_value import JsonObject, JsonValue


def infer(name: str, config: Path | None, *, output: Path | None, write: bool, offline: bool, as_json: bool) -> int:
    """Print (or write) the flow with the schemas that were found; with `as_json` only its whole `schemas`.

    Raises:
        UsageError: options that exclude each other, or the file cannot be opened.
        FlowInvalidError: the flow has fatal findings.
        FlowspanError: it cannot be read, or its text cannot be added to.
        ConfigError: the configuration is wrong.
    """
    from gateway.telemetry import setup_telemetry

    if write and (name == STDIN or output is not None or as_json):
        raise UsageError("--write replaces the flow's file; it goes neither with stdin, nor with --output or --json")
    setup_telemetry(level="critical")
    [file] = read_files([name])
    try:
        with naming_the_file(name):
            if file.problem is not None or file.document is None:
                raise file.problem or UsageError(f"{name}: cannot be read")
            flow, found = _conclusions(file, config, offline=offline, as_json=as_json)
        if as_json:
            data = msgspec.json.encode(all_schemas(flow, found)) + b"\n"
        else:
            data = add_members(file.document, _additions(flow, found))
        if write or output is not None:
            _replace(Path(name) if output is None else output, data)
        else:
            write_stdout(data)
    except KeyboardInterrupt:
        say("flowspan: interrupted")
        return INTERRUPTED
    except OutputClosedError:
        return RUN_FAILED
    if not as_json:
        _say_what_was_found(found)
    return SUCCESS


def all_schemas(flow: Flow, found: Conclusions) -> JsonObject:
    """What is declared, in its long form, and what was found."""
    schemas = flow.value.get("schemas")
    held: JsonObject = schemas if type(schemas) is dict else {}
    properties = held.get("properties")
    declared: JsonObject = dict(properties) if type(properties) is dict else {}
    short = {"input": flow.schemas.input, "output": flow.schemas.output, "variables": flow.schemas.variables}
    for part, schema in short.items():
        if schema is not None and declared.get(part) is None:
            declared[part] = schema
    return _merged({"type": "object", **held, "properties": declared}, found.to_schemas())


def _conclusions(file: FlowFile, config: Path | None, *, offline: bool, as_json: bool) -> tuple[Flow, Conclusions]:
    [known] = known_components([file], config, offline=offline, as_json=as_json)
    inspection = check_file(file, known.components).inspection
    assert inspection is not None
    flow = inspection.checked.flow
    if flow is None:
        raise flow_invalid(inspection.findings)
    for finding in inspection.findings:
        if finding.level is Level.ERROR and as_json:
            say(msgspec.json.encode({"diagnostic": finding.to_json()}).decode())
        elif finding.level is Level.ERROR:
            place = "" if finding.line is None else f":{finding.line}:{finding.column}"
            say(f"flowspan: {file.name}{place}: {finding.level.value}: {finding.message} ({finding.kind} {finding.code})")
    return flow, conclude(flow, known.components)


def _additions(flow: Flow, found: Conclusions) -> JsonObject:
    """What is to be merged into the document; objects that are there need no `type` from us."""
    added = found.to_schemas()
    if not added:
        return {}
    schemas = flow.value.get("schemas")
    if type(schemas) is dict:
        added = {"properties": added["properties"]}
        properties, more = schemas.get("properties"), added["properties"]
        if type(properties) is dict and type(properties.get("steps")) is dict and type(more) is dict:
            steps = more.get("steps")
            if type(steps) is dict:
                added = {"properties": {**more, "steps": {"properties": steps["properties"]}}}
    return {"schemas": added}


def _merged(held: JsonObject, more: Mapping[str, JsonValue]) -> JsonObject:
    merged = dict(held)
    for name, value in more.items():
        there = merged.get(name)
        if there is None:
            merged[name] = value
        elif type(there) is dict and type(value) is dict:
            merged[name] = _merged(there, value)
    return merged


def _replace(path: Path, data: bytes) -> None:
    """All of it or nothing; the mode of a file that is there stays."""
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _say_what_was_found(found: Conclusions) -> None:
    parts = [name for name, schema in (("the input", found.input), ("the output", found.output)) if schema is not None]
    if found.steps:
        parts.append(f"{len(found.steps)} {'step' if len(found.steps) == 1 else 'steps'}")
    say(f"flowspan: schemas found for {', '.join(parts)}" if parts else "flowspan: nothing to add")
