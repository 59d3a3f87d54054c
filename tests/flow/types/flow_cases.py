"""Flows of steps that pass on what they get, with inputs that fit their schemas."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .house import schemas
from .schema_cases import NAMES, SCALARS, VALUES, values_with_schemas


@st.composite
def expressions(draw: st.DrawFn, steps: int, depth: int = 0) -> Any:
    """An expression over the input and earlier steps `s0`, `s1`, ..."""
    kind = draw(st.integers(0, 9 if depth < 3 else 4))
    text = st.sampled_from(["$", "$.a", "$.b", "$.a.b", "$[0]", "$.a[1]", "$.c.a"])
    if kind <= 1:
        return {"$input": draw(text)}
    if kind <= 3 and steps:
        reference: dict[str, Any] = {"$step": f"s{draw(st.integers(0, steps - 1))}", "path": draw(text)}
        if draw(st.booleans()):
            reference["onSkip"] = {"action": "useDefault", "defaultValue": draw(expressions(steps, depth + 1))}
        return reference
    if kind == 4:
        return {"$literal": draw(VALUES)}
    if kind == 5:
        branch = {"$if": draw(expressions(steps, depth + 1)), "then": draw(expressions(steps, depth + 1))}
        return branch | ({"else": draw(expressions(steps, depth + 1))} if draw(st.booleans()) else {})
    if kind == 6:
        return {"$coalesce": [draw(expressions(steps, depth + 1)) for _ in range(draw(st.integers(0, 3)))]}
    if kind == 7:
        return {draw(NAMES): draw(expressions(steps, depth + 1)) for _ in range(2)}
    if kind == 8:
        return [draw(expressions(steps, depth + 1)) for _ in range(draw(st.integers(0, 2)))]
    return draw(SCALARS)


@st.composite
def flows(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """A flow of steps that pass on what they get, and an input that fits its schema."""
    value, [schema] = draw(values_with_schemas())
    steps = []
    for index in range(draw(st.integers(0, 3))):
        step: dict[str, Any] = {"id": f"s{index}", "component": "/t/echo", "input": draw(expressions(index))}
        if draw(st.booleans()):
            step["skip"] = draw(expressions(index, 2))
        step |= draw(st.sampled_from([{}, {"onError": {"action": "skip"}}]))
        steps.append(step)
    return {"schemas": schemas(input=schema), "steps": steps, "output": draw(expressions(len(steps)))}, value
