"""Writes the reference pages that are made from the code: `make docs`. `--check` only says which would change.

Whole pages: protocol/openrpc.json (what component servers may ask), protocol/openapi.json (what callers over HTTP may),
errors.md (the table of errors), the JSON Schemas flow.schema.json and flowspan.schema.json, and pictures of flows in
pictures/. Of the other pages only what stands between `<!-- made: NAME -->` and `<!-- end -->` is made, by the module in
generators/ that `FILLED` names.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from flowspan.errors import BUDGET_OF, ERROR_TABLE, HTTP_STATUS, Budget, FlowErrorCode
from flowspan.jsonrpc import classify_component_error
from gateway.authoring.graph.build import build_graph
from gateway.authoring.graph.svg import to_svg
from gateway.config.editor_schema import editor_schema
from gateway.methods.openrpc import openrpc_document
from gateway.web.openapi import openapi_page
from runtime_core.flow.document_schema import flow_schema
from runtime_core.flow.source import parse_flow

HERE: Final = Path(__file__).parent
PROTOCOL_VERSION: Final = "1"
"""Of the protocol between gateway and component servers, as in the handshake."""

_BUDGETS: Final = {Budget.NONE: "none", Budget.COMPONENT: "component", Budget.TRANSPORT: "transport"}
_FOREIGN_CODES: Final = (
    -32700, -32600, -32601, -32602, -32603, -32001, -32002, -32003, -32004, -32005, -32006, -32007, -32008, -32009, -32011,
    -32012, -32100, -32102, -32103, -32800,
)  # fmt: skip
"""Codes that component servers of all generations are known to send."""

_ERRORS_HEAD: Final = """\
# Errors

Made from `flowspan.errors` by `make docs`; do not edit.

Every failure that leaves Flowspan has a reason. JSON-RPC answers carry it in `error.data.reason` (`error.data.domain` is
`flowspan`), HTTP answers in the same object, gRPC answers in `google.rpc.ErrorInfo`. The last two columns apply where the
failure ends a step: the code of its FlowResult, and the budget that may retry it.

| Reason | JSON-RPC | gRPC | HTTP | FlowResult | Retry budget | Meaning |
|---|---|---|---|---|---|---|
"""
_PEER_HEAD: Final = """
## Errors of component servers

What an error answer to `components/execute` means for the item, in the two dialects; any other code is `COMPONENT_FAILED`.

| JSON-RPC | `flowspan` | `stepflow` |
|---|---|---|
"""


def openrpc_page() -> str:
    """protocol/openrpc.json"""
    return json.dumps(openrpc_document(PROTOCOL_VERSION), indent=2, ensure_ascii=False) + "\n"


def _schema_page(schema: dict[str, Any]) -> str:
    """Byte for byte what `flowspan schema` prints."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def errors_page() -> str:
    """errors.md"""
    rows = []
    for reason, row in ERROR_TABLE.items():
        codes = f"`{reason.value}` | {row.jsonrpc} | `{row.grpc.value}` | {HTTP_STATUS[row.grpc]} | `{row.flow.value}`"
        rows.append(f"| {codes} | {_BUDGETS[BUDGET_OF[row.flow]]} | {row.meaning} |")
    foreign = [
        f"| {code} | `{_flow_code(code, 'flowspan').value}` | `{_flow_code(code, 'stepflow').value}` |" for code in _FOREIGN_CODES
    ]
    return _ERRORS_HEAD + "\n".join(rows) + "\n" + _PEER_HEAD + "\n".join(foreign) + "\n"


def _flow_code(code: int, dialect: str) -> FlowErrorCode:
    flow_code, _, _ = classify_component_error(code, "", None, "stepflow" if dialect == "stepflow" else "flowspan")
    return flow_code


_MADE: Final = re.compile(r"(<!-- made: ([a-z-]+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)

FILLED: Final = {
    "cli.md": "command_line",
    "configuration.md": "configuration",
    "flow-language.md": "flow_language",
    "limits.md": "limits",
    "protocol/grpc.md": "proto_reference",
    "run-states.md": "run_states",
    "sdks.md": "sdks",
}
"""Pages with made sections -> the module in generators/."""

PICTURES: Final = {
    "pictures/order.svg": "pictures/order.yaml",
    "pictures/module_census.svg": "../examples/stdlib_census/module.yaml",
    "pictures/batch_processor.svg": "../examples/use_cases/batch_processor.yaml",
}
"""Pictures -> the flows that they show."""


def picture(flow: str) -> str:
    """As `flowspan graph` draws it where no configuration says otherwise."""
    document = parse_flow((HERE / flow).read_bytes()).flow
    assert document is not None
    return to_svg(build_graph(document, {}, title=Path(flow).name))


def filled_page(name: str, generator: str) -> str:
    """The page as it stands, with its made sections made anew.

    Raises:
        LookupError: the page lacks a section that the module makes, or has one that it does not.
    """
    sections = _sections(generator)
    text = (HERE / name).read_text(encoding="utf-8")
    present = [match[2] for match in _MADE.finditer(text)]
    if sorted(present) != sorted(sections):
        raise LookupError(f"{name} has the made sections {present}, generators/{generator}.py makes {list(sections)}")
    return _MADE.sub(lambda match: match[1] + sections[match[2]]() + match[3], text)


def _sections(generator: str) -> Mapping[str, Callable[[], str]]:
    """By file and not by name: nothing here is installed."""
    package = "flowspan_docs_generators"
    if package not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            package, HERE / "generators" / "__init__.py", submodule_search_locations=[str(HERE / "generators")]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[package] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])
    sections: Mapping[str, Callable[[], str]] = importlib.import_module(f"{package}.{generator}").SECTIONS
    return sections


PAGES: Final[dict[str, Callable[[], str]]] = {
    "protocol/openrpc.json": openrpc_page,
    "protocol/openapi.json": lambda: openapi_page().decode(),
    "errors.md": errors_page,
    "flow.schema.json": lambda: _schema_page(flow_schema()),
    "flowspan.schema.json": lambda: _schema_page(editor_schema()),
    **{name: partial(picture, flow) for name, flow in PICTURES.items()},
    **{name: partial(filled_page, name, generator) for name, generator in FILLED.items()},
}


def main() -> int:
    """Exit code 1 if `--check` finds a page that differs."""
    is_check = "--check" in sys.argv[1:]
    changed = 0
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        changed += 1
        sys.stderr.write(f"docs/{name} {'differs; run make docs' if is_check else 'written'}\n")
        if not is_check:
            path.write_text(text, encoding="utf-8")
    return int(is_check and changed > 0)


if __name__ == "__main__":
    sys.exit(main())
