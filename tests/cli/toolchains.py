"""Which languages' projects can be built here: their compilers and their built SDKs are there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

CLIENTS: Final = Path(__file__).resolve().parents[2] / "clients"
_NEEDS: Final = {
    "python": ("python3", "python"),
    "typescript-node": ("node", "typescript/dist/components.js"),
    "go": ("go", "go/bin/conformance-server"),
    "rust": ("cargo", "rust/target/debug/conformance-server"),
    "java": ("mvn", "java/target/built"),
}
"""Test's name of a language, the language first → a program, and what a built SDK has."""

READY: Final = tuple(
    name for name, (program, built) in _NEEDS.items() if shutil.which(program) is not None and (CLIENTS / built).exists()
)
ABSENT: Final = tuple(name for name in _NEEDS if name not in READY)
