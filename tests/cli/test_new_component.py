"""`flowspan new component`: each language's project passes its own test and runs its flow, by the very commands that are said.

A language whose toolchain or built SDK (`make sdks`) is absent counts as not run, and pytest's summary says so.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.new_component import LANGUAGES
from tests.cli.conftest import Shell
from tests.cli.toolchains import CLIENTS, READY

LIMIT_S = 240.0
"""For compilers on a machine that does much else."""
AS_THE_SDK = {
    "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
    "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
    "CARGO_PROFILE_DEV_BUILD_OVERRIDE_OPT_LEVEL": "0",
}
"""Cargo's settings of the SDK's own build: what that has compiled need not be compiled again."""
FLOWSPAN = Path(sys.executable).parent / "flowspan"


def made(shell: Shell, *arguments: str) -> dict[str, Any]:
    done = shell.run("new", "component", *arguments, "--json")
    assert done.code == 0, done.err
    [answer] = done.lines
    return dict(answer)


def execute(words: list[str], directory: Path, **environment: str) -> str:
    """With this environment's programs first on PATH, as in an activated one."""
    path = os.pathsep.join((str(FLOWSPAN.parent), os.environ["PATH"]))
    done = subprocess.run(
        words,
        cwd=directory,
        env={**os.environ, **AS_THE_SDK, **environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"
    return done.stdout


def maven_repository(directory: Path) -> Path:
    """The user's, by links, but for the SDK: what a test installs does not stay on the machine."""
    directory.mkdir()
    users = Path.home() / ".m2" / "repository"
    for group in users.iterdir() if users.exists() else ():
        if group.name != "dev":
            (directory / group.name).symlink_to(group)
    return directory


@pytest.mark.timeout(3 * LIMIT_S)
@pytest.mark.parametrize("lang", READY)
def test_a_project_passes_its_own_test_and_runs_its_flow(lang: str, shell: Shell) -> None:
    answer = made(shell, "--lang", lang.partition("-")[0], "word-counts")
    project = shell.directory / "word-counts"
    steps = [shlex.split(step) for step in answer["next"]]
    if lang == "python":
        assert steps.pop(0)[:2] == ["pip", "install"]  # the SDK is in this environment
    if lang == "rust":
        (project / "target").symlink_to(CLIENTS / "rust" / "target")
        shutil.copy(CLIENTS / "rust" / "Cargo.lock", project)
    maven = f"-Dmaven.repo.local={maven_repository(shell.directory / 'm2')}"
    for step in steps[:-1]:
        # What the SDK's own build keeps of its dependencies' places is not written anew.
        execute(step, project, MAVEN_OPTS=f"{maven} -Dmdep.skip=true" if "install" in step else maven)
    assert steps[-1][:2] == ["flowspan", "run"]
    lines = [json.loads(line) for line in execute(steps[-1], project).splitlines()]
    results = {line["itemIndex"]: line["result"] for line in lines}
    assert results == {
        0: {"outcome": "success", "value": {"words": 6}},
        1: {"outcome": "success", "value": {"words": 4}},
    }


def test_the_components_keep_the_protocol(shell: Shell) -> None:
    made(shell, "--lang", "python", "word-counts")
    words = ["--component", "/count", "--input", '"to be"', "--", "python", "server.py"]
    said = execute([str(FLOWSPAN), "conformance", *words], shell.directory / "word-counts")
    assert "ok" in said and "FAILED" not in said


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_file_is_filled_in_and_the_readme_says_what_to_do(lang: str, shell: Shell) -> None:
    answer = made(shell, "--lang", lang, "--name", "word-counts", "here")
    project = shell.directory / "here"
    assert (answer["name"], answer["language"], answer["directory"]) == ("word-counts", lang, "here")
    found = {path.relative_to(project).as_posix(): path.read_text() for path in project.rglob("*") if path.is_file()}
    assert sorted(found) == answer["files"]
    assert {".gitignore", "README.md", "flow.yaml", "flowspan.yml", "inputs.jsonl"} < set(found)
    assert [path for path, text in found.items() if "@NAME@" in text or "@SDK@" in text] == []
    assert answer["sdk"] == str(CLIENTS / lang)
    assert any(str(CLIENTS / lang) in text for text in (*found.values(), answer["next"][0]))
    for step in answer["next"]:
        # What must be done with the SDK ends when that is published.
        assert str(CLIENTS / lang) in step or f"\n{step}" in found["README.md"]


def test_people_are_told_the_files_and_the_next_commands(shell: Shell) -> None:
    done = shell.run("new", "component", "--lang", "python")
    assert done.code == 0
    assert "my-components/server.py" in done.out.splitlines()
    assert [line.strip() for line in done.err.splitlines()] == [
        "Next:",
        "cd my-components",
        "pip install -r requirements.txt",
        "python -m unittest",
        "flowspan run flow.yaml --inputs inputs.jsonl",
    ]


def test_files_in_the_way_are_named_and_nothing_is_written(shell: Shell) -> None:
    project = shell.directory / "words"
    (project / "src").mkdir(parents=True)
    (project / "README.md").write_text("mine")
    (project / "src" / "server.ts").symlink_to("nowhere")
    done = shell.run("new", "component", "--lang", "typescript", "words")
    assert done.code == 2
    assert "in the way: README.md, src/server.ts;" in done.err
    assert sorted(path.name for path in project.rglob("*")) == ["README.md", "server.ts", "src"]
    assert (project / "README.md").read_text() == "mine"


def test_a_directory_with_other_files_is_taken(shell: Shell) -> None:
    project = shell.directory / "words"
    project.mkdir()
    (project / "notes.txt").write_text("mine")
    answer = made(shell, "--lang", "go", "words")
    assert "go.mod" in answer["files"]
    assert (project / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "meant"), [("pyhton", "python"), ("Rust", "rust"), ("golang", "go"), ("ts", "typescript"), ("node", "typescript")]
)
def test_an_unknown_language_names_the_nearest(given: str, meant: str, shell: Shell) -> None:
    done = shell.run("new", "component", "--lang", given, "words")
    assert done.code == 2
    assert f"there is no template for '{given}'" in done.err
    assert done.err.rstrip().endswith(f"did you mean {meant}?")
    assert not (shell.directory / "words").exists()


@pytest.mark.parametrize(
    ("lang", "name"),
    [("go", "Words"), ("go", "-x"), ("rust", "loop"), ("python", "import"), ("go", "flowspan"), ("go", "a" * 51)],
)
def test_a_name_that_tools_would_refuse_is_refused(lang: str, name: str, shell: Shell) -> None:
    done = shell.run("new", "component", "--lang", lang, f"--name={name}", "words")
    assert done.code == 2
    assert "will not do as a project's name" in done.err and "--name gives" in done.err


def test_a_packed_sdk_is_depended_on_by_its_path(shell: Shell) -> None:
    packed = shell.write("flowspan 0.1.0.tgz", "")
    made(shell, "--lang", "typescript", "--sdk", packed.name, "words")
    package = json.loads((shell.directory / "words" / "package.json").read_text())
    assert package["dependencies"] == {"flowspan": f"file:{packed.resolve()}"}


def test_an_sdk_that_must_be_built_is_built_first(shell: Shell) -> None:
    sdk = shell.directory / "clients" / "typescript"
    sdk.mkdir(parents=True)
    (sdk / "package.json").write_text('{\n  "name": "flowspan",\n  "version": "0.1.0"\n}\n')
    # The checkout will do as well as the SDK in it.
    answer = made(shell, "--lang", "typescript", "--sdk", ".", "words")
    assert answer["next"][0] == f"make -C {sdk} build"


@pytest.mark.parametrize(
    ("lang", "remedy"), [("go", "the one with go.mod); a packed one must be unpacked first"), ("python", ".whl")]
)
def test_an_sdk_that_is_none_is_refused(lang: str, remedy: str, shell: Shell) -> None:
    shell.write("sdk.zip", "")
    done = shell.run("new", "component", "--lang", lang, "--sdk", "sdk.zip", "words")
    assert done.code == 2
    assert f"--sdk sdk.zip: there is no Flowspan SDK for {lang}" in done.err and remedy in done.err
    assert not (shell.directory / "words").exists()


def test_without_a_checkout_the_published_version_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gateway.cli import new_component

    monkeypatch.setattr(new_component.gateway, "__file__", str(tmp_path / "site-packages" / "gateway" / "__init__.py"))
    asked = {}
    for lang, file in (
        ("python", "requirements.txt"),
        ("typescript", "package.json"),
        ("go", "go.mod"),
        ("rust", "Cargo.toml"),
        ("java", "pom.xml"),
    ):
        assert new_component.write_project(lang, tmp_path / lang, "words", None, as_json=True) == 0
        asked[lang] = (tmp_path / lang / file).read_text()
    assert asked["python"] == "flowspan==0.1.0\n"
    assert '"flowspan": "0.1.0"' in asked["typescript"]
    assert asked["go"].endswith("\nrequire flowspan.dev/go v0.1.0\n")
    assert 'flowspan = "0.1.0"\n' in asked["rust"]
    assert "<artifactId>flowspan</artifactId>\n      <version>0.1.0</version>" in asked["java"]
