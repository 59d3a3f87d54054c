"""sdks.md: the ten tasks of every SDK, from the programs that do them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Final

CLIENTS: Final = Path(__file__).parents[2] / "clients"
SOURCES: Final = {
    "Python": ("python", CLIENTS / "python/conformance/ten_tasks.py"),
    "TypeScript": ("ts", CLIENTS / "typescript/conformance/ten_tasks.ts"),
    "Go": ("go", CLIENTS / "go/conformance/tentasks/main.go"),
    "Rust": ("rust", CLIENTS / "rust/conformance/src/bin/ten-tasks.rs"),
    "Java": ("java", CLIENTS / "java/conformance/src/main/java/dev/flowspan/conformance/TenTasks.java"),
}
"""What people call the language -> what blocks of code call it, and its program."""
_MARK: Final = re.compile(r"^ *(?:#|//) (?:(\d+)\. (.+)|end)\n", re.MULTILINE)


def tasks_of(source: Path) -> dict[str, str]:
    """`N. Title` -> the lines from that comment to the next, without their common indent."""
    text = source.read_text(encoding="utf-8")
    marks = list(_MARK.finditer(text))
    found = {}
    for mark, following in pairwise(marks):
        if mark[1] is not None:
            lines = text[mark.end() : following.start()].strip("\n").split("\n")
            indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
            found[f"{mark[1]}. {mark[2]}"] = "\n".join(line[indent:].rstrip() for line in lines)
    return found


def ten_tasks() -> str:
    """Raises LookupError if two languages do not have the same tasks in the same order."""
    programs = {name: (block, tasks_of(path)) for name, (block, path) in SOURCES.items() if path.exists()}
    titles = list(programs["Python"][1])
    parts: list[str] = []
    for name, (_, tasks) in programs.items():
        if list(tasks) != titles:
            raise LookupError(f"{name} has the tasks {list(tasks)}, Python has {titles}")
    for title in titles:
        parts.append(f"## {title}")
        for name, (block, tasks) in programs.items():
            code = re.sub(r"\n{3,}", "\n\n", tasks[title])
            parts.append(f"{name}:\n\n```{block}\n{code}\n```")
    return "\n\n".join(parts)


SECTIONS = {"ten-tasks": ten_tasks}
