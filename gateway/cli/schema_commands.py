"""`schema flow` and `schema config`: the texts of docs/flow.schema.json and docs/flowspan.schema.json."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.cli.exits import SUCCESS
from gateway.cli.output import write_stdout


def flow() -> int:
    from runtime_core.flow.document_schema import flow_schema

    return _print(flow_schema())


def config() -> int:
    from gateway.config.editor_schema import editor_schema

    return _print(editor_schema())


def _print(schema: Any) -> int:
    write_stdout(msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n")
    return SUCCESS
