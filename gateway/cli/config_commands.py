"""`config check` and `version`: what needs no gateway."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

import msgspec

from gateway.cli.exits import SUCCESS, say
from gateway.cli.output import write_stdout
from gateway.config import Config, load_config

_PACKAGES = ("flowspan-gateway", "flowspan", "grpcio", "protobuf", "apsw", "uvloop")


def check(file: Path | None, *, as_json: bool) -> int:
    """Raises ConfigError with everything that is wrong."""
    from gateway.assembly import assemble

    loaded = load_config(file)
    assemble(loaded.config, store=None, name=str(loaded.path or "flowspan.yml"))
    config = loaded.config
    notes = [*loaded.notes, *_missing_directories(config)]
    if as_json:
        facts = {
            "file": None if loaded.path is None else str(loaded.path),
            "notes": notes,
            "config": config.model_dump(mode="json"),
        }
        write_stdout(msgspec.json.encode(facts) + b"\n")
        return SUCCESS
    for note in notes:
        say(f"flowspan: {loaded.path}: {note}")
    lines = [f"{loaded.path or 'no file: built-ins only'}: ok"]
    lines += [f"  plugin {name} ({plugin.type})" for name, plugin in config.plugins.items()]
    lines += [f"  route {prefix} -> {', '.join(route.plugin for route in routes)}" for prefix, routes in config.routes.items()]
    write_stdout("".join(f"{line}\n" for line in lines).encode())
    return SUCCESS


def _missing_directories(config: Config) -> list[str]:
    """Directories that files are to be read from, and that may still come to be."""
    return [
        f"builtins.load_file.directories: {directory} {'is no directory' if directory.exists() else 'does not exist'}"
        for directory in config.builtins.load_file.directories
        if not directory.is_dir()
    ]


def version(*, as_json: bool) -> int:
    found = {name: _installed(name) for name in _PACKAGES} | {"python": platform.python_version()}
    if as_json:
        write_stdout(msgspec.json.encode(found) + b"\n")
    else:
        write_stdout("".join(f"{name} {number or '(not installed)'}\n" for name, number in found.items()).encode())
    return SUCCESS


def _installed(name: str) -> str | None:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return None
