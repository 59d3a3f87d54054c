"""What a configuration file says, and what is said about one that is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jsonschema
import pytest

from gateway.config import (
    BuiltinPlugin,
    Config,
    ConfigError,
    HttpPlugin,
    Problem,
    Route,
    RouteCondition,
    SqliteStore,
    StdioPlugin,
    TokenAuth,
    config_schema,
    data_directory,
    find_config,
    is_loopback,
    load_config,
    parse_config,
)
from gateway.stdio_bridge.launch import INHERITED_NAMES
from runtime_core.flow.yaml_loader import load_yaml
from runtime_core.limits import Limits


def parse(text: str, **environment: str) -> Config:
    return parse_config(text.encode(), name="f.yml", environment=environment)[0]


def problems(text: str, **environment: str) -> list[tuple[str, int | None, str]]:
    with pytest.raises(ConfigError) as caught:
        parse(text, **environment)
    return [(problem.pointer, problem.line, problem.message) for problem in caught.value.problems]


def test_without_a_file_there_are_the_builtins_only(tmp_path: Path) -> None:
    loaded = load_config(beside=tmp_path, environment={"XDG_CONFIG_HOME": str(tmp_path / "none")})
    assert loaded.path is None
    assert loaded.config.plugins == {"builtin": BuiltinPlugin(type="builtin")}
    assert loaded.config.routes == {"/builtin": (Route(plugin="builtin"),)}
    assert loaded.config.store is None


def test_an_empty_file_means_the_builtins_only() -> None:
    assert parse("") == Config()


def test_a_plugin_without_a_route_is_reached_below_its_name() -> None:
    config = parse("plugins: {census: {type: stdio, command: python, args: [-m, census]}}")
    assert config.routes["/census"] == (Route(plugin="census"),)
    assert config.plugins["census"] == StdioPlugin(type="stdio", command="python", args=("-m", "census"))


def test_short_and_long_routes_mean_the_same() -> None:
    short = parse("routes: {/a: builtin, /b/: [builtin]}")
    long = parse("routes: {/a: [{plugin: builtin}], /b: [{plugin: builtin}]}")
    assert short == long


def test_a_route_may_have_conditions() -> None:
    config = parse("routes: {/a: [{plugin: builtin, conditions: [{path: $.model, value: {x: [1]}}]}, builtin]}")
    assert config.routes["/a"][0].conditions == (RouteCondition(path="$.model", value={"x": [1]}),)


def test_variables_are_replaced_everywhere_in_strings() -> None:
    config = parse(
        "plugins: {p: {type: '${T:-stdio}', command: '${DIR}/bin', args: ['a${X:-}b', '$${X}'], replicas: '${N:-3}'}}",
        DIR="/opt",
        X="",
    )
    assert config.plugins["p"] == StdioPlugin(type="stdio", command="/opt/bin", args=("ab", "${X}"), replicas=3)


def test_the_value_of_a_variable_never_becomes_syntax() -> None:
    config = parse("plugins: {p: {type: stdio, command: '${C}'}}", C="x, type: builtin}\n${C}")
    assert config.plugins["p"] == StdioPlugin(type="stdio", command="x, type: builtin}\n${C}")


def test_a_variable_that_is_not_set_is_named_with_its_place() -> None:
    assert problems("store:\n  type: sqlite\n  path: ${STATE}") == [
        ("/store/path", 3, "the environment variable STATE is not set; set it, or write ${STATE:-default}")
    ]


@pytest.mark.parametrize(
    ("text", "pointer", "line", "nearest"),
    [
        ("plugin: {}", "/plugin", 1, "did you mean 'plugins'?"),
        ("a: 1\nplugins:\n  p: {type: stdio, command: x, comand: y}", "/plugins/p/comand", 3, "did you mean 'command'?"),
        (
            "plugins: {p: {type: stdio, command: x, limits: {maxLineBytes: 1}}}",
            "/plugins/p/limits/maxLineBytes",
            1,
            "'max_line_bytes'",
        ),
        ("limits: {depht: 1}", "/limits/depht", 1, "did you mean 'depth'?"),
        ("store:\n  type: sqlite\n  path: x\n  pth: y", "/store/pth", 4, "did you mean 'path'?"),
        ("routes: {/a: [{plugin: builtin, condition: []}]}", "/routes/~1a/0/condition", 1, "did you mean 'conditions'?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(text: str, pointer: str, line: int, nearest: str) -> None:
    found = [(place, at, message) for place, at, message in problems(text) if place == pointer]
    assert len(found) == 1
    assert found[0][1] == line
    assert "unknown key" in found[0][2] and nearest in found[0][2]


def test_all_problems_are_told_at_once() -> None:
    assert [pointer for pointer, _, _ in problems("x: 1\ny: 2\nstore: {type: memroy}\nlimits: {depth: 0}")] == [
        "/store/type",
        "/limits/depth",
        "/x",
        "/y",
    ]


def test_a_server_over_http_has_a_url_or_a_command() -> None:
    for members in ("", ", url: 'http://h', command: x"):
        ((pointer, _, message),) = problems(f"plugins: {{p: {{type: http{members}}}}}")
        assert pointer == "/plugins/p"
        assert "either url" in message
    ((pointer, _, _),) = problems("plugins: {p: {type: http, url: 'ftp://h'}}")
    assert pointer == "/plugins/p/url"
    config, _ = parse_config(b"plugins: {p: {type: http, url: 'http://h:1/rpc'}}", name="x", environment={})
    assert isinstance(config.plugins["p"], HttpPlugin) and config.plugins["p"].url == "http://h:1/rpc"


def test_an_unknown_type_names_the_nearest() -> None:
    ((pointer, _, message),) = problems("plugins: {p: {type: htp, url: 'http://h'}}")
    assert pointer == "/plugins/p/type" and "did you mean 'http'?" in message


def test_a_route_to_a_plugin_that_is_not_there_names_the_nearest() -> None:
    ((_, _, message),) = problems("plugins: {census: {type: stdio, command: x}}\nroutes: {/a: cenus}")
    assert "there is no plugin 'cenus'; did you mean 'census'?" in message


def test_what_is_empty_is_refused_in_plain_words() -> None:
    assert problems("builtins: {openai: {api_key: ''}}") == [("/builtins/openai/api_key", 1, "must not be empty")]


def test_what_is_wrong_with_a_whole_file_names_the_file_alone() -> None:
    assert Problem("", "is not a mapping").describe("f.yml") == "f.yml: is not a mapping"
    assert Problem("/a/b", "is no c", 3).describe("f.yml") == "f.yml:3: /a/b: is no c"


@pytest.mark.parametrize("prefix", ["a", "/a//b", "/a/{*rest}", "/a/*"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    assert "is no prefix" in problems(f"routes: {{'{prefix}': builtin}}")[0][2]


@pytest.mark.parametrize(
    "text",
    [
        "listen: 0.0.0.0:7000",
        "listen: '[::]:7000'",
        "listen: ['127.0.0.1:0', 'example.org:7000']",
        "listen: 0.0.0.0:7000\ntls: {certificate: c, key: k}\nauth: {type: none}",
    ],
)
def test_listening_beyond_loopback_needs_tls_and_a_token(text: str) -> None:
    assert "can be reached from other machines" in problems(text)[0][2]


def test_loopback_may_go_without_a_token_only_where_that_is_written() -> None:
    assert isinstance(parse("listen: 127.0.0.1:0").auth, TokenAuth)
    assert parse("listen: '[::1]:0'\nauth: {type: none}").auth.type == "none"


@pytest.mark.parametrize("address", ["127.0.0.1", ":80", "h:99999", "unix:relative", "h:x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert problems(f"listen: '{address}'")


def test_only_addresses_of_this_machine_count_as_loopback() -> None:
    assert [is_loopback(a) for a in ("unix:/x", "localhost:1", "127.8.8.8:1", "[::1]:1")] == [True] * 4
    assert [is_loopback(a) for a in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example.org:1")] == [False] * 4


def test_a_token_does_not_show_in_messages_and_representations() -> None:
    config = parse("auth: {type: token, token: '${T}'}", T="a-very-secret-token")
    assert "very-secret" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        parse("auth: {type: token, token: hunter2-short}")
    assert "hunter2" not in str(caught.value)


def test_relative_paths_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "flowspan.yml").write_text(
        "plugins: {p: {type: stdio, command: x, cwd: sub}, q: {type: stdio, command: y}}\nstore: {type: sqlite, path: state}\n"
    )
    (tmp_path / "deep" / "er").mkdir(parents=True)
    config = load_config(beside=tmp_path / "deep" / "er").config
    assert isinstance(config.plugins["p"], StdioPlugin) and config.plugins["p"].cwd == tmp_path / "sub"
    assert isinstance(config.plugins["q"], StdioPlugin) and config.plugins["q"].cwd == tmp_path
    assert config.store == SqliteStore(type="sqlite", path=tmp_path / "state")


def test_the_nearest_file_upwards_is_found_before_the_users(tmp_path: Path) -> None:
    user = tmp_path / "user"
    (user / "flowspan").mkdir(parents=True)
    (user / "flowspan" / "flowspan.yml").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    environment = {"XDG_CONFIG_HOME": str(user)}
    assert find_config(tmp_path / "a" / "b", environment) == user / "flowspan" / "flowspan.yml"
    (tmp_path / "a" / "stepflow-config.yml").touch()
    assert find_config(tmp_path / "a" / "b", environment) == tmp_path / "a" / "stepflow-config.yml"
    (tmp_path / "a" / "flowspan.yml").touch()
    assert find_config(tmp_path / "a" / "b", environment) == tmp_path / "a" / "flowspan.yml"


def test_the_data_directory_is_the_users() -> None:
    assert data_directory({"XDG_DATA_HOME": "/d", "HOME": "/h"}) == Path("/d/flowspan")
    assert data_directory({"XDG_DATA_HOME": "relative", "HOME": "/h"}) == Path("/h/.local/share/flowspan")


def test_a_file_that_is_not_yaml_is_refused_with_its_line() -> None:
    ((_, line, message),) = problems("plugins: {}\nroutes: [")
    assert line is not None and line >= 2
    assert "not YAML" in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.yml")
    assert "cannot be read" in str(caught.value)


def test_servers_over_http_of_a_stepflow_file_run_where_it_says(tmp_path: Path) -> None:
    (tmp_path / "stepflow-config.yml").write_text(
        "plugins:\n"
        "  there: {type: stepflow, transport: http, url: 'http://h:1'}\n"
        "  here: {type: stepflow, transport: http, command: uv, args: [run, x]}\n"
        "  tools: {type: mcp, command: uvx, args: [mcp-server-time]}\n"
    )
    loaded = load_config(beside=tmp_path)
    assert loaded.config.plugins["there"] == HttpPlugin(type="http", url="http://h:1", cwd=tmp_path)
    assert loaded.config.plugins["here"] == HttpPlugin(type="http", command="uv", args=("run", "x"), cwd=tmp_path)
    assert loaded.config.plugins["tools"].type == "mcp"
    assert [note.partition(":")[0] for note in loaded.notes] == ["plugins.here"]


def test_a_stepflow_file_is_read_with_notes(tmp_path: Path) -> None:
    (tmp_path / "stepflow-config.yml").write_text(
        "plugins:\n"
        "  python: {type: stepflow, transport: stdio, command: uv, args: [run, x]}\n"
        "  builtin: {type: builtin}\n"
        "routes:\n"
        "  '/python/{*component}': [{plugin: python, componentAllow: [x]}]\n"
        "  '/{*component}': [{plugin: builtin}]\n"
        "stateStore: {type: sqlite, databaseUrl: 'sqlite:runs.db?mode=rwc', autoMigrate: true}\n"
        "workingDirectory: .\n"
    )
    loaded = load_config(beside=tmp_path)
    assert loaded.config.plugins["python"] == StdioPlugin(type="stdio", command="uv", args=("run", "x"), cwd=tmp_path)
    assert loaded.config.routes == {
        "/python": (Route(plugin="python"),),
        "/": (Route(plugin="builtin"),),
        "/builtin": (Route(plugin="builtin"),),
    }
    assert loaded.config.store == SqliteStore(type="sqlite", path=tmp_path / "runs.db.flowspan")
    assert [note.partition(":")[0] for note in loaded.notes] == [
        "plugins.python",
        "routes./python/{*component}",
        "stateStore",
        "workingDirectory",
    ]


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (
        "listen: unix:/s\nroutes: {/a: builtin, /b: [builtin, {plugin: builtin}]}",
        "plugins: {p: {type: stdio, command: x}}",
    ):
        parse(text)
        assert validator.is_valid(load_yaml(text.encode()))
    for text in ("plugin: {}", "plugins: {p: {type: stdio}}", "limits: {depth: 0}"):
        assert problems(text)
        assert not validator.is_valid(load_yaml(text.encode()))


def test_limits_are_those_of_the_core() -> None:
    limits = Config().limits
    assert limits.to_core() == Limits()
    assert set(type(limits).model_fields) == {field.name for field in dataclasses.fields(Limits)}


@pytest.mark.parametrize("name", ["FLOWSPAN_TOKEN", "FLOWSPAN_TARGET"])
def test_a_plugin_gets_no_access_to_the_gateway_by_its_env(name: str) -> None:
    text = f"plugins:\n  p:\n    type: stdio\n    command: x\n    env:\n      {name}: y\n"
    ((pointer, line, message),) = problems(text)
    assert (pointer, line) == ("/plugins/p/env", 6)
    assert message.startswith(f"{name} gives access to the gateway")


def test_results_below_one_mebibyte_are_no_limit() -> None:
    ((pointer, line, message),) = problems("limits:\n  result_bytes: 1048575\n")
    assert (pointer, line) == ("/limits/result_bytes", 2)
    assert "1048576" in message
    assert parse("limits: {result_bytes: 1048576}").limits.result_bytes == 1 << 20


def test_a_route_behind_one_that_takes_everything_is_noted(tmp_path: Path) -> None:
    (tmp_path / "flowspan.yml").write_text(
        "plugins: {a: {type: stdio, command: a}, b: {type: stdio, command: b}}\n"
        "routes:\n  /x: [a, b]\n  /y: [{plugin: a, conditions: [{path: $.n, value: 1}]}, b]\n"
    )
    (note,) = load_config(beside=tmp_path).notes
    assert note == "routes: /x: b is never reached: the route to a before it takes everything"


def test_the_schema_names_every_variable_that_a_plugin_inherits() -> None:
    description = config_schema()["$defs"]["StdioPlugin"]["properties"]["env"]["description"]
    assert all(name in description for name in (*INHERITED_NAMES, "LC_*"))


def test_every_setting_of_the_engine_has_an_effect() -> None:
    ((pointer, _, message),) = problems("engine: {max_executions: 7}")
    assert (pointer, "unknown key" in message) == ("/engine/max_executions", True)
