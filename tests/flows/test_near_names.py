"""The name that was probably meant."""

from __future__ import annotations

import pytest

from flowspan.flows.near_names import near_name


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("compnent", ["id", "component", "input"], "component"),
        ("retries", ["maxRetries", "backoff"], "maxRetries"),
        ("maxlinebytes", ["max_line_bytes"], "max_line_bytes"),
        ("Output", ["input", "output"], "output"),
        ("/shop/pric", ["/shop/price", "/shop/add"], "/shop/price"),
        ("/shop/nope", ["/shop/price", "/shop/add"], None),
        ("/shoop/price", ["/shop/price", "/builtin/map"], "/shop/price"),
        ("/a/b/c", ["/a/b/x"], None),
        ("xyz", ["alpha", "beta"], None),
        ("kye", ["key"], "key"),
        ("env", ["env_var"], None),
        ("who", [], None),
        ("", ["", "a"], ""),
    ],
)
def test_a_name_is_near_where_a_slip_of_the_finger_explains_it(name: str, known: list[str], nearest: str | None) -> None:
    assert near_name(name, known) == nearest


def test_of_several_the_nearest_is_meant() -> None:
    assert near_name("steps", ["stop", "steep", "stepz", "step"]) == "step"
