"""What an inferred schema leaves out of those it was made of."""

from __future__ import annotations

from runtime_core.flow.types.annotations import without_origin


def test_where_a_value_comes_from_is_left_out_at_any_depth_and_data_stays() -> None:
    schema = {
        "type": "object",
        "default": {},
        "properties": {"default": {"type": "string", "default": "x", "env_var": "X"}, "list": {"items": {"is_secret": True}}},
        "anyOf": [{"default": 1}, True],
        "const": {"default": 1},
        "enum": [{"env_var": "X"}],
    }
    assert without_origin(schema) == {
        "type": "object",
        "properties": {"default": {"type": "string"}, "list": {"items": {}}},
        "anyOf": [{}, True],
        "const": {"default": 1},
        "enum": [{"env_var": "X"}],
    }
    assert schema["default"] == {}
