"""`examples/hello`, `examples/use_cases`, `examples/node_plain` and `examples/shell_plain` through `flowspan run`."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from tests.examples.commands import EXAMPLES, command, execute, flowspan_run

USE_CASES = EXAMPLES / "use_cases"


def test_hello_greets_everybody_in_the_input_file() -> None:
    done = flowspan_run(EXAMPLES / "hello" / "flow.yaml", "--inputs", "inputs.jsonl")
    by_index = {line["itemIndex"]: line["result"] for line in done.json_lines}
    assert by_index == {
        0: {"outcome": "success", "value": "Hello, Ada!"},
        1: {"outcome": "success", "value": "Bonjour, Émilie!"},
        2: {"outcome": "success", "value": "Hallo, Sofja!"},
        3: {"outcome": "success", "value": "Γειά σου, Hypatia!"},
    }
    assert "4 succeeded" in done.stderr


def test_hello_greets_one_person_and_prints_the_flow_result_alone() -> None:
    done = flowspan_run(EXAMPLES / "hello" / "flow.yaml", "--input-json", '{"name": "Grace", "language": "en"}')
    assert done.json == {"outcome": "success", "value": "Hello, Grace!"}


def test_the_orchestrator_gets_the_results_of_its_sub_workflow_in_index_order() -> None:
    done = flowspan_run(USE_CASES / "orchestrator.yaml", "--input-json", '{"items": [1, 2, 3]}')
    assert done.json["outcome"] == "success"
    results = done.json["value"]
    assert [result["itemIndex"] for result in results] == [0, 1, 2]
    assert [result["result"] for result in results] == [{"outcome": "success", "value": value} for value in (1.0, 4.0, 9.0)]
    assert all(result["completedAt"].endswith("Z") for result in results)


def test_the_batch_processor_counts_what_failed_and_succeeds_itself() -> None:
    done = flowspan_run(USE_CASES / "batch_processor.yaml", "--input-json", '{"numbers": [1, 4, -9, 16]}')
    assert done.json == {"outcome": "success", "value": {"processed": 3, "failed": 1}}


def test_the_async_processor_comes_back_for_the_result_of_the_run_it_left() -> None:
    done = flowspan_run(USE_CASES / "async_processor.yaml", "--input-json", '{"text": "quiet"}')
    assert done.json["value"]["itemIndex"] == 0
    assert done.json["value"]["result"] == {"outcome": "success", "value": "QUIET"}


def test_a_plain_node_server_executes_steps_and_reports_bad_input(tmp_path: Path) -> None:
    node = shutil.which("node")
    server = EXAMPLES / "node_plain" / "server.js"
    assert len(server.read_text().splitlines()) < 80
    if node is None:  # the example says what it needs; the demo says loudly that it does without
        return
    (tmp_path / "flowspan.yml").write_text(
        json.dumps({"plugins": {"node": {"type": "stdio", "command": node, "args": [str(server)]}}})
    )
    steps = [{"id": "count", "component": "/node/fingerprint", "input": {"$input": "$"}}]
    (tmp_path / "flow.yaml").write_text(json.dumps({"steps": steps, "output": {"$step": "count"}}))
    text = "Parsers, parsers: élan vital"
    (tmp_path / "inputs.jsonl").write_text(f'{{"text": "{text}"}}\n{{"text": 1}}\n', encoding="utf-8")
    done = flowspan_run(tmp_path / "flow.yaml", "--inputs", "inputs.jsonl", "--order", "by-index")
    assert done.exit_code == 1
    good, bad = (json.loads(line)["result"] for line in done.stdout.splitlines())
    assert good["value"] == {
        "words": 4,
        "distinct": 3,
        "favourite": "parsers",
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert bad["error"]["code"] == "INVALID_INPUT"


def test_a_plain_shell_server_shakes_hands_executes_and_says_what_is_wrong(tmp_path: Path) -> None:
    server = EXAMPLES / "shell_plain" / "server.sh"
    assert len(server.read_text().splitlines()) < 80
    (tmp_path / "flowspan.yml").write_text(
        json.dumps({"plugins": {"shell": {"type": "stdio", "command": "sh", "args": [str(server)], "cwd": str(tmp_path)}}})
    )
    steps = [{"id": "count", "component": "/shell/lines", "input": {"$input": "$"}}]
    (tmp_path / "flow.yaml").write_text(json.dumps({"steps": steps, "output": {"$step": "count"}}))
    (tmp_path / "élan vital.txt").write_text("one\ntwo\nthree\n")
    # What looks like a member of the message is a text, and what stands in other members is none of its business.
    given = [
        {"other": ['"file":"x', {"file": "y"}], "file": "élan vital.txt"},
        {"file": "absent.txt"},
        {"file": 'a"b'},
        {"file": 1},
        "élan vital.txt",
    ]
    (tmp_path / "inputs.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in given))
    done = flowspan_run(tmp_path / "flow.yaml", "--inputs", "inputs.jsonl", "--order", "by-index")
    assert done.exit_code == 1
    good, *bad = (json.loads(line)["result"] for line in done.stdout.splitlines())
    assert good == {"outcome": "success", "value": 3}
    assert [(one["error"]["code"], one["error"]["message"], one["error"]["data"]) for one in bad] == [
        ("INVALID_INPUT", message, {"pointer": "/file"})
        for message in (
            "there is no file absent.txt",
            "names with escapes are not read here",
            "file must be a string",
            "file must be a string",
        )
    ]


def test_a_plain_shell_server_keeps_the_protocol(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one\n")
    words = ["--component", "/lines", "--input", '{"file": "text"}', "--", "sh", str(EXAMPLES / "shell_plain" / "server.sh")]
    done = execute(command("flowspan"), "conformance", "--json", *words, directory=tmp_path)
    by_name = {line["name"]: line["state"] for line in done.json_lines}
    assert by_name["handshake"] == by_name["execution"] == by_name["unknown component"] == by_name["malformed lines"] == "passed"
