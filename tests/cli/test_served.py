"""Commands that talk to a gateway that serves."""

from __future__ import annotations

import json
from collections.abc import Callable

from .conftest import Ended, Shell

Run = Callable[..., Ended]


def test_submit_prints_results_like_run(served: Run) -> None:
    done = served("submit", "noop.json", "--input-json", '{"a":1}', "-q")
    assert (done.code, done.out) == (0, '{"outcome":"success","value":{"a":1}}\n')
    assert served("submit", "needs.json", "--input-json", "{}", "-q").code == 1


def test_a_detached_submit_prints_the_run_which_can_be_watched_and_shown(served: Run) -> None:
    (run,) = served("submit", "noop.json", "--inputs", "-", "--detach", "--label", "d", stdin="1\n2\n").lines
    assert run["flowLabel"] == "d"
    watched = served("watch", run["runId"], "--order", "by-index")
    assert watched.code == 0
    assert [line["result"]["value"] for line in watched.lines] == [1, 2]
    (status,) = served("get", run["runId"], "--results", "--json").lines
    assert status["status"] == "success"
    assert status["results"] == watched.lines
    shown = served("get", run["runId"])
    assert f"run          {run['runId']}" in shown.out
    assert "2 success" in shown.out


def test_the_same_request_id_is_the_same_run(served: Run) -> None:
    command = ("submit", "noop.json", "--input-json", "5", "--detach", "--request-id", "once")
    assert served(*command).lines[0]["runId"] == served(*command).lines[0]["runId"]
    assert served("submit", "noop.json", "--input-json", "6", "--detach", "--request-id", "once").code == 2


def test_list_filters_and_prints_a_line_per_run(served: Run) -> None:
    (run,) = served("submit", "noop.json", "--input-json", "1", "--detach", "--label", "listed", "--metadata", "team=red").lines
    served("watch", run["runId"])
    (found,) = served("list", "--label", "listed", "--metadata", "team=red", "--status", "success", "--json").lines
    assert found["runId"] == run["runId"]
    assert served("list", "--label", "listed", "--metadata", "team=blue", "--json").out == ""
    header, line = served("list", "--label", "listed").out.splitlines()
    assert header.split() == ["RUN", "STATUS", "ITEMS", "FAILED", "CREATED", "FLOW"]
    assert line.split()[:4] == [run["runId"], "success", "1/1", "0"]


def test_cancel_ends_a_run_and_retry_runs_what_did_not_succeed(served: Run) -> None:
    inputs = "".join(f"{n}\n" for n in range(100))
    (run,) = served("submit", "sleep.json", "--inputs", "-", "--max-concurrency", "1", "--detach", stdin=inputs).lines
    assert served("cancel", run["runId"], "--reason", "enough").code == 0
    watched = served("watch", run["runId"])
    assert watched.code == 1
    assert "cancelled (enough)" in watched.err
    (again,) = served("retry", run["runId"], "--item", "7", "--json").lines
    assert again["sourceRunId"] == run["runId"]
    (line,) = served("watch", again["runId"]).lines
    assert line["result"] == {"outcome": "success", "value": 7}


def test_components_are_listed_with_their_plugins(served: Run) -> None:
    done = served("components", "--json")
    offered = {line["component"]: line["plugin"] for line in done.lines if "component" in line}
    assert offered["/builtin/noop"] == "builtin"
    assert [line["plugin"] for line in done.lines if "component" not in line] == ["builtin"]
    assert "/builtin/noop" in served("components").out


def test_a_blob_comes_back_as_it_was_put(served: Run) -> None:
    put = served("blob", "put", "-", stdin='{"b": 1.0, "a": 2}')
    assert put.code == 0
    assert served("blob", "get", put.out.strip()).out == '{"b": 1.0, "a": 2}'
    assert served("blob", "get", "sha256:" + "0" * 64).code == 2


def test_a_run_that_is_not_there_ends_with_2_and_as_json_if_asked(served: Run) -> None:
    run_id = "01890000-0000-7000-8000-000000000000"
    assert run_id in served("get", run_id).err
    done = served("get", run_id, "--json")
    assert (done.code, done.out) == (2, "")
    assert json.loads(done.err)["error"]["reason"] == "RUN_NOT_FOUND"


def test_without_a_gateway_the_code_is_69(shell: Shell) -> None:
    done = shell.run("list")
    assert (done.code, done.out) == (69, "")
    assert "flowspan serve" in done.err


def test_get_and_watch_say_which_plugin_a_run_waits_for(shell: Shell) -> None:
    """The plugin starts once, for the handshake, and never again."""
    shell.write(
        "server.py",
        "import os, sys\n"
        "from flowspan import ComponentServer\n"
        "if os.path.exists('was-here'):\n"
        "    sys.exit('once is enough')\n"
        "open('was-here', 'w').close()\n"
        "server = ComponentServer()\n"
        "@server.component\n"
        "def die(input: dict) -> None:\n"
        "    os._exit(3)\n"
        "server.run()\n",
    )
    shell.write("flowspan.yml", "plugins: {p: {type: stdio, command: python, args: [server.py]}}\n")
    shell.write("flow.json", {"steps": [{"id": "a", "component": "/p/die", "input": {}}], "output": {"$step": "a"}})
    with shell.server():
        (run,) = shell.run("submit", "flow.json", "--input-json", "{}", "--detach").lines
        watching = shell.start("watch", run["runId"])
        assert watching.stderr is not None
        try:
            counts, line = (watching.stderr.readline().decode() for _ in range(2))
        finally:
            watching.kill()
            watching.communicate()
        assert line.startswith("flowspan: waiting: ") and "plugin p " in line, line
        assert counts.startswith("flowspan: 0/1 items")
        facts = shell.run("get", run["runId"])
        assert any(fact.startswith("waiting for  ") and "plugin p" in fact for fact in facts.out.splitlines()), facts.out
        assert "ended with exit code 1" in shell.run("components").err


def test_watch_tree_follows_sub_runs_and_list_finds_them(served: Run) -> None:
    (run,) = served("submit", "nesting.json", "--input-json", "[1,2]", "--detach").lines
    watched = served("watch", run["runId"], "--tree")
    assert watched.code == 0
    by_run: dict[str, list[object]] = {}
    for line in watched.lines:
        by_run.setdefault(line["runId"], []).append(line["result"]["value"])
    assert by_run.pop(run["runId"]) == [2]
    (child,) = by_run
    assert sorted(map(str, by_run[child])) == ["1", "2"]
    assert f"  run {child} (noop) success: 2 of 2 succeeded" in watched.err
    assert [line["runId"] for line in served("list", "--parent", run["runId"], "--json").lines] == [child]
    assert {line["runId"] for line in served("list", "--root", run["runId"], "--json").lines} == {run["runId"], child}


def test_watch_tree_of_a_cancelled_run_says_how_many_items_never_started(served: Run) -> None:
    inputs = "".join(f"{n}\n" for n in range(100))
    (run,) = served("submit", "sleep.json", "--inputs", "-", "--max-concurrency", "1", "--detach", stdin=inputs).lines
    assert served("cancel", run["runId"]).code == 0
    watched = served("watch", run["runId"], "--tree")
    ended = len(watched.lines)
    assert watched.code == 1
    assert f"{ended} of 100 ended, {100 - ended} never started" in watched.err
    assert ended < 100


def test_a_cursor_of_one_run_is_refused_for_a_tree(served: Run) -> None:
    refused = served("watch", "00000000-0000-7000-8000-000000000000", "--tree", "--after-seq", "3")
    assert (refused.code, refused.out) == (2, "")
    assert "--after-seq is a cursor of one run, and --tree follows several" in refused.err


def test_submit_says_what_overrides_and_variables_have_no_effect(served: Run) -> None:
    command = ("submit", "noop.json", "--input-json", "1")
    done = served(*command, "--overrides", '{"a":{"value":{"timout":"1s"}}}')
    assert done.code == 0
    assert "--overrides: warning 1005 (unknownField): /steps/0/timout: unknown field 'timout'" in done.err


def test_ids_that_are_none_are_named_as_the_command_line_names_them(shell: Shell) -> None:
    none = "which is a UUID; `flowspan list` shows them"
    for command in (("get",), ("watch",), ("watch", "--tree"), ("cancel",), ("retry",)):
        done = shell.run(*command, "nope")
        assert (done.code, done.err) == (2, f"flowspan: RUN: 'nope' is not the id of a run, {none}\n")
    for command in (("list", "--parent"), ("list", "--root"), ("graph", "--run")):
        done = shell.run(*command, "nope")
        assert (done.code, done.err) == (2, f"flowspan: {command[1]}: 'nope' is not the id of a run, {none}\n")
    assert shell.run("list", "--flow-id", "x").err.startswith("flowspan: --flow-id: 'x' is not the id of a blob or a flow, which")
    assert shell.run("blob", "get", "x").err.startswith("flowspan: BLOB: 'x' is not the id of a blob")
    error = json.loads(shell.run("get", "nope", "--json").err)["error"]
    assert error["reason"] == "INVALID_ARGUMENT"
    assert shell.run("list", "--status", "done").err == (
        "flowspan: --status: 'done' is none of pending, running, success, failed, cancelled\n"
    )


def test_who_lists_what_is_below_an_unknown_run_is_told_so(served: Run) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    for option in ("--parent", "--root"):
        done = served("list", option, unknown)
        assert (done.code, done.out, done.err) == (2, "", f"flowspan: {option}: no run {unknown}\n")
    (run,) = served("submit", "noop.json", "--input-json", "1", "--detach").lines
    childless = served("list", "--parent", run["runId"].upper())
    assert (childless.code, len(childless.out.splitlines()), childless.err) == (0, 1, "")
