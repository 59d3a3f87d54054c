"""The story for people: lines of pieces, each with a style that a terminal may show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

Line = list[tuple[str, str]]
"""Pieces: a style (a word of `STYLES`, or empty) and its text."""

STYLES: Final = {
    "title": "bold",
    "success": "green",
    "failed": "red",
    "skipped": "bright_black",
    "not needed": "bright_black",
    "not run": "yellow",
    "abandoned": "yellow",
    "cancelled": "yellow",
    "name": "bold",
    "label": "bright_black",
    "error": "red",
}
"""In the words of `rich`."""
SHOWN_CHARS: Final = 200
"""Of a value; `--json` has all of it."""
_SIGNS: Final = {
    "success": "✓",
    "failed": "✗",
    "skipped": "⤼",
    "not needed": "·",
    "not run": "·",
    "abandoned": "⊘",
    "cancelled": "⊘",
}


def page(story: dict[str, Any]) -> Iterator[Line]:
    """The lines of a story that `tell` told. No name and no value in it can move the cursor of a terminal."""
    for line in _lines(story):
        yield [(style, "".join(char if char.isprintable() else "�" for char in text)) for style, text in line]


def _lines(story: dict[str, Any]) -> Iterator[Line]:
    outcome = story["outcome"]
    yield [("title", f"item {story['itemIndex']} of run {story['runId']}: "), (outcome, outcome)]
    yield _fact("input", _shown(story["input"]), indent=2)
    for step in story["steps"]:
        yield from _step(step)
    yield [(outcome, f"  {_SIGNS[outcome]} "), ("name", "output"), ("", f"  {story['output']['why']}")]
    yield from _ending(story["output"], "value")
    yield from _sub_runs(story, 2)


def _sub_runs(story: dict[str, Any], indent: int) -> Iterator[Line]:
    for run in story.get("subRuns", ()):
        name = f" of {run['flowName']}" if run["flowName"] else ""
        counts = f": {run['failed']:,} of {run['total']:,} failed" if "failed" in run else ""
        yield _fact("sub-run", f"{run['runId']}{name}, {run['status']}{counts}", indent)
        item = run.get("firstFailed")
        if item is None:
            continue
        yield [("failed", f"{' ' * (indent + 4)}{_SIGNS['failed']} "), ("name", f"item {item['itemIndex']}")]
        yield _fact("input", _shown(item["input"]), indent + 6)
        for step in item["steps"]:
            tries = f", attempt {step['attempts']}" if step.get("attempts", 1) > 1 else ""
            yield _fact("failed in", f"step {step['step']}, {step['component']}{tries}", indent + 6)
        yield [*_fact("error", "", indent + 6), ("error", _error(item["error"]))]
        yield from _sub_runs(item, indent + 6)


def plain(lines: Iterator[Line]) -> str:
    """The lines without styles."""
    return "\n".join("".join(text for _, text in line).rstrip() for line in lines)


def _step(step: dict[str, Any]) -> Iterator[Line]:
    status = step["status"]
    has_run = "attempts" in step
    head: Line = [(status, f"  {_SIGNS[status]} "), ("name", step["step"]), ("label", f"  {step['component']}  ")]
    word = "" if has_run and status == "success" else status
    yield [*head, (status, word), ("", f"{': ' if word else ''}{step['why']}")]
    if has_run:
        yield _fact("input", _shown(step["input"]))
    for attempt in step.get("attempts", ()):
        yield _attempt(attempt)
    if "onError" in step:
        yield _fact("onError", step["onError"])
    yield from _ending(step, "output")


def _attempt(attempt: dict[str, Any]) -> Line:
    waited = f", {attempt['afterSeconds']:.3f} s after the one before" if "afterSeconds" in attempt else ""
    line = _fact(f"attempt {attempt['attempt']}", f"{attempt['seconds']:.3f} s{waited}")
    if "error" in attempt:
        line.append(("error", f": {_error(attempt['error'])}"))
    elif attempt["outcome"] == "skipped":
        line.append(("", ": the component says that the step is skipped"))
    return line


def _ending(told: dict[str, Any], name: str) -> Iterator[Line]:
    if name in told:
        yield _fact(name, _shown(told[name]))
    if "error" in told:
        yield [*_fact("error", ""), ("error", _error(told["error"]))]
    if "reason" in told:
        yield _fact("reason", _cut(str(told["reason"])))


def _fact(label: str, text: str, indent: int = 6) -> Line:
    return [("label", f"{' ' * indent}{label:<10} "), ("", text)]


def _error(error: Any) -> str:
    if not isinstance(error, dict):
        return _shown(error)
    return _cut(f"{error.get('code')}: {error.get('message')}")


def _shown(value: Any) -> str:
    return _cut(msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    """One line of a readable length."""
    text = " ".join(text.splitlines())
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}... ({len(text):,} characters)"
