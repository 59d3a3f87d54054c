"""The contracts of the house, run as `make lint` and `make check-generated` run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TOOLS_PYTHON: Final = ROOT / ".venv-tools" / "bin" / "python"
GENERATED: Final = ROOT / "clients" / "python" / "flowspan" / "v1"


def test_packages_import_only_what_they_may() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]


def test_generated_code_belongs_to_the_proto_files(tmp_path: Path) -> None:
    """Every service, method, message and field name of the sources is in the committed code; with the pinned tools at hand
    (`make check-generated` makes them) the files are compared whole."""
    for source in sorted((ROOT / "proto" / "flowspan" / "v1").glob("*.proto")):
        text = re.sub(r"//.*", "", source.read_text(encoding="utf-8"))
        stub = (GENERATED / f"{source.stem}_pb2.pyi").read_text(encoding="utf-8")
        names = re.findall(r"^\s*(?:message|enum)\s+(\w+)", text, re.MULTILINE)
        assert [name for name in names if f"class {name}(" not in stub and f"class {name}:" not in stub] == []
        assert re.findall(r"^\s*rpc\s+(\w+)", text, re.MULTILINE) == _methods(GENERATED / f"{source.stem}_pb2_grpc.py")
    if TOOLS_PYTHON.exists():
        subprocess.run([ROOT / "proto" / "gen.sh", TOOLS_PYTHON, tmp_path], check=True, timeout=50)
        fresh = {path.name: path.read_bytes() for path in (tmp_path / "flowspan" / "v1").iterdir()}
        committed = {
            path.name: path.read_bytes() for path in GENERATED.iterdir() if path.is_file() and path.name != "__init__.py"
        }
        assert fresh == committed


def test_importing_the_sdk_imports_neither_grpc_nor_protobuf() -> None:
    modules = "flowspan, flowspan.errors, flowspan.view.wire, flowspan.jsonrpc, flowspan.discovery"
    loaded = _printed(f"import {modules}, sys; print(*sys.modules)")
    assert [name for name in loaded if name.partition(".")[0] in ("grpc", "google")] == []


def test_the_fork_handlers_of_grpc_are_off_before_it_is_imported() -> None:
    program = "import gateway, os, sys; print(os.environ['GRPC_ENABLE_FORK_SUPPORT'], 'grpc' in sys.modules)"
    assert _printed(program) == ["0", "False"]


def _printed(program: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=environment).stdout.split()


def test_make_help_names_every_target_that_is_meant_for_people() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    wanted = "setup demo test lint fmt typecheck proto check-generated breaking bench docs clean ci deep-tests"
    assert set(wanted.split()) <= listed


def _methods(generated: Path) -> list[str]:
    return re.findall(r"self\.(\w+) = channel\.", generated.read_text(encoding="utf-8"))
