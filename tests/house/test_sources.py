"""What no source may hold, whoever wrote it, and what each must."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("clients/python/flowspan", "gateway", "runtime_core")
GENERATED: Final = "clients/python/flowspan/v1"
TEXT_SUFFIXES: Final = frozenset({".py", ".pyi", ".md", ".proto", ".toml", ".yml", ".yaml", ".txt", ".js", ".sh", ".json", ""})

# Spelled so that this file does not hold them itself.
UNFINISHED: Final = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|raise NotImplemented" + r"Error)\b")
NOT_RUN: Final = re.compile(r"pytest\.mark\.(?:sk" + r"ip|skipif|xf" + r"ail)|pytest\.(?:sk" + r"ip|xf" + r"ail|importorskip)\(")
MACHINE_PATH: Final = re.compile(r"(?<![\w./])/(?:ro" + r"ot|wo" + r"rk|home/\w+)/\w")
DANGEROUS_MODULES: Final = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle"})
DANGEROUS_CALLS: Final = frozenset(
    {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
    | {f"yaml.{name}" for name in ("load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all")}
)


@cache
def tracked() -> tuple[Path, ...]:
    """Files that belong to the project: what git holds, and what is new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=20).stdout.decode().split("\0")
    return tuple(path for path in (ROOT / name for name in listed if name) if path.is_file())


def texts() -> Iterator[tuple[str, str]]:
    """Names and contents of everything that people wrote."""
    for path in tracked():
        if GENERATED not in path.as_posix() and path.suffix in TEXT_SUFFIXES and path.stat().st_size < 2_000_000:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")


@cache
def product_modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every module that is shipped and written by hand."""
    found = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and name.startswith(PRODUCT) and not name.startswith(GENERATED):
            found.append((name, ast.parse(path.read_text(encoding="utf-8"), name)))
    return tuple(found)


def matches(pattern: re.Pattern[str], *suffixes: str) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        if not suffixes or name.endswith(suffixes)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    assert matches(UNFINISHED, ".py", ".proto", ".js", ".sh", "Makefile") == []


def test_no_test_is_marked_as_not_to_be_run() -> None:
    assert matches(NOT_RUN, ".py") == []


def test_no_path_of_a_machine_is_written_down() -> None:
    assert matches(MACHINE_PATH) == []


def test_there_are_modules_to_look_at() -> None:
    assert len(product_modules()) > 100


def test_nothing_is_evaluated_or_unpickled() -> None:
    """Promises H13 and F12: no evaluator, no pickle, no unsafe YAML, no shell anywhere in the product."""
    found = [
        f"{name}:{getattr(node, 'lineno', 0)}: {what}"
        for name, module in product_modules()
        for node in ast.walk(module)
        for what in dangers(node)
    ]
    assert found == []


def dangers(node: ast.AST) -> list[str]:
    """What is dangerous about this node of a module's syntax tree."""
    if isinstance(node, ast.Import):
        return sorted(DANGEROUS_MODULES & {alias.name.partition(".")[0] for alias in node.names})
    if isinstance(node, ast.ImportFrom):
        return sorted(DANGEROUS_MODULES & {(node.module or "").partition(".")[0]})
    if not isinstance(node, ast.Call):
        return []
    called = ast.unparse(node.func)
    found = [called] if called in DANGEROUS_CALLS else []
    return found + [
        f"{word.arg}=" for word in node.keywords if word.arg == "preexec_fn" or (word.arg == "shell" and _is_true(word.value))
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "ev" + "al(x)",
        "yaml.load(x)",
        "Popen(x, preexec_fn=f)",
        "run(x, shell=True)",
    ],
)
def test_what_is_dangerous_is_found(text: str) -> None:
    assert [what for node in ast.walk(ast.parse(text)) for what in dangers(node)]


def test_every_module_says_what_lives_in_it() -> None:
    assert [name for name, module in product_modules() if not ast.get_docstring(module)] == []


def test_every_public_class_says_what_it_is() -> None:
    missing = [
        f"{name}: {node.name}"
        for name, module in product_modules()
        if not name.startswith("gateway/cli/")  # its classes are words of the command line
        for node in module.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert missing == []


@pytest.mark.parametrize("project", ["pyproject.toml", "clients/python/pyproject.toml"])
def test_every_dependency_is_pinned_by_the_constraints(project: str) -> None:
    import tomllib

    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    facts = tomllib.loads((ROOT / project).read_text())["project"]
    wanted = [*facts["dependencies"], *(one for extra in facts.get("optional-dependencies", {}).values() for one in extra)]
    names = {re.split(r"[<>=~!;\[ ]", one, maxsplit=1)[0].lower().replace("_", "-") for one in wanted}
    assert names - pinned <= {"flowspan"}


def test_constraints_name_versions_and_nothing_else() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def _is_true(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
