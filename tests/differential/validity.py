"""Whether a document is a flow: as much of sections 1 to 3 as a patch of the generators can break."""

from __future__ import annotations

from tests.differential.exact_json import Json
from tests.differential.paths import BadPathError, read_path
from tests.differential.reference import PRECEDENCE

ACTIONS = ("fail", "useDefault", "retry", "skip")
BACKOFFS = ("exponential", "constant", "fibonacci")


def complaint(flow: Json) -> str | None:
    """The first fatal mistake, or None."""
    earlier: list[str] = []
    for step in flow["steps"]:
        wrong = wrong_step(step)
        for field in ("skip", "skipIf", "input"):
            # "output of an **earlier** step (later, itself or unknown: fatal 3002 / 3003)"
            wrong = wrong or wrong_expression(step.get(field), earlier)
        if wrong is not None:
            return f"{step['id']}: {wrong}"
        earlier.append(step["id"])
    return wrong_expression(flow.get("output"), earlier)


def wrong_step(step: Json) -> str | None:
    """Types of the table in section 2. "Explicit `null` means absent"."""
    if not isinstance(step.get("component"), str):
        return "component"
    if not isinstance(step.get("mustExecute"), (bool, type(None))):
        return "mustExecute"
    if not isinstance(step.get("metadata"), (dict, type(None))):
        return "metadata"
    on_error = step["onError"] if step.get("onError") is not None else step.get("on_error")
    if on_error is not None:
        if not isinstance(on_error, dict) or on_error.get("action") not in (None, *ACTIONS):
            return "onError"
        if not is_count(on_error.get("maxRetries")):
            return "maxRetries"
    retry = step.get("retry")
    if retry is not None:
        if not isinstance(retry, dict) or retry.get("backoff") not in (None, *BACKOFFS):
            return "retry"
        if not is_count(retry.get("maxRetries")):
            return "retry.maxRetries"
    return None


def is_count(value: Json) -> bool:
    """ "integer literals stay integers": 2.0 is no count."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def wrong_expression(expression: Json, earlier: list[str]) -> str | None:
    if isinstance(expression, list):
        return first(wrong_expression(member, earlier) for member in expression)
    if not isinstance(expression, dict):
        return None
    reserved = next((key for key in PRECEDENCE if key in expression), None)
    if reserved is None:
        return first(wrong_expression(member, earlier) for member in expression.values())
    if reserved == "$literal":
        return None
    if reserved == "$if":
        if "then" not in expression:
            return "no then"
        return first(wrong_expression(expression.get(key), earlier) for key in ("$if", "then", "else"))
    if reserved == "$coalesce":
        if not isinstance(expression["$coalesce"], list):
            return "$coalesce"
        return first(wrong_expression(element, earlier) for element in expression["$coalesce"])
    if reserved == "$step":
        if expression["$step"] not in earlier:
            return f"there is no earlier step {expression['$step']}"
        on_skip = expression.get("onSkip")
        if on_skip is not None:
            if not isinstance(on_skip, dict) or on_skip.get("action") not in ("skip", "useDefault"):
                return "onSkip"
            if on_skip["action"] == "useDefault" and (wrong := wrong_expression(on_skip.get("defaultValue"), earlier)):
                return wrong
        return wrong_path(expression.get("path"))
    if reserved == "$input":
        return wrong_path(expression["$input"])
    # "the first path element is the variable's name"
    variable = expression["$variable"]
    if not variable or wrong_path(variable) or not isinstance((read_path(variable) or [0])[0], str):
        return "$variable"
    return wrong_expression(expression.get("default"), earlier)


def wrong_path(text: Json) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str):
        return "path"
    try:
        read_path(text)
    except BadPathError as error:
        return f"path {error}"
    return None


def first(complaints: object) -> str | None:
    return next((one for one in complaints if one is not None), None)  # type: ignore[attr-defined]
