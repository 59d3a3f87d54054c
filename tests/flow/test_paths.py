"""The grammar of paths, and the way along them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.flows.paths import PathSyntaxError, format_path, parse_path
from runtime_core.flow.paths import NOT_FOUND, walk
from runtime_core.model.json_value import JsonValue

NAMES = st.text(max_size=8) | st.sampled_from(
    ["a", "a.b", "x]", "it's", 'say "x"', "back\\slash", "$", "ä", "0", "[0]", "__proto__"]
)
PATHS = st.lists(NAMES | st.integers(0, 10**18), max_size=6).map(tuple)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("$", ()),
        ("name", ("name",)),
        ("a.b", ("a.b",)),
        ("a[0]", ("a[0]",)),
        ("{{7*7}}", ("{{7*7}}",)),
        ("__import__", ("__import__",)),
        ("$.a", ("a",)),
        ("$.a.b-c_d", ("a", "b-c_d")),
        ("$.größe", ("größe",)),
        ("$[0]", (0,)),
        ("$.a[12].b", ("a", 12, "b")),
        ('$["a.b"]', ("a.b",)),
        ("$['a.b']", ("a.b",)),
        ("$['x]'].y", ("x]", "y")),
        ("$['it\\'s']", ("it's",)),
        ('$["\\\\"]', ("\\",)),
        ("$['']", ("",)),
    ],
)
def test_a_path_is_read(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("$a", "'a' at offset 1"),
        ("$.*", "'*' at offset 2"),
        ("$..a", "'.' at offset 2"),
        ("$.a b", "' ' at offset 3"),
        ("$[*]", "'*' at offset 2"),
        ("$[-1]", "'-' at offset 2"),
        ("$[1:2]", "':' at offset 3"),
        ("$[01]", "'0' at offset 2"),
        ("$.a[?(@.__class__)]", "'?' at offset 4"),
        ("$['a'x]", "'x' at offset 5"),
        ("$['\\n']", "'\\\\' at offset 3"),
        ("$.", "offset 2"),
        ("$[", "offset 2"),
        ("$['a", "offset 4"),
        ("$[0", "offset 3"),
    ],
)
def test_a_fault_is_named_with_its_character_its_offset_and_the_whole_path(text: str, fault: str) -> None:
    with pytest.raises(PathSyntaxError) as caught:
        parse_path(text)
    assert fault in str(caught.value)
    assert repr(text) in str(caught.value)


@given(PATHS)
def test_the_canonical_text_of_a_path_reads_back_as_that_path(path: tuple[str | int, ...]) -> None:
    assert parse_path(format_path(path)) == path


@given(st.text(alphabet="$.[]'\"\\ab01 *?", max_size=12))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except PathSyntaxError:
        return
    assert parse_path(format_path(path)) == path


def test_a_literal_name_with_a_dot_stays_one_field_in_canonical_form() -> None:
    assert format_path(parse_path("a.b")) == "$['a.b']"
    assert format_path(parse_path("zz")) == "$.zz"


VALUE: JsonValue = {"a": {"b": [1, {"c": None}]}, "a.b": 2, "n": None, "__proto__": 3}


@pytest.mark.parametrize(
    ("text", "found"),
    [("$", VALUE), ("$.a.b[0]", 1), ("$.a.b[1].c", None), ("a.b", 2), ("n", None), ("__proto__", 3)],
)
def test_a_path_leads_to_its_value(text: str, found: object) -> None:
    assert walk(VALUE, parse_path(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "$.zz",
        "$.a[0]",
        "$.a.b.c",
        "$.a.b[2]",
        "$.a.b[1000000000000000000]",
        "$.n.x",
        "$.a.b[0].x",
        "toString",
        "$" + ".x" * 100_000,
    ],
)
def test_a_path_to_nowhere_finds_nothing(text: str) -> None:
    assert walk(VALUE, parse_path(text)) is NOT_FOUND
