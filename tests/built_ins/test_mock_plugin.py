"""Mock plugins: matching, the three outcomes, routes, the catalogue, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest

from flowspan.view.events import Outcome
from gateway.assembly import assemble
from gateway.config import ConfigError, load_config
from gateway.mock_plugin import MockComponent, MockServer, MockSettings
from runtime_core.calls import CallFailure
from tests.built_ins.gateways import configured, item
from tests.e2e.house import one_step

CONFIG = """
plugins:
  weather:
    type: mock
    components:
      /now:
        input_schema: { type: object, required: [city] }
        output_schema: { type: object, properties: { degrees: { type: integer } } }
        behaviors:
          '{"city": "Oslo", "days": 1}': { outcome: success, value: { degrees: 12345678901234567890, f: 1.0 } }
          { city: Rome }: { outcome: success, result: sunny }
          { city: Atlantis }: { outcome: failed, error: { code: INVALID_INPUT, message: no such city, data: { depth: 3 } } }
          { city: Limbo }: { outcome: skipped, reason: fog }
          '1': { outcome: success, value: integer }
          '1.0': { outcome: success, value: float }
          '"text"': { outcome: success }
  flaky:
    type: mock
    components:
      fail: { behaviors: { 'null': { outcome: failed, error: { code: COMPONENT_FAILED, message: no } } } }
routes:
  /weather: weather
  /other/flaky: flaky
"""


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        (b'{"days":1,"city":"Oslo"}', b'{"degrees":12345678901234567890,"f":1.0}'),
        (b'{"city":"Rome"}', b'"sunny"'),
        (b"1", b'"integer"'),
        (b"1.0", b'"float"'),
        (b'"text"', b"null"),
    ],
)
async def test_inputs_match_by_their_canonical_form(tmp_path: Path, given: bytes, payload: bytes) -> None:
    async with configured(tmp_path, CONFIG) as h:
        assert (await item(h, one_step("/weather/now"), given)).payload == payload


async def test_failed_and_skipped_behaviors_act_as_those_of_components(tmp_path: Path) -> None:
    async with configured(tmp_path, CONFIG) as h:
        failed = await item(h, one_step("/weather/now"), {"city": "Atlantis"})
        assert failed.error is not None
        assert (failed.error.code, failed.error.message, failed.error.data_value) == (
            "INVALID_INPUT",
            "no such city",
            {"depth": 3},
        )
        skipped = await item(h, one_step("/weather/now"), {"city": "Limbo"})
        assert (skipped.outcome, skipped.payload) == (Outcome.SKIPPED, b'{"reason":"fog"}')
        caught = {**one_step("/weather/now"), "output": {"$coalesce": [{"$step": "a"}, "no weather"]}}
        assert (await item(h, caught, {"city": "Limbo"})).value == "no weather"


async def test_a_failed_behavior_is_retried_as_its_code_says(tmp_path: Path) -> None:
    async with configured(tmp_path, CONFIG) as h:
        document = one_step("/other/flaky/fail", onError={"action": "retry", "maxRetries": 2, "defaultValue": "spent"})
        assert (await item(h, document, None)).value == "spent"


async def test_an_input_without_a_behavior_is_named_with_the_nearest_that_there_is(tmp_path: Path) -> None:
    async with configured(tmp_path, CONFIG) as h:
        result = await item(h, one_step("/weather/now"), {"city": "Roma"})
        assert result.error is not None
        assert result.error.code == "COMPONENT_FAILED"
        assert result.error.message == ('mock /now has no behavior for the input {"city":"Roma"}; the nearest is {"city":"Rome"}')
        long = await item(h, one_step("/weather/now"), {"city": "x" * 10_000})
        assert long.error is not None
        assert len(long.error.message) < 600


def test_an_input_without_a_behavior_holds_nobody_up() -> None:
    """Every item of a run may have one, and the gateway answers others with the same thread."""
    known = {b'{"text":"%b"}' % (b"%03d" % number * 400): b'{"outcome":"success"}' for number in range(100)}
    server = MockServer(MockSettings("m", {"/a": MockComponent(known)}))
    answer = server.instant("/a")
    assert answer is not None
    given = b'{"text":"%b"}' % (b"0123" * 300)
    began = process_time()
    for _ in range(20):
        assert isinstance(answer(given), CallFailure)
    assert (process_time() - began) / 20 < 0.03  # measured: 0.003


async def test_a_component_that_is_not_mocked_is_named_with_those_that_are(tmp_path: Path) -> None:
    async with configured(tmp_path, CONFIG) as h:
        result = await item(h, one_step("/weather/then"), None)
        assert result.error is not None
        assert result.error.code == "COMPONENT_NOT_FOUND"
        assert "/then" in result.error.message
        assert "/now" in result.error.message


async def test_mocks_are_listed_with_their_schemas_beside_the_others(tmp_path: Path) -> None:
    async with configured(tmp_path, CONFIG) as h:
        found = {one.path: one for one in await h.gateway.catalog.components()}
        assert found["/weather/now"].plugin == "weather"
        assert found["/weather/now"].input_schema == b'{"type":"object","required":["city"]}'
        assert found["/weather/now"].output_schema == b'{"type":"object","properties":{"degrees":{"type":"integer"}}}'
        assert found["/other/flaky/fail"].input_schema is None
        assert found["/builtin/eval"].output_schema is not None
        assert [(one.name, one.type) for one in h.gateway.catalog.plugins()] == [
            ("builtin", "builtin"),
            ("flaky", "mock"),
            ("weather", "mock"),
        ]


async def test_a_mock_may_stand_in_for_a_single_built_in(tmp_path: Path) -> None:
    text = """
plugins:
  model: { type: mock, components: { /: { behaviors: { '{"messages":[]}': { outcome: success, value: { response: hi } } } } } }
routes: { /builtin/openai: model }
"""
    async with configured(tmp_path, text) as h:
        assert (await item(h, one_step("/builtin/openai"), {"messages": []})).value == {"response": "hi"}
        assert (await item(h, one_step("/builtin/noop"), 1)).value == 1


@pytest.mark.parametrize(
    ("behavior", "line", "says"),
    [
        ("'{': { outcome: success }", 6, "the input is not JSON"),
        ("hello: { outcome: success }", 6, "inputs are written as JSON, texts in double quotes"),
        ("1: { outcome: won }", 6, "is no FlowResult: outcome is 'won'; it is one of success, failed, skipped"),
        ("1: { value: 3 }", 6, "missing required field `outcome`"),
        ("1: { outcome: failed }", 6, "error is missing"),
        ("1: { outcome: failed, error: { code: 500, message: x } }", 6, "Expected `str`, got `int` - at `$.code`"),
        ("1: { outcome: failed, error: { code: BROKEN, message: x } }", 6, "error.code is 'BROKEN'; it is one of TIMEOUT"),
        ("1: { outcome: success, valeu: 3 }", 6, "unknown member 'valeu'; known are outcome, value, result"),
        ("1: { outcome: success, value: 3, result: 4 }", 6, "result stands beside value"),
        ("1: { outcome: skipped, value: 3 }", 6, "unknown member 'value'; known are outcome, reason"),
        ("1: { outcome: failed, error: { code: TIMEOUT, message: x, dat: 1 } }", 6, "unknown field `dat`"),
        ("1: 5", 6, "dictionary"),
    ],
)
def test_a_wrong_behavior_is_shown_with_its_line(tmp_path: Path, behavior: str, line: int, says: str) -> None:
    path = tmp_path / "flowspan.yml"
    path.write_text(f"plugins:\n  m:\n    type: mock\n    components:\n      /a: {{ behaviors: {{\n        {behavior} }} }}\n")
    with pytest.raises(ConfigError) as caught:
        assemble(load_config(path).config, store=None, name=str(path))
    [problem] = caught.value.problems
    assert says in problem.message
    assert problem.line == line


def test_the_same_input_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flowspan.yml"
    path.write_text(
        "plugins: {m: {type: mock, components: {/a: {behaviors: "
        '{\'{"a":1,"b":2}\': {outcome: success}, {b: 2, a: 1}: {outcome: success}}}}}}'
    )
    with pytest.raises(ConfigError, match="the same input stands there twice"):
        assemble(load_config(path).config, store=None, name=str(path))


def test_a_schema_that_is_none_is_shown_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "flowspan.yml"
    path.write_text("plugins:\n  m:\n    type: mock\n    components:\n      /a:\n        input_schema: { type: objekt }\n")
    with pytest.raises(ConfigError) as caught:
        assemble(load_config(path).config, store=None, name=str(path))
    [problem] = caught.value.problems
    assert problem.pointer == "/plugins/m/components/~1a/input_schema/type"
    assert "objekt" in problem.message
    assert problem.line == 6
