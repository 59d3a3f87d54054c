"""`new component`: a project from the files of `templates/LANGUAGE` and `templates/all`.

In the files stand two placeholders: `@NAME@`, and `@SDK@` for how that language's package file asks for the SDK. A file
`gitignore` becomes `.gitignore`; under that name it would hold here, too.
"""

from __future__ import annotations

import json
import keyword
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

import gateway
from flowspan.flows.near_names import near_name
from gateway.cli.exits import SUCCESS, UsageError, say
from gateway.cli.output import write_stdout

DEFAULT_NAME: Final = "my-components"
TEMPLATES: Final = Path(__file__).parent / "templates"
_SHARED: Final = "all"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What npm, cargo, Go, pip and routes all take as it stands."""
_MAX_NAME: Final = 50
_RUST_WORDS: Final = (
    "abstract alloc as async await become box break build const continue core crate deps do dyn else enum examples extern false "
    "final fn for gen if impl in incremental let loop macro match mod move mut override priv proc-macro pub ref return self "
    "static std struct super test trait true try type typeof unsafe unsized use virtual where while yield"
)
"""Keywords, crates of the compiler's own, and the directories that cargo builds in."""
_TAKEN: Final = {"python": frozenset(keyword.kwlist), "rust": frozenset(_RUST_WORDS.split())}
"""Names that the tools of a language refuse."""
_ALSO_KNOWN_AS: Final = {
    "py": "python",
    "ts": "typescript",
    "js": "typescript",
    "javascript": "typescript",
    "node": "typescript",
    "golang": "go",
    "rs": "rust",
}
_RUN: Final = "flowspan run flow.yaml --inputs inputs.jsonl"


@dataclass(frozen=True, slots=True)
class Language:
    """How projects of a language are made and run.

    Attributes:
        manifest: a file of the SDK's directory, and the text in it by which it is known to be the SDK.
        packed: endings of packed SDKs that its tools take as they are.
        published: `@SDK@` for a version; `local`: for an absolute path.
        prepare: of the SDK's directory, the command that must be run before a project can use it; None: there is none.
        next_steps: commands, in the project's directory, until it is ready to run.
    """

    manifest: tuple[str, str]
    packed: tuple[str, ...]
    published: Callable[[str], str]
    local: Callable[[Path], str]
    next_steps: tuple[str, ...]
    prepare: Callable[[Path], str | None] = lambda directory: None


def _quoted(path: Path) -> str:
    """As JSON, TOML and go.mod write strings."""
    return json.dumps(str(path), ensure_ascii=False)


def _version_of_pom(pom: Path) -> str:
    found = re.search(r"<version>([^<]+)</version>", pom.read_text(encoding="utf-8"))
    return found[1] if found else version("flowspan-gateway")


LANGUAGES: Final = {
    "python": Language(
        ("pyproject.toml", 'name = "flowspan"\n'),
        (".whl", ".tar.gz"),
        lambda release: f"flowspan=={release}",
        lambda path: f"flowspan @ {path.as_uri()}",
        ("pip install -r requirements.txt", "python -m unittest"),
    ),
    "typescript": Language(
        ("package.json", '"name": "flowspan",'),
        (".tgz",),
        lambda release: release,
        lambda path: f"file:{_quoted(path)[1:-1]}",
        ("npm install", "npm test"),
        lambda path: None if (path / "dist" / "components.js").exists() else f"make -C {shlex.quote(str(path))} build",
    ),
    "go": Language(
        ("go.mod", "module flowspan.dev/go\n"),
        (),
        lambda release: f"require flowspan.dev/go v{release}",
        lambda path: f"require flowspan.dev/go v0.0.0\n\nreplace flowspan.dev/go => {_quoted(path)}",
        ("go mod tidy", "go test ./...", "go build"),
    ),
    "rust": Language(
        ("Cargo.toml", 'name = "flowspan"\n'),
        (),
        lambda release: f'"{release}"',
        lambda path: f"{{ path = {_quoted(path)} }}",
        ("cargo test", "cargo build"),
    ),
    # Maven has no dependencies by path: what is not published is installed into the repository of this machine.
    "java": Language(
        ("pom.xml", "<artifactId>flowspan</artifactId>"),
        (),
        lambda release: release,
        lambda path: _version_of_pom(path / "pom.xml"),
        ("mvn -q package",),
        lambda path: f"mvn -q -f {shlex.quote(str(path))} install -Dmaven.test.skip=true",
    ),
}


def write_project(lang: str, directory: Path | None, name: str | None, sdk: Path | None, *, as_json: bool) -> int:
    """Write the project and say what to do next.

    Raises:
        UsageError: the language is unknown, the name will not do, there is no SDK at `sdk`, or files are in the way.
    """
    language = LANGUAGES.get(lang)
    if language is None:
        raise UsageError(_unknown_language(lang), field="--lang")
    directory = directory or Path(name or DEFAULT_NAME)
    name = name or directory.resolve().name
    _check_name(name, lang)
    found = _checkout(lang, language) if sdk is None else _given(sdk, lang, language)
    dependency = language.published(version("flowspan-gateway")) if found is None else language.local(found)
    written = _write(_contents(lang, {"@NAME@": name, "@SDK@": dependency}), directory)
    # An archive is ready for use.
    first = language.prepare(found) if found is not None and found.is_dir() else None
    steps = [*([first] if first else []), *language.next_steps, _RUN]
    if as_json:
        sdk_used = None if found is None else str(found)
        made = {"name": name, "language": lang, "directory": str(directory), "sdk": sdk_used, "files": written, "next": steps}
        write_stdout(msgspec.json.encode(made) + b"\n")
    else:
        write_stdout("".join(f"{directory / path}\n" for path in written).encode(errors="surrogateescape"))
        entered = [] if directory.resolve() == Path.cwd() else [f"cd {shlex.quote(str(directory))}"]
        say("\n".join(("Next:", *(f"  {step}" for step in (*entered, *steps)))))
    return SUCCESS


def _unknown_language(lang: str) -> str:
    meant = _ALSO_KNOWN_AS.get(lang.casefold()) or near_name(lang, LANGUAGES)
    hint = f"; did you mean {meant}?" if meant else ""
    return f"--lang: there is no template for {lang!r}, only for {', '.join(LANGUAGES)}{hint}"


def _check_name(name: str, lang: str) -> None:
    rule = "write lower-case letters, digits and single hyphens, a letter first; --name gives one"
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise UsageError(f"{name!r} will not do as a project's name: {rule}", field="--name")
    if name in ("flowspan", "builtin") or name in _TAKEN.get(lang, ()):
        raise UsageError(
            f"{name!r} will not do as a project's name, for it has a meaning already; --name gives another", field="--name"
        )


def _is_sdk(directory: Path, language: Language) -> bool:
    file, text = language.manifest
    try:
        return text in (directory / file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _checkout(lang: str, language: Language) -> Path | None:
    """The SDK in the checkout from which this gateway runs; None where it was installed from a package."""
    beside = Path(gateway.__file__).resolve().parents[1] / "clients" / lang
    return beside if _is_sdk(beside, language) else None


def _given(sdk: Path, lang: str, language: Language) -> Path:
    for directory in (sdk, sdk / "clients" / lang):
        if _is_sdk(directory, language):
            return directory.resolve()
    if sdk.is_file() and sdk.name.endswith(language.packed):
        return sdk.resolve()
    packed = f" or a packed one ({', '.join(language.packed)})" if language.packed else "; a packed one must be unpacked first"
    raise UsageError(
        f"--sdk {sdk}: there is no Flowspan SDK for {lang}; name its directory (the one with {language.manifest[0]}){packed}",
        field="--sdk",
    )


def _contents(lang: str, values: dict[str, str]) -> dict[str, bytes]:
    """Path in the project (with `/`) → bytes."""
    files = {}
    for root in (TEMPLATES / _SHARED, TEMPLATES / lang):
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                text = file.read_text(encoding="utf-8")
                for placeholder, value in values.items():
                    text = text.replace(placeholder, value)
                path = file.relative_to(root).as_posix()
                files[".gitignore" if path == "gitignore" else path] = text.encode()
    return dict(sorted(files.items()))


def _write(files: dict[str, bytes], directory: Path) -> list[str]:
    """All files, or none if one is in the way."""
    # A link that leads nowhere is in the way as well.
    in_the_way = [path for path in files if (directory / path).exists() or (directory / path).is_symlink()]
    if in_the_way:
        raise UsageError(
            f"{directory}: nothing is written, for these are in the way: {', '.join(in_the_way)}; name another directory",
            field="DIR",
            details={"files": in_the_way},
        )
    for path, content in files.items():
        target = directory / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(content)
        except OSError as error:
            raise UsageError(f"{target}: {error.strerror or error}", field="DIR") from error
    return list(files)
