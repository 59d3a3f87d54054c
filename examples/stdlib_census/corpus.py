"""The job's input: every module file of the standard library that runs this program, by package."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

NOT_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}
TOP_LEVEL = "(top level)"


def standard_library() -> dict[str, list[dict[str, str]]]:
    """`{package: [{"module", "path"}, ...]}`, the largest packages first, so that none of them is left for the end."""
    root = Path(sysconfig.get_path("stdlib"))
    packages: dict[str, list[dict[str, str]]] = {}
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(folder for folder in folders if folder not in NOT_LIBRARY)
        parts = Path(directory).relative_to(root).parts
        modules = [
            {"module": ".".join((*parts, name.removesuffix(".py"))), "path": str(Path(directory, name))}
            for name in sorted(files)
            if name.endswith(".py")
        ]
        if modules:
            packages[".".join(parts) or TOP_LEVEL] = modules
    return dict(sorted(packages.items(), key=lambda pair: -sum(os.path.getsize(module["path"]) for module in pair[1])))
