"""YAML 1.2, core schema, into JSON values; and what is refused before it can grow."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import runtime_core
from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from runtime_core.flow.yaml_loader import in_behaviors, load_yaml, locate_yaml
from runtime_core.model.json_scan import Position

from .items import calls_made


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nUll", "nUll"),
        ("22:22", "22:22"),
        ("012", 12),
        ("0o14", 12),
        ("0xfF", 255),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("+12", 12),
        ("-0", 0),
        ("2001-12-14", "2001-12-14"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        (".", "."),
        ("-", ["x"]),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("<<", "<<"),
        ('"012"', "012"),
        ("'no'", "no"),
        ('"true"', "true"),
        ("3000", 3000),
        ("9007199254740993", 9007199254740993),
        ("1000000000000000000000000000000", 10**30),
    ],
)
def test_a_scalar_has_the_type_of_the_core_schema(scalar: str, value: Any) -> None:
    loaded: Any = load_yaml(f"k: {scalar}\n".encode() if scalar != "-" else b"k:\n- x\n")
    assert loaded == {"k": value}
    assert type(loaded["k"]) is type(value)


def test_minus_zero_and_one_point_zero_keep_their_kind() -> None:
    loaded: Any = load_yaml(b"[-0.0, 1.0]")
    assert [math.copysign(1, loaded[0]), type(loaded[1])] == [-1.0, float]


def test_keys_are_their_text() -> None:
    assert load_yaml(b"{on: 1, 1: 2, null: 3, 1.0: 4, '': 5, <<: 6}") == {"on": 1, "1": 2, "null": 3, "1.0": 4, "": 5, "<<": 6}


def test_aliases_repeat_what_they_name() -> None:
    text = b"a: &x {p: [1, &s two]}\nb: *x\nc: [*s, *x]\n&k key: *k\n"
    assert load_yaml(text) == {"a": {"p": [1, "two"]}, "b": {"p": [1, "two"]}, "c": ["two", {"p": [1, "two"]}], "key": "key"}


def test_a_later_anchor_of_the_same_name_replaces_the_earlier() -> None:
    assert load_yaml(b"[&a 1, *a, &a [2], *a]") == [1, 1, [2], [2]]


def test_an_empty_document_is_null() -> None:
    for text in (b"", b"# nothing\n", b"---\n"):
        assert load_yaml(text) is None


def bomb(levels: int) -> bytes:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        here, before = chr(97 + level), chr(96 + level)
        lines.append(f"{here}: &{here} [{', '.join(['*' + before] * 9)}]")
    return "\n".join(lines).encode()


def test_a_bomb_of_aliases_is_refused_before_it_is_expanded() -> None:
    assert load_yaml(bomb(3)) is not None
    with pytest.raises(InvalidArgumentError, match="1000000 nodes"):
        load_yaml(bomb(20))


def test_a_bomb_of_one_long_text_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="8388608 characters"):
        load_yaml(b'x: &x "' + b"y" * 100_000 + b'"\nz: [' + b"*x," * 100 + b"]")


def test_a_bomb_of_long_keys_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="8388608 characters"):
        load_yaml(b"x: &x {" + b"k" * 900 + b": 1}\nz: [" + b"*x," * 10_000 + b"]")


@pytest.mark.parametrize("text", [b"a: &a [*a]", b"&a {k: {j: *a}}", b"a: &a {b: &b [*a]}"])
def test_an_alias_inside_its_own_anchor_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="inside its own anchor"):
        load_yaml(text)


def test_an_alias_without_an_anchor_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no anchor before it"):
        load_yaml(b"a: *b\nb: &b 1")


@pytest.mark.parametrize(
    "text",
    [
        b"!!python/object/apply:os.system ['true']",
        b"a: !!str 1",
        b"a: !custom {b: 1}",
        b"!!binary aGk=",
        b"- !!set {a}",
        b"{! a: 1}",
    ],
)
def test_tags_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="tag"):
        load_yaml(text)


def test_a_key_that_stands_twice_is_refused_with_both_positions() -> None:
    with pytest.raises(InvalidArgumentError, match="line 1, column 1 and line 3, column 1") as caught:
        load_yaml(b"a: 1\nb: {a: 1}\n'a': 2\n")
    assert caught.value.details == {"firstLine": 1, "firstColumn": 1, "line": 3, "column": 1}


@pytest.mark.parametrize("text", [b"? [a]\n: 1", b"{{a: 1}: 2}", b"a: &a x\n*a : 1"])
def test_a_key_that_is_no_scalar_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="a key is a scalar"):
        load_yaml(text)


@pytest.mark.parametrize("text", [b"[.nan]", b"[.inf]", b"[-.INF]", b"[1e400]"])
def test_numbers_that_json_does_not_have_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="line 1, column 2"):
        load_yaml(text)
    assert load_yaml(b"'.nan'") == ".nan"


def test_a_second_document_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="one YAML document"):
        load_yaml(b"a: 1\n---\nb: 2\n")


@pytest.mark.parametrize(
    "text", [b"[" * 65 + b"]" * 65, b"[" * 2_000, b"- " * 2_000 + b"1", b"".join(b" " * n + b"k:\n" for n in range(70))]
)
def test_more_than_sixty_four_levels_are_refused(text: bytes) -> None:
    assert load_yaml(b"[" * 64 + b"]" * 64) is not None
    with pytest.raises(LimitExceededError) as caught:
        load_yaml(text)
    assert caught.value.details["limit"] == "jsonDepth"


def test_aliases_cannot_hide_depth() -> None:
    lines = [b"a0: &a0 [" + b"[" * 19 + b"]" * 19 + b"]"] + [b"a%d: &a%d [*a%d]" % (n, n, n - 1) for n in range(1, 60)]
    with pytest.raises(LimitExceededError):
        load_yaml(b"\n".join(lines))


def test_an_integer_of_more_than_sixty_four_digits_is_refused() -> None:
    for digits in (b"1" * 65, b"-" + b"1" * 65, b"0x" + b"f" * 65, b"0o" + b"7" * 5_000):
        with pytest.raises(LimitExceededError):
            load_yaml(b"a: " + digits)


@pytest.mark.parametrize("text", [b"a: b: c", b"[1, 2", b"a: 'x", b"\x00", b"a: \xff", b"\t- a", b'"\\q"', b"@x", b'"\\ud800"'])
def test_what_is_not_yaml_is_a_parse_error(text: bytes) -> None:
    with pytest.raises(FlowspanError) as caught:
        load_yaml(text)
    assert caught.value.reason is Reason.PARSE_ERROR


def test_places_of_values_are_found() -> None:
    text = b"a:\n  - 1\n  - {b: x}\n'c/d': &c\n  e: 2\nf: *c\n"
    wanted = ["", "/a", "/a/0", "/a/1/b", "/c~1d/e", "/f", "/zz"]
    assert locate_yaml(text, wanted) == {
        "": Position(1, 1),
        "/a": Position(2, 3),
        "/a/0": Position(2, 5),
        "/a/1/b": Position(3, 9),
        "/c~1d/e": Position(5, 6),
        "/f": Position(6, 4),
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text("ab:#-[]{}&*!|>'\" \n1.e", max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab:#-~1", max_size=4), inner, max_size=4),
        max_leaves=15,
    )
)
def test_json_is_read_as_what_it_is(value: Any) -> None:
    assert load_yaml(json.dumps(value).encode()) == value
    assert load_yaml(json.dumps(value, indent=2).encode()) == value


@given(st.text("ab: -[]{},&*!|>'\"#\n?%~01.x", max_size=40))
def test_any_text_is_read_or_refused_as_a_caller_can_handle(text: str) -> None:
    try:
        load_yaml(text.encode())
    except FlowspanError:
        return


def test_only_the_safe_loader_stands_in_the_tree() -> None:
    """No module of the core names a loader that could build objects."""
    root = Path(runtime_core.__file__).parent
    named = {path.name for path in root.rglob("*.py") if "yaml" in path.read_text() and "import yaml" in path.read_text()}
    assert named == {"yaml_loader.py"}
    source = (root / "flow" / "yaml_loader.py").read_text()
    assert not [name for name in ("UnsafeLoader", "FullLoader", "yaml.load(", "yaml.Loader") if name in source]
    assert issubclass(yaml.CSafeLoader, yaml.constructor.SafeConstructor)


def test_reading_takes_work_linear_in_the_size() -> None:
    def calls(count: int) -> int:
        return calls_made(lambda: load_yaml(b"- {a: 1, b: [x]}\n" * count))

    assert calls(2_000) < 11 * calls(200)


BEHAVIORS = """
plugins:
  m:
    components:
      /a:
        behaviors:
          {b: 1, a: [2.0, null]}: { outcome: success }
          ? c: { d: "x" }
          : { outcome: skipped }
          '{"e":1}': text
"""


def test_keys_may_be_mappings_in_the_behaviors_of_a_mock_and_nowhere_else() -> None:
    value: Any = load_yaml(BEHAVIORS.encode(), takes_mapping_keys=in_behaviors)
    behaviors = value["plugins"]["m"]["components"]["/a"]["behaviors"]
    assert list(behaviors) == ['{"b":1,"a":[2.0,null]}', '{"c":{"d":"x"}}', '{"e":1}']
    with pytest.raises(InvalidArgumentError, match="a key is a scalar"):
        load_yaml(BEHAVIORS.encode())
    for text in ("{a: 1}: 2", "plugins: {m: {components: {/a: {{x: 1}: 2}}}}", BEHAVIORS.replace("behaviors", "behaviour")):
        with pytest.raises(InvalidArgumentError, match="a key is a scalar"):
            load_yaml(text.encode(), takes_mapping_keys=in_behaviors)
    with pytest.raises(InvalidArgumentError, match="a key is a scalar"):
        load_yaml(BEHAVIORS.replace("{b: 1, a: [2.0, null]}", "[1, 2]").encode(), takes_mapping_keys=in_behaviors)


def test_a_mapping_key_that_stands_twice_is_refused_with_both_places() -> None:
    text = BEHAVIORS.replace("'{\"e\":1}': text", "{b: 1, a: [2.0, null]}: { outcome: failed }")
    with pytest.raises(InvalidArgumentError, match=r"stands twice.*line 7.*line 10"):
        load_yaml(text.encode(), takes_mapping_keys=in_behaviors)


def test_aliases_have_no_place_in_a_mapping_key() -> None:
    text = BEHAVIORS.replace("plugins:", "x: &x 1\nplugins:").replace("b: 1", "b: *x")
    with pytest.raises(InvalidArgumentError, match="without aliases"):
        load_yaml(text.encode(), takes_mapping_keys=in_behaviors)


def test_values_below_a_mapping_key_are_found() -> None:
    pointer = '/plugins/m/components/~1a/behaviors/{"b":1,"a":[2.0,null]}/outcome'
    assert locate_yaml(BEHAVIORS.encode(), [pointer])[pointer].line == 7
    pointer = '/plugins/m/components/~1a/behaviors/{"e":1}'
    assert locate_yaml(BEHAVIORS.encode(), [pointer])[pointer].line == 10
