"""Flows made by the builder, of everything it offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from flowspan.flows import Expression, FlowBuilder, OnError, Retry, coalesce, if_, literal, on_error, retry
from flowspan.flows.expressions import PathHandle

NAMES = st.text(min_size=1, max_size=6) | st.sampled_from(
    [
        "a",
        "a.b",
        "x]",
        "it's",
        'say "x"',
        "back\\slash",
        "$",
        "$.a",
        "ä",
        "0",
        "no",
        "__proto__",
        "\x7f",
        "\u2028",
        "yes ",
        "- a",
        "#",
    ]
)
NUMBERS = (
    st.integers()
    | st.sampled_from([2**53 + 1, 10**63, -(10**63), 0, 1])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1.0, -0.0, 1e16, 1e-7, 5e-324])
)
SCALARS = st.none() | st.booleans() | NUMBERS | NAMES | st.text(max_size=20)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
"""Plain values; by chance with keys that the language reserves (only as data may they stand in a flow)."""
PLAIN_KEYS = NAMES.filter(lambda name: not name.startswith("$"))
PATHS = st.lists(NAMES | st.integers(0, 10**18), max_size=3)
DURATIONS = st.sampled_from(["1m30s", "250ms", "1h2m3s", 1, 0.5, 30]) | st.floats(1e-3, 1e6)
RETRIES = st.none() | st.integers(0, 1_000)


@dataclass(frozen=True)
class Pair:
    """A dataclass among the values."""

    first: Any
    second: Any


def led(handle: PathHandle, path: list[str | int]) -> PathHandle:
    """The place at the end of a path."""
    for name in path:
        handle = handle[name]
    return handle


@st.composite
def flow_builders(draw: st.DrawFn, max_steps: int = 4, *, embed: bool = True) -> FlowBuilder:
    """A flow with handles in all places where they may stand."""
    text = st.none() | NAMES
    metadata = st.none() | st.dictionaries(NAMES, JSON, max_size=2)
    flow = FlowBuilder(draw(text), description=draw(text), version=draw(text), metadata=draw(metadata))
    declared: list[PathHandle] = []
    if draw(st.booleans()):
        flow.input_schema(draw(st.sampled_from([{"type": "object", "properties": {"n": {"type": "integer"}}}, True, {}])))
    if draw(st.booleans()):
        flow.output_schema({"title": draw(NAMES)})
    for name in draw(st.lists(NAMES, max_size=2, unique=True)):
        has_default = draw(st.booleans())
        declared.append(
            flow.declare_variable(
                name,
                draw(st.none() | st.just({"title": "any"})),
                **({"default": draw(SCALARS)} if has_default else {"secret": draw(st.booleans())}),
                env_var=draw(st.none() | st.just("FLOW_X")),
                required=draw(st.booleans()),
                description=draw(st.none() | NAMES),
            )
        )
    for step_id in draw(st.lists(NAMES, max_size=max_steps, unique=True)):
        component = draw(st.sampled_from(["/builtin/noop", "/builtin/eval", "/python/double", "x"]))
        given = draw(values(flow, declared, embed=embed))
        if component == "/builtin/eval" and embed:
            given = {"flow": draw(flow_builders(2, embed=False)), "input": given}
        flow.add(
            step_id,
            component,
            given,
            skip=draw(st.none() | values(flow, declared, embed=embed)),
            on_error=draw(st.none() | on_errors()),
            must_execute=draw(st.booleans()),
            timeout=draw(st.none() | DURATIONS),
            retry=draw(st.none() | retries()),
            metadata=draw(metadata),
            output_schema=draw(st.none() | st.just({"type": ["object", "null"]})),
        )
    if draw(st.booleans()):
        flow.output(draw(values(flow, declared, embed=embed)))
    for name in draw(st.lists(NAMES.filter(str.strip), max_size=2, unique=True)):
        flow.test_case(name, draw(JSON), {"outcome": "success", "value": draw(JSON)}, description=draw(text))
        flow.example(name, draw(JSON))
    return flow


def on_errors() -> st.SearchStrategy[OnError]:
    return st.one_of(
        st.builds(on_error.fail),
        st.builds(on_error.skip),
        st.builds(on_error.use_default, JSON),
        st.builds(on_error.retry, max_retries=RETRIES),
        st.builds(on_error.retry, max_retries=RETRIES, default=JSON),
    )


def retries() -> st.SearchStrategy[Retry]:
    backoffs = st.none() | st.sampled_from(["exponential", "constant", "fibonacci"])
    return st.builds(retry, max_retries=RETRIES, backoff=backoffs)


def values(flow: FlowBuilder, declared: list[PathHandle], *, embed: bool) -> st.SearchStrategy[object]:
    """Plain values with handles of `flow` anywhere inside."""
    variables = st.sampled_from(declared) if declared else NAMES.map(flow.variable)
    roots: list[st.SearchStrategy[PathHandle]] = [st.just(flow.input), variables]
    steps = list(flow._handles.values())
    if steps:
        roots.append(st.sampled_from(steps))
    places = st.builds(led, st.one_of(roots), PATHS)
    leaves: st.SearchStrategy[object] = SCALARS | places | JSON.map(literal)
    if embed:
        others = flow_builders(2, embed=False)
        leaves = leaves | others | others.map(literal)

    def wider(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
        choices: list[st.SearchStrategy[object]] = [
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=2).map(tuple),
            st.dictionaries(PLAIN_KEYS, inner, max_size=3),
            st.builds(Pair, inner, inner),
            st.builds(if_, inner, inner, inner),
            st.lists(inner, min_size=1, max_size=3).map(lambda elements: coalesce(*elements)),
            st.builds(_with_default, variables, PATHS, inner),
        ]
        if steps:
            choices.append(st.builds(_or_if_skipped, st.sampled_from(steps), PATHS, inner))
        return st.one_of(choices)

    return st.recursive(leaves, wider, max_leaves=5)


def _with_default(handle: Any, path: list[str | int], default: object) -> Expression:
    result: Expression = led(handle, path).or_default(default)  # type: ignore[attr-defined]
    return result


def _or_if_skipped(handle: Any, path: list[str | int], default: object) -> Expression:
    result: Expression = led(handle, path).or_if_skipped(default)  # type: ignore[attr-defined]
    return result
