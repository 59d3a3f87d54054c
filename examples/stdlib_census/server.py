"""The component server of the census: takes modules apart, and runs a sub-run over the modules of each package.

The gateway starts this program and speaks JSON-RPC with it over stdin and stdout; `ComponentServer` does the speaking.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowspan import ComponentContext, ComponentServer

MODULES_AT_ONCE = 8

# Small on purpose: packages that wait for their modules do not count, so even a capacity of 1 would do.
server = ComponentServer(capacity=8)


@dataclass
class Package:
    """An item of the run. `module_flow`: the id of the flow for the modules; `overrides`: for its runs."""

    package: str
    modules: list[dict[str, str]]
    module_flow: str
    overrides: dict[str, Any] | None = None


@dataclass
class Module:
    """An item of a sub-run."""

    module: str
    path: str


@server.component
async def census_package(package: Package, ctx: ComponentContext) -> dict[str, Any]:
    """Counts what is in a package: runs the module flow over its modules, waits and adds up."""
    status = await ctx.submit_run(
        package.module_flow,
        package.modules,
        wait=True,
        max_concurrency=MODULES_AT_ONCE,
        overrides=package.overrides,
        flow_label=package.package,
    )
    status.raise_for_failures()
    modules = [result.value for result in status.results or ()]
    return {"package": package.package, "run_id": status.run_id, **add_up(modules), "modules": modules}


@server.component
def analyse_module(module: Module) -> dict[str, Any]:
    """Takes a module apart: its size, what it defines and imports, its longest function, its docstrings."""
    source = Path(module.path).read_bytes()
    facts: dict[str, Any] = {"module": module.module, "lines": source.count(b"\n"), "bytes": len(source)}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        # The library holds files that do not parse on purpose, for its own tests.
        return {"facts": {**facts, "error": f"{type(error).__name__}: {error}"}, "prose": ""}
    found, docstrings = take_apart(tree)
    return {"facts": {**facts, **found}, "prose": "\n\n".join(docstrings)}


def take_apart(tree: ast.Module) -> tuple[dict[str, Any], list[str]]:
    """What a module defines and imports, and the docstrings in it."""
    functions, classes, documented, longest = 0, 0, 0, ("", 0)
    imports: set[str] = set()
    docstrings = [_first_string(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                imports.add(node.module.partition(".")[0])
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstrings.append(_first_string(node))
            documented += docstrings[-1] is not None
            if isinstance(node, ast.ClassDef):
                classes += 1
                continue
            functions += 1
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            longest = max(longest, (node.name, lines), key=lambda pair: pair[1])
    found = {
        "functions": functions,
        "classes": classes,
        "documented": documented,
        "imports": sorted(imports),
        "longest_function": {"name": longest[0], "lines": longest[1]},
    }
    # Lone surrogates are legal in a Python string and nowhere else.
    return found, [text.encode("utf-8", "replace").decode() for text in docstrings if text]


def _first_string(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.value.value
    return None


def add_up(modules: list[dict[str, Any]]) -> dict[str, Any]:
    """The totals of a package."""
    facts = [module["facts"] for module in modules]
    readable = [one for one in facts if "error" not in one]
    longest = max(readable, key=lambda one: one["longest_function"]["lines"], default=None)
    return {
        "module_count": len(modules),
        "unreadable": len(facts) - len(readable),
        "lines": sum(one["lines"] for one in facts),
        "functions": sum(one["functions"] for one in readable),
        "classes": sum(one["classes"] for one in readable),
        "documented": sum(one["documented"] for one in readable),
        "words": sum(module["prose"]["words"] for module in modules) if all(module["prose"] for module in modules) else None,
        "longest_function": longest and {"module": longest["module"], **longest["longest_function"]},
    }


if __name__ == "__main__":
    server.run()
